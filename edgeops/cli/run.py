"""``edgeops run``: training runs."""

from typing import Annotated, Any

import typer

from edgeops.cli.gates import gate_lines
from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    chosen,
    iso,
    print_facts,
    print_rows,
)

app = typer.Typer(
    no_args_is_help=True, help="Training runs: list, show, compare, export.\n\nExample: edgeops run list"
)


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the runs, the newest first.

    Example: edgeops run list
    """
    from pathlib import Path

    from edgeops.control.runs import run_rows
    from edgeops.control.workspace import Workspace

    form = chosen(output, json)
    rows = run_rows(Workspace(Path(workspace)))
    for row in rows:
        row["created"] = ago(row["created"]) if form is Format.TABLE else iso(row["created"])
    columns = ["run", "model", "state", "dataset", "seed", "int8", "created"]
    print_rows(rows, columns, form, "no runs yet; edgeops train makes one")


@app.command("show")
def show(
    run: Annotated[int, typer.Argument(help="The run's number.")],
    all_: Annotated[bool, typer.Option("--all", help="Also the settings that are at their default.")] = False,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show a run: metrics, gates, settings that differ from the defaults, and what it ran on.

    Other forms than the table, such as --json, have everything: all settings, metrics and curves.

    Example: edgeops run show 1 --json
    """
    from pathlib import Path

    from edgeops.control.runs import run_facts
    from edgeops.control.workspace import Workspace

    facts = run_facts(Workspace(Path(workspace)), run)
    form = chosen(output, json)
    facts["created"] = iso(facts["created"])
    print_facts(_readable(facts, every_setting=all_) if form is Format.TABLE else facts, form)


# the settings say it too
_TWICE = ("parameters", "architecture", "task", "holdout", "curves", "settings")


def _readable(facts: dict[str, Any], *, every_setting: bool) -> dict[str, Any]:
    """A run for a person: the figures that matter, and which settings are not the usual ones."""
    from edgeops.control.runs import changed_settings, flat

    settings = facts.get("settings") or {}
    shown = flat(settings, lists=False) if every_setting else changed_settings(settings)
    said = {key: value for key, value in facts.items() if key not in _TWICE}
    said["metrics"] = {
        name: {key: metrics[key] for key in ("accuracy", "auc", "n") if key in metrics}
        for name, metrics in facts["metrics"].items()
    }
    said["gates"] = gate_lines(facts["gates"])
    curves = facts.get("curves") or []
    said["epochs"] = len(curves)
    said["last_epoch"] = curves[-1] if curves else None
    said |= {f"settings {name.replace('.', ' ')}": value for name, value in shown.items()}
    return {key: value for key, value in said.items() if value not in (None, "", [], {})}


@app.command("compare")
def compare(
    first: Annotated[int, typer.Argument(help="A run's number.")],
    second: Annotated[int, typer.Argument(help="Another's.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Say what differs between two runs, with what was measured in each.

    Example: edgeops run compare 1 2
    """
    from pathlib import Path

    from edgeops.control.runs import compare_runs
    from edgeops.control.workspace import Workspace

    rows = compare_runs(Workspace(Path(workspace)), first, second)
    columns = ["what", f"run_{first}", f"run_{second}"]
    print_rows(rows, columns, chosen(output, json), f"runs {first} and {second} do not differ", keep=3)


@app.command("export")
def export(
    run: Annotated[int, typer.Argument(help="The run's number.")],
    mlflow: Annotated[
        str,
        typer.Option(metavar="URI_OR_FOLDER", help="A tracking server's URI, or a folder for a database."),
    ],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Write a run to MLflow: parameters, metrics, curves, tags, card and model.

    Example: edgeops run export 1 --mlflow mlruns
    """
    from pathlib import Path

    from edgeops.control.mlflow_export import export_run
    from edgeops.control.workspace import Workspace

    exported = export_run(Workspace(Path(workspace)), run, mlflow)
    print_facts(exported.as_dict(), chosen(output, json))
