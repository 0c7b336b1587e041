"""``edgeops train``."""

from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_facts, say
from edgeops.cli.progress import Progress


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's folder or file, or the name of one that ships.")],
    dataset: Annotated[
        str | None, typer.Option(help="NAME or NAME@VERSION; the recipe's by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, data and versions give the same bytes.")] = 1,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Train, quantize, evaluate, gate, sign and register a model version.

    Exits with 3 when a gate says no; the version is then registered as rejected.

    Example: edgeops train models/digits
    """
    from pathlib import Path

    from edgeops.control.training_jobs import require_gates, train_and_register
    from edgeops.control.workspace import Workspace
    from edgeops.training.recipe import find_recipe, load_recipe

    opened = Workspace(Path(workspace))
    epochs = load_recipe(find_recipe(recipe)).training.epochs
    with Progress("train", epochs) as bar:
        trained = train_and_register(
            opened,
            recipe,
            dataset,
            seed,
            lambda epoch, _, metrics: bar.update(epoch, f"val {metrics.get('val_accuracy', 0):.3f}"),
        )
    document = trained.as_dict()
    form = chosen(output, json)
    if form is Format.TABLE:
        metrics = trained.run.metrics
        document["metrics"] = {name: round(m["accuracy"], 4) for name, m in metrics.items()}
        document["gates"] = [
            f"{g['name']} {'OK' if g['passed'] else 'FAIL'} ({g['value']:.4g}, limit {g['limit']:.4g})"
            for g in trained.run.gates
        ]
    print_facts(document, form)
    require_gates(trained)
    if form is Format.TABLE:
        say(
            f"Next: edgeops rollout start {trained.version.model}@{trained.version.version} --workspace {workspace}"
        )
