"""The root of the command line: registers the nouns, turns exceptions into exit codes."""

import os
import sys
from typing import Annotated

import typer

from edgeops import __version__
from edgeops.cli import broker, data, demo, device, doctor, drift, fleet, init, key, model, retrain, rollout
from edgeops.cli import check as check_command
from edgeops.cli import quantize as quantize_command
from edgeops.cli import run as run_command
from edgeops.cli import search as search_command
from edgeops.cli import serve as serve_command
from edgeops.cli import target as target_command
from edgeops.cli import train as train_command
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
app.add_typer(target_command.app, name="target")
app.add_typer(model.app, name="model")
app.add_typer(run_command.app, name="run")
app.add_typer(key.app, name="key")
app.add_typer(broker.app, name="broker")
app.command("serve")(serve_command.serve)
app.add_typer(device.app, name="device")
app.add_typer(rollout.app, name="rollout")
app.add_typer(fleet.app, name="fleet")
app.add_typer(drift.app, name="drift")
app.add_typer(retrain.app, name="retrain")
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
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(int(exit_code_of(KeyboardInterrupt())))
    except SystemExit as end:
        if end.code == int(ExitCode.INTERRUPTED):  # typer has taken the interrupt, and says nothing
            print("interrupted", file=sys.stderr)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edgeops") or os.environ.get("EDGEOPS_DEBUG"):
            raise
        extra = {"tensorflow": "train", "keras": "train", "ai_edge_litert": "agent"}.get(
            error.name or "", "control"
        )
        print(f"error: {error.name} is not installed", file=sys.stderr)
        print(f'Fix: pip install "edgeops[{extra}]"', file=sys.stderr)
        sys.exit(2)
    except EdgeOpsError as error:
        if os.environ.get("EDGEOPS_DEBUG"):
            raise
        print(f"error: {error.message}", file=sys.stderr)
        if error.fix:
            print(f"Fix: {error.fix}", file=sys.stderr)
        sys.exit(int(exit_code_of(error)))
