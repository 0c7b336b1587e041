"""``edgeops data``: datasets."""

from typing import Annotated, Any

import typer

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
    say,
)

app = typer.Typer(
    no_args_is_help=True, help="Datasets: add, list, show, export.\n\nExample: edgeops data list"
)


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(help="sklearn:digits, or an .npz with arrays x and y.")],
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Ingest a source as the next version of a dataset.

    Example: edgeops data add sklearn:digits --name digits
    """
    from pathlib import Path

    from edgeops.control.datasets import add_dataset
    from edgeops.control.workspace import Workspace

    row, new = add_dataset(Workspace(Path(workspace)), source, name)
    if not new:
        say(f"{row.name}@{row.version} has this content already; nothing was added")
    print_facts(_facts(row), chosen(output, json))


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the dataset versions.

    Example: edgeops data list
    """
    from pathlib import Path

    from sqlmodel import select

    from edgeops.control.workspace import Workspace
    from edgeops.registry.tables import DatasetVersion

    with Workspace(Path(workspace)).registry.reading() as session:
        rows = session.exec(select(DatasetVersion).order_by(DatasetVersion.id)).all()  # type: ignore[arg-type]
    form = chosen(output, json)
    table = [
        {
            "dataset": f"{row.name}@{row.version}",
            "items": sum(row.parts.values()),
            "classes": len(row.labels),
            "kind": row.kind,
            "quarantined": len(row.quarantined),
            "created": ago(row.created_at) if form is Format.TABLE else iso(row.created_at),
            "sha256": row.sha256,
        }
        for row in rows
    ]
    columns = ["dataset", "items", "classes", "kind", "quarantined", "created"]
    print_rows(table, columns, form, "no datasets yet; edgeops data add makes one")


@app.command("show")
def show(
    dataset: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show one dataset version: parts, labels, quarantined items.

    Example: edgeops data show digits@1
    """
    from pathlib import Path

    from edgeops.control.datasets import load_dataset
    from edgeops.control.workspace import Workspace

    loaded, row = load_dataset(Workspace(Path(workspace)), dataset)
    print_facts({**_facts(row), "class_balance": loaded.class_balance()}, chosen(output, json))


@app.command("export")
def export(
    dataset: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    folder: Annotated[str, typer.Argument(help="Where to write inputs.npy, targets.npy, labels.json.")],
    part: Annotated[str, typer.Option(help="train, validation, test, field or capture_holdout.")] = "field",
    workspace: WorkspaceOption = ".",
) -> None:
    """Write one part of a dataset as a folder that an agent can replay.

    Example: edgeops data export digits@1 field --part field
    """
    from pathlib import Path

    from edgeops.control.datasets import load_dataset
    from edgeops.control.workspace import Workspace
    from edgeops.data.dataset import export_replay

    loaded, row = load_dataset(Workspace(Path(workspace)), dataset)
    export_replay(loaded, part, Path(folder))
    say(f"{row.name}@{row.version}, part {part}: written to {folder}")


def _facts(row: Any) -> dict[str, Any]:
    return {
        "dataset": f"{row.name}@{row.version}",
        "name": row.name,
        "version": row.version,
        "sha256": row.sha256,
        "kind": row.kind,
        "parts": row.parts,
        "labels": row.labels,
        "quarantined": row.quarantined,
        "created": iso(row.created_at),
    }
