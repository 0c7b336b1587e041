"""``edgeops retrain``: answering drift."""

from typing import Annotated

import typer

from edgeops.cli.artifacts import in_words
from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    chosen,
    print_facts,
    print_json,
    print_rows,
    say,
)
from edgeops.cli.progress import Progress

app = typer.Typer(
    no_args_is_help=True, help="Retrains: list, approve, reject, run.\n\nExample: edgeops retrain list"
)
NumberArgument = Annotated[int, typer.Argument(help="The retrain's number.")]


@app.callback()
def group() -> None:
    """Retrains: list, approve, reject, run.

    Example: edgeops retrain list
    """


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the retrains, where each stands and what it waits for or came to.

    Example: edgeops retrain list
    """
    from pathlib import Path

    from edgeops.control.retrain_orders import retrain_rows
    from edgeops.control.workspace import Workspace

    rows, form = retrain_rows(Workspace(Path(workspace))), chosen(output, json)
    if form is Format.TABLE:
        rows = [{**row, "created": ago(row["created"])} for row in rows]
    columns = ["retrain", "of", "state", "alert", "samples", "made", "created"]
    print_rows(rows, columns, form, "no retrain yet")


@app.command("approve")
def approve(
    retrain: NumberArgument,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the audit trail.")] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Let a retrain that waits begin, or register the version that it proposes for some devices alone.

    Example: edgeops retrain approve 2
    """
    from pathlib import Path

    from edgeops.control.retrain_orders import approve as order
    from edgeops.control.workspace import Workspace

    _tell(order(Workspace(Path(workspace)), retrain, reason), chosen(output, json))


@app.command("reject")
def reject(
    retrain: NumberArgument,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the audit trail.")] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Do without a retrain that waits, or without the version that it proposes; its alert stays open.

    Example: edgeops retrain reject 2 --reason "harvest: the dust will settle"
    """
    from pathlib import Path

    from edgeops.control.retrain_orders import reject as order
    from edgeops.control.workspace import Workspace

    _tell(order(Workspace(Path(workspace)), retrain, reason), chosen(output, json))


def _tell(facts: dict[str, object], form: Format) -> None:
    if form is Format.JSON:
        print_json(facts)
    else:
        say(f"retrain {facts['retrain']} is {facts['state']}")


@app.command("run")
def run(
    alert: Annotated[
        int | None, typer.Argument(help="The drift alert; the newest open one by default.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Compute on a Dask cluster instead, by its scheduler's address.")
    ] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Retrain on the original data and the captured samples of an alert; register what is better.

    Exits with 3 when the new version is not better.

    Example: edgeops retrain run 1
    """
    from pathlib import Path

    from edgeops.cli.signals import terminate_as_interrupt
    from edgeops.control.retrain_by_hand import retrain_by_hand
    from edgeops.control.training_jobs import require_gates
    from edgeops.control.workers import climbing_on
    from edgeops.control.workspace import Workspace

    terminate_as_interrupt()
    opened = Workspace(Path(workspace))
    with Progress("retrain", 1) as bar:

        def told(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
            bar.resize(epochs)
            bar.update(epoch, f"val {metrics.get('val_accuracy', 0):.3f}")

        address = opened.settings.workers.dask if dask is None else dask
        with climbing_on(address) as climbing:
            trained = retrain_by_hand(opened, alert, told, climbing=climbing)
    form = chosen(output, json)
    document = trained.as_dict()
    print_facts(in_words(document) if form is Format.TABLE else document, form)
    require_gates(trained)
    if form is Format.TABLE:
        say(
            f"Next: edgeops rollout start {trained.version.model}@{trained.version.version} --workspace {workspace}"
        )
