"""``edgeops retrain``: answering drift."""

from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_facts, say
from edgeops.cli.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Retrains: run.\n\nExample: edgeops retrain run 1")


@app.callback()
def group() -> None:
    """Retrains: run.

    Example: edgeops retrain run 1
    """


@app.command("run")
def run(
    alert: Annotated[
        int | None, typer.Argument(help="The drift alert; the newest open one by default.")
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
    from edgeops.control.retraining import find_retrain, run_retrain
    from edgeops.control.training_jobs import require_gates
    from edgeops.control.workspace import Workspace

    terminate_as_interrupt()
    opened = Workspace(Path(workspace))
    pending = find_retrain(opened, alert)
    with Progress("retrain", 1) as bar:

        def told(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
            bar.resize(epochs)
            bar.update(epoch, f"val {metrics.get('val_accuracy', 0):.3f}")

        trained = run_retrain(opened, pending.id or 0, told)
    form = chosen(output, json)
    print_facts(trained.as_dict(), form)
    require_gates(trained)
    if form is Format.TABLE:
        say(
            f"Next: edgeops rollout start {trained.version.model}@{trained.version.version} --workspace {workspace}"
        )
