"""The exception tree is the one that is drawn, and every leaf has its exit code."""

from __future__ import annotations

import re

import pytest

from edgeops.core import errors
from edgeops.core.errors import EdgeOpsError, ExitCode, exit_code_of


def subclasses(cls: type[EdgeOpsError]) -> list[type[EdgeOpsError]]:
    return [one for child in cls.__subclasses__() for one in (child, *subclasses(child))]


OURS = sorted(
    {c for c in subclasses(EdgeOpsError) if c.__module__ == errors.__name__}, key=lambda c: c.__name__
)


def drawn() -> dict[str, tuple[str, int | None]]:
    """name -> (parent, exit code where one is written), read from the module's docstring."""
    tree: dict[str, tuple[str, int | None]] = {}
    parents = ["EdgeOpsError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^ {4}((?:\|   )*)\+-- (\w+)(.*)$", line)
        if match:
            depth = len(match[1]) // 4
            code = re.search(r"exit (\d+)", match[3])
            parents[depth + 1 :] = [match[2]]
            tree[match[2]] = (parents[depth], int(code[1]) if code else None)
    return tree


def test_the_tree_drawn_is_the_tree() -> None:
    assert {name: parent for name, (parent, _) in drawn().items()} == {
        c.__name__: c.__base__.__name__ for c in OURS
    }


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.__name__)
def test_every_error_has_an_exit_code_and_a_sentence(cls: type[EdgeOpsError]) -> None:
    error = cls("what happened", fix="what mends it", where="here")
    assert isinstance(exit_code_of(error), ExitCode)
    assert exit_code_of(error) not in (ExitCode.DONE, ExitCode.INTERRUPTED)
    assert (error.kind, error.fix, error.fields) == (cls.__name__, "what mends it", {"where": "here"})
    assert cls.__doc__


def test_the_codes_drawn_are_the_codes() -> None:
    for name, (_, code) in drawn().items():
        if code is not None:
            assert exit_code_of(getattr(errors, name)("x")) == code


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (ValueError(), 1), (OSError(), 1)])
def test_what_is_not_ours(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code
