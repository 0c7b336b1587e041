"""Wrong options, arguments and commands, said as every other error is."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from typing import Any

import typer

# typer brings its own copy of click, or uses the one that is installed: both are above this class
CommandLineError: type[Exception] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)
_EXAMPLE = re.compile(r"Example:\s*(edgeops .+)\Z", re.DOTALL)
_COMMAND = re.compile(r"\bedgeops((?: [a-z]+){1,2})\b")
_WHOLE, _NUMBER = "is no whole number", "is no number"
_WORDS = (
    (r"(Value error, )?(Input should be a valid integer|.* is not a valid int).*", _WHOLE),
    (r"(Value error, )?(Input should be a valid number|.* is not a valid float).*", _NUMBER),
    (r"Input should be (.*)", r"should be \1"),
    (r"Value error, (.*)", r"\1"),
)


def error_and_fix(error: Any, root: Any, arguments: Sequence[str]) -> tuple[str, str | None]:
    """What was wrong with a command line, and what mends it.

    ``error`` is a ``CommandLineError``, ``root`` the whole command, ``arguments`` what it was given.
    """
    context = getattr(error, "ctx", None)
    command, path = (context.command, context.command_path) if context else _meant(root, arguments)
    message = str(error.format_message()).rstrip(".")
    kind = type(error).__name__
    if kind == "NoSuchOption":
        return _unknown_option(error.option_name, command, path)
    if message.startswith("No such command"):
        return _unknown_command(message, command, path)
    if kind == "MissingParameter":
        return f"{path}: {_named(error)} is missing", _example(command, path)
    if kind == "BadParameter":
        said = str(error.message).rstrip(".")
        for pattern, words in _WORDS:
            said = re.sub(pattern, words, said, flags=re.DOTALL)
        choices = re.search(r" is not one of (.+)", said)
        if choices:
            names = choices[1].replace("'", "").replace(", ", "|")
            return f"{path}: {_named(error)}: {said}", f"{_named(error)} {names}"
        return f"{path}: {_named(error)}: {said}", _example(command, path)
    extra = re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    if extra:
        return f"{path} takes no further argument: {extra[1]}", _example(command, path)
    needs = re.search(r"Option '(.+)' requires", message)
    if needs:
        return f"{path}: {needs[1]} needs a value", _example(command, path)
    return f"{path}: {message}", _example(command, path)


def is_help(error: Any) -> bool:
    """Whether it is the help of a noun that was given no verb."""
    return type(error).__name__ == "NoArgsIsHelpError"


def with_workspace(fix: str, workspace: str, root: Any) -> str:
    """A hint with ``-w`` in each command of it that takes a workspace, where one was named."""
    if not workspace or re.search(r"(^|\s)(-w|--workspace)\b", fix):
        return fix

    def named(match: re.Match[str]) -> str:
        command: Any = root
        words: list[str] = []
        for word in match[1].split():
            inner = getattr(command, "commands", {}).get(word)
            if inner is None:
                break
            command, words = inner, [*words, word]
        takes = any(parameter.name == "workspace" for parameter in command.params)
        if not (words and takes) or fix[match.end() :].startswith(" --help"):
            return match[0]
        rest = match[1].split()[len(words) :]
        return " ".join(["edgeops", *words, "-w", shlex.quote(workspace), *rest])

    return _COMMAND.sub(named, fix)


def _unknown_option(option: str, command: Any, path: str) -> tuple[str, str]:
    """An option that there is not: the nearest that there is."""
    known = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
    near = _nearest(option.lstrip("-"), [name.lstrip("-") for name in [*known, "--help"]])
    hint = f"did you mean --{near}? " if near else ""
    return f"{path} has no option {option}", f"{hint}{path} --help lists all"


def _unknown_command(message: str, command: Any, path: str) -> tuple[str, str]:
    """A command that there is not: the nearest that there is."""
    found = re.search(r"'(.*?)'", message)
    name, commands = found[1] if found else "", list(getattr(command, "commands", {}))
    near = _nearest(name, commands)
    return f"{path} has no command {name!r}", f"{path} {near}" if near else f"one of {', '.join(commands)}"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None


def _meant(root: Any, arguments: Sequence[str]) -> tuple[Any, str]:
    """The command that the words of a command line name, as far as they do, and how it is called."""
    command, path = root, "edgeops"
    for word in arguments:
        inner = getattr(command, "commands", {}).get(word)
        if inner is not None:
            command, path = inner, f"{path} {word}"
    return command, path


def _named(error: Any) -> str:
    """A parameter as it is written: ``--target``, or an argument's name."""
    parameter = getattr(error, "param", None)
    if parameter is None:
        return str(getattr(error, "param_hint", None) or "a value")
    options = [name for name in parameter.opts if name.startswith("-")]
    return str(max(options, key=len) if options else parameter.metavar or parameter.name.upper())


def _example(command: Any, path: str) -> str:
    """A command line that is right, as the command's own help gives it."""
    found = _EXAMPLE.search((command.help or "").strip())
    return f"as in: {' '.join(found[1].split())}" if found else f"{path} --help"
