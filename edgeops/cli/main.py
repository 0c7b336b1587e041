"""The root of the command line: registers the nouns, turns exceptions into exit codes."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from edgeops import __version__
from edgeops.cli import apply as apply_command
from edgeops.cli import (
    audit,
    broker,
    data,
    demo,
    device,
    doctor,
    drift,
    fleet,
    init,
    key,
    label,
    lineage,
    model,
    retrain,
    rollout,
)
from edgeops.cli import check as check_command
from edgeops.cli import compile as compile_command
from edgeops.cli import quantize as quantize_command
from edgeops.cli import run as run_command
from edgeops.cli import search as search_command
from edgeops.cli import serve as serve_command
from edgeops.cli import target as target_command
from edgeops.cli import train as train_command
from edgeops.cli.output import tell, workspace_given
from edgeops.cli.usage import CommandLineError, error_and_fix, is_help, with_workspace
from edgeops.core.errors import EdgeOpsError, ExitCode, exit_code_of

app = typer.Typer(
    name="edgeops",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train, push, watch and retrain small models on a fleet.\n\nExample: edgeops demo --workspace demo",
)
app.command("init")(init.init)
app.add_typer(data.app, name="data")
app.command("train")(train_command.train)
app.command("search")(search_command.search)
app.command("quantize")(quantize_command.quantize)
app.command("check")(check_command.check)
app.command("compile")(compile_command.compile_model)
app.add_typer(target_command.app, name="target")
app.add_typer(model.app, name="model")
app.add_typer(run_command.app, name="run")
app.add_typer(key.app, name="key")
app.add_typer(broker.app, name="broker")
app.command("serve")(serve_command.serve)
app.add_typer(device.app, name="device")
app.add_typer(rollout.app, name="rollout")
app.command("apply")(apply_command.apply)
app.add_typer(audit.app, name="audit")
app.add_typer(fleet.app, name="fleet")
app.add_typer(drift.app, name="drift")
app.add_typer(label.app, name="label")
app.add_typer(retrain.app, name="retrain")
app.add_typer(lineage.app, name="lineage")
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        print(f"edgeops {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="No colour, no animation.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Train, push, watch and retrain small models on a fleet.

    Example: edgeops demo --workspace demo
    """
    del version
    if debug:
        os.environ["EDGEOPS_DEBUG"] = "1"
    if plain:
        os.environ["EDGEOPS_PLAIN"] = "1"
        os.environ["NO_COLOR"] = "1"


def run() -> None:
    """The console script: every error ends in one place, with the exit code of its kind."""
    workspace_given.set("")
    try:
        code = int(app(prog_name="edgeops", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        code = int(exit_code_of(KeyboardInterrupt()))
    except typer.Abort as error:
        code = int(_code_of_no(error))
    except CommandLineError as error:
        if is_help(error):
            print(error, file=sys.stderr)
            sys.exit(int(ExitCode.USAGE))
        _end(*error_and_fix(error, typer.main.get_command(app), sys.argv[1:]), ExitCode.USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edgeops") or os.environ.get("EDGEOPS_DEBUG"):
            raise
        extra = {"tensorflow": "train", "keras": "train", "ai_edge_litert": "agent"}.get(
            error.name or "", "control"
        )
        from edgeops.control.installation import install_line

        _end(f"{error.name} is not installed", install_line(extra), ExitCode.USAGE)
    except EdgeOpsError as error:
        if os.environ.get("EDGEOPS_DEBUG"):
            raise
        _end(error.message, _fix(error), exit_code_of(error))
    if code == int(ExitCode.INTERRUPTED):  # typer may have taken the interrupt, and says nothing
        print("interrupted", file=sys.stderr)
    sys.exit(code)


def _code_of_no(error: typer.Abort) -> ExitCode:
    """A question that was not answered with yes; typer says Ctrl-C at it, "n" and the end of input with one word."""
    if isinstance(error.__context__, KeyboardInterrupt):
        print(file=sys.stderr)  # the question is left on its own line
        return ExitCode.INTERRUPTED
    if isinstance(error.__cause__, EOFError):  # not at a question
        _end("aborted: the input has ended", None, ExitCode.UNEXPECTED)
    tell("nothing was changed")
    return ExitCode.UNEXPECTED


def _fix(error: EdgeOpsError) -> str | None:
    """An error's hint as a command that works here: this installation, this workspace."""
    if error.fix is None:
        return None
    from edgeops.control.installation import as_installed

    return with_workspace(as_installed(error.fix), workspace_given.get(), typer.main.get_command(app))


def _end(message: str, fix: str | None, code: ExitCode) -> NoReturn:
    tell(f"error: {message}")
    if fix:
        print(f"Fix: {fix}", file=sys.stderr)
    sys.exit(int(code))
