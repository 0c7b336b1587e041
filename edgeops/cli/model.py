"""``edgeops model``: model versions."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgeops.cli.artifacts import in_words
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
    print_markdown,
    print_rows,
    say,
)

if TYPE_CHECKING:
    from edgeops.reports.explanation import Explanation

_SHOWN = 10

app = typer.Typer(
    no_args_is_help=True,
    help="Model versions: list, show, export, card, explain.\n\nExample: edgeops model list",
)


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the model versions.

    Example: edgeops model list
    """
    from pathlib import Path

    from sqlmodel import select

    from edgeops.control.workspace import Workspace
    from edgeops.registry.tables import ModelVersion, Run

    with Workspace(Path(workspace)).registry.reading() as session:
        rows = session.exec(
            select(ModelVersion, Run).join(Run, Run.id == ModelVersion.run_id).order_by(ModelVersion.id)  # type: ignore[arg-type]
        ).all()
    form = chosen(output, json)
    table = [
        {
            "model": f"{version.model}@{version.version}",
            "state": version.state,
            **{kind: _accuracy(run.metrics[kind], form) for kind in ("int8", "float")},
            "bytes": version.artifact_bytes,
            "created": ago(version.created_at) if form is Format.TABLE else iso(version.created_at),
            "sha256": version.artifact_sha256,
        }
        for version, run in rows
    ]
    columns = ["model", "state", "int8", "float", "bytes", "created"]
    print_rows(table, columns, form, "no models yet; edgeops train makes one")


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show a model version and walk its lineage, from dataset to alerts.

    Example: edgeops model show digits@2 --json
    """
    from pathlib import Path

    from edgeops.control.workspace import Workspace
    from edgeops.registry.lineage import lineage
    from edgeops.registry.names import find_model

    with Workspace(Path(workspace)).registry.reading() as session:
        document = lineage(session, find_model(session, model))
    form = chosen(output, json)
    if form is Format.TABLE:
        document = in_words(document)
        if document["run"]:
            document["run"]["gates"] = gate_lines(document["run"]["gates"])
    print_facts(document, form)


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    folder: Annotated[str, typer.Argument(help="Where to write model.tflite, model.plan and manifest.cose.")],
    workspace: WorkspaceOption = ".",
) -> None:
    """Write the model file, its plan where it has one, and their signed manifest to a folder.

    Example: edgeops model export digits@1 out
    """
    from pathlib import Path

    from edgeops.control.workspace import Workspace
    from edgeops.files import write_atomic
    from edgeops.registry.artifacts import ANY_TARGET, TFLITE, forms_of
    from edgeops.registry.names import find_model

    opened = Workspace(Path(workspace))
    with opened.registry.reading() as session:
        version = find_model(session, model)
    write_atomic(Path(folder) / "model.tflite", opened.blobs.get(version.artifact_sha256))
    for form in forms_of(version):
        if form.runtime != TFLITE:
            name = (
                f"model.{form.runtime}"
                if form.target == ANY_TARGET
                else f"model.{form.target}.{form.runtime}"
            )
            write_atomic(Path(folder) / name, opened.blobs.get(form.sha256))
    if version.manifest_sha256:
        write_atomic(Path(folder) / "manifest.cose", opened.blobs.get(version.manifest_sha256))
    say(f"{version.model}@{version.version} written to {folder}")


@app.command("card")
def card(
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    file: Annotated[str, typer.Option("--out", "-o", help="Where to write it: .html or .md.")] = "",
    target: Annotated[list[str] | None, typer.Option(help="Also check the fit on this part.")] = None,
    workspace: WorkspaceOption = ".",
) -> None:
    """Write the model card of a version, as Markdown on stdout or to a file; a terminal shows it laid out.

    Example: edgeops model card digits@1 --out digits.html
    """
    from pathlib import Path

    from edgeops.control.model_cards import model_card
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError
    from edgeops.files import write_atomic
    from edgeops.reports.model_card_page import render_html, render_markdown

    path = Path(file)
    if file and path.suffix not in (".html", ".md"):
        raise UsageError(f"{file} ends in neither .html nor .md", fix="--out card.html")
    gathered = model_card(Workspace(Path(workspace)), model, tuple(target or ()))
    text = render_html(gathered) if path.suffix == ".html" else render_markdown(gathered)
    if not file:
        print_markdown(text)
        return
    write_atomic(path, text.encode())
    say(f"{gathered.model}: card written to {file}")


@app.command("explain")
def explain(
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    file: Annotated[str, typer.Option("--out", help="Where to write the page: .html.")] = "",
    items: Annotated[int, typer.Option(min=1, max=200, help="How many test items to look at.")] = 12,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Say what a version needs of its inputs, and show what it looked at in some of them.

    Example: edgeops model explain digits@1 --out why.html
    """
    from pathlib import Path

    from edgeops.cli.output import print_json
    from edgeops.cli.progress import Progress
    from edgeops.control.explanations import explain_model
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError
    from edgeops.files import write_atomic
    from edgeops.reports.explanation import render_explanation

    if file and Path(file).suffix != ".html":
        raise UsageError(f"{file} does not end in .html", fix="--out why.html")
    opened = Workspace(Path(workspace))
    with Progress("explain", 0) as bar:

        def told(done: int, regions: int) -> None:
            bar.resize(regions)
            bar.update(done)

        found = explain_model(opened, model, items, progress=told)
    form = chosen(output, json)
    document = found.as_dict()
    if form is Format.JSON:
        print_json(document)
    elif form is Format.TABLE:
        print_rows(*_importance(found), form, "nothing to exchange")
        say(f"{found.model}: {_rest(found)}")
    else:
        print_rows(
            document["importance"]["lost"], ["region", "lost", "deviation"], form, "nothing to exchange"
        )
    if file:
        write_atomic(Path(file), render_explanation(found).encode())
        say(f"{found.model}: explanation written to {file}")


def _accuracy(metrics: dict[str, float], form: Format) -> float | str:
    return f"{metrics['accuracy']:.3f}" if form is Format.TABLE else round(metrics["accuracy"], 4)


def _importance(found: "Explanation") -> tuple[list[dict[str, str]], list[str]]:
    """The regions without which most is lost, and the columns to show."""
    lost = f"{found.measure} lost"
    shown = found.that_matter()[:_SHOWN] or found.largest()[:1]
    rows = [{"region": e.region, lost: f"{e.lost:.3f}", "+-": f"{e.deviation:.3f}"} for e in shown]
    return rows, ["region", lost, "+-"]


def _rest(found: "Explanation") -> str:
    """How good the model is, and how many regions the table does not show."""
    matter = found.that_matter()
    said = [f"{found.measure} {found.quality:.3f} on {found.permuted} test items"]
    if more := len(matter[_SHOWN:]):
        said.append(f"{more} more lose less")
    if without := len(found.losses) - len(matter):
        said.append(f"{without} of {len(found.losses)} lose nothing alone")
    return "; ".join(said)
