"""``edgeops train``."""

from typing import TYPE_CHECKING, Annotated

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    cell,
    chosen,
    print_facts,
    say,
)
from edgeops.cli.progress import Progress

if TYPE_CHECKING:
    from edgeops.control.workspace import Workspace


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's folder or file, the name of one that ships, or a dataset's name."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="NAME or NAME@VERSION; the recipe's by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, data and versions give the same bytes.")] = 1,
    holdout: Annotated[
        list[str] | None,
        typer.Option(help="SLICE=VALUE: test on these items, whatever the recipe holds out."),
    ] = None,
    reproduce: Annotated[
        int | None,
        typer.Option(metavar="RUN", help="Train this run again, and say whether the bytes are the same."),
    ] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Train, quantize, evaluate, gate, sign and register a model version.

    Exits with 3 when a gate says no; the version is then registered as rejected.

    Example: edgeops train models/digits
    """
    from pathlib import Path

    from edgeops.control.model_cards import card_paths
    from edgeops.control.recipes import recipe_path
    from edgeops.control.training_jobs import parse_holdout, require_gates, train_and_register
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError
    from edgeops.training.recipe import load_recipe

    opened = Workspace(Path(workspace))
    if reproduce is not None:
        if recipe is not None or dataset is not None or holdout:
            raise UsageError(
                "a run is trained again from its own record: no recipe, dataset or holdout beside --reproduce",
                fix=f"edgeops train --reproduce {reproduce}",
            )
        _reproduce(opened, reproduce, chosen(output, json))
        return
    if recipe is None:
        raise UsageError("no recipe is named", fix="edgeops train models/digits")
    epochs = load_recipe(recipe_path(opened, recipe, say)).training.epochs
    with Progress("train", epochs) as bar:
        trained = train_and_register(
            opened,
            recipe,
            dataset,
            seed,
            lambda epoch, _, metrics: bar.update(epoch, _figure(metrics)),
            parse_holdout(holdout or []),
        )
    document = trained.as_dict()
    form = chosen(output, json)
    if form is Format.TABLE:
        metrics = trained.run.metrics
        document["metrics"] = {
            name: {key: round(m[key], 4) for key in ("accuracy", "auc") if key in m}
            for name, m in metrics.items()
        }
        document["gates"] = [
            f"{g['name']} {'OK' if g['passed'] else 'FAIL'} ({cell(g['value'])}, limit {cell(g['limit'])})"
            + (f" {g['note']}" if g["note"] else "")
            for g in trained.run.gates
        ]
    print_facts(document, form)
    model = f"{trained.version.model}@{trained.version.version}"
    if form is Format.TABLE:
        markdown, page = card_paths(opened, model)
        say(f"Model card: {markdown} and {page.name}")
    require_gates(trained)
    if form is Format.TABLE:
        say(f"Next: edgeops rollout start {model} --workspace {workspace}")


def _figure(metrics: dict[str, float]) -> str:
    if "val_accuracy" in metrics:
        return f"val {metrics['val_accuracy']:.3f}"
    return f"val loss {metrics.get('val_loss', metrics['loss']):.4f}"


def _reproduce(opened: "Workspace", run: int, form: Format) -> None:
    from edgeops.control.reproduce import reproduce
    from edgeops.core.errors import CheckFailed

    with Progress(f"run {run}", 100) as bar:
        found = reproduce(
            opened, run, lambda epoch, epochs, metrics: bar.update(100 * epoch // epochs, _figure(metrics))
        )
    document = {"run": run, "same": found.same, "sha256": found.sha256, "expected": found.expected}
    print_facts({**document, "differs": found.differs}, form)
    if not found.same:
        names = ", ".join(found.differs) or "nothing that a run records"
        raise CheckFailed(f"run {run} gave other bytes; what differs: {names}")
