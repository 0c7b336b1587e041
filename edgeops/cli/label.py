"""``edgeops label``: truths for captured inputs, from people and from teacher models."""

from typing import Annotated

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    chosen,
    print_facts,
    say,
    tell,
)

_SHOWN = 10

app = typer.Typer(
    no_args_is_help=True,
    help="Labels of captured inputs: export, import, teach.\n\nExample: edgeops label export to-label",
)


@app.callback()
def group() -> None:
    """Labels of captured inputs: export, import, teach.

    Example: edgeops label export to-label
    """


@app.command("export")
def export(
    folder: Annotated[str, typer.Argument(help="The folder to write; it has no labels.csv yet.")],
    model: Annotated[
        str | None, typer.Option(help="The model, or a version: needed where several captured.")
    ] = None,
    alert: Annotated[
        int | None, typer.Option(help="Only of the version that this drift alert is of.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first.")] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Write captured inputs that have no truth as files to look at, with labels.csv to fill in.

    Images become PNG, sounds WAV where the front end can be undone, anything else an array.

    Example: edgeops label export to-label --limit 200
    """
    from pathlib import Path

    from edgeops.control.labelling import SHEET, export_labels
    from edgeops.control.workspace import Workspace

    written = export_labels(Workspace(Path(workspace)), Path(folder), model, alert, limit)
    form = chosen(output, json)
    print_facts(written, form)
    if not written["inputs"]:
        say(
            "no captured input without a truth: none was written (edgeops drift list shows whether one is awaited)"
        )
    if form is Format.TABLE and written["inputs"]:
        say(
            f"Next: fill in {Path(folder) / SHEET}, then edgeops label import {folder} --workspace {workspace}"
        )


@app.command("import")
def import_(
    sheet: Annotated[str, typer.Argument(help="The folder of an export, or its labels.csv.")],
    partial: Annotated[bool, typer.Option("--partial", help="Leave out lines that are wrong.")] = False,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Take the labels of a sheet, all of them or none; again it changes nothing.

    A label is a name or a number, and an empty one is none. What a person says goes before what a device said.

    Example: edgeops label import to-label
    """
    from pathlib import Path

    from edgeops.control.labelling import import_labels
    from edgeops.control.workspace import Workspace

    taken = import_labels(Workspace(Path(workspace)), Path(sheet), partial)
    form = chosen(output, json)
    if form is Format.TABLE:
        for line, why in taken.problems:
            tell(f"left out: line {line}: {why}")
        for words in taken.disagreements[:_SHOWN]:
            tell(words)
        if len(taken.disagreements) > _SHOWN:
            tell(f"and {len(taken.disagreements) - _SHOWN} more that differ; --json has all")
        counts = {name: getattr(taken, name) for name in ("new", "changed", "same", "empty")}
        print_facts({**counts, "left out": len(taken.problems), "differ": len(taken.disagreements)}, form)
    else:
        print_facts(taken.as_dict(), form)


@app.command("teach")
def teach_(
    teacher: Annotated[
        str,
        typer.Argument(help="A registered version, or a .tflite, .keras or .h5 file that takes raw inputs."),
    ],
    model: Annotated[
        str | None, typer.Option(help="The model, or a version: needed where several captured.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="How sure it must be, above 0 and at most 1.")] = 0.9,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many inputs, the oldest first.")
    ] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Let a larger model label captured inputs that nobody labelled; they are never held out.

    Example: edgeops label teach digits@1 --confidence 0.95
    """
    from pathlib import Path

    from edgeops.control.teaching import teach
    from edgeops.control.workspace import Workspace

    done = teach(Workspace(Path(workspace)), teacher, model, confidence, limit)
    print_facts(done, chosen(output, json))
