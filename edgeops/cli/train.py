"""``edgeops train``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeops.cli.artifacts import in_words
from edgeops.cli.gates import gate_lines
from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    chosen,
    print_facts,
    say,
)
from edgeops.cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

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
    import shlex
    from pathlib import Path

    from edgeops.control.model_cards import card_paths
    from edgeops.control.recipes import recipe_path
    from edgeops.control.training_jobs import parse_holdout, require_gates, train_and_register
    from edgeops.control.training_words import measured_on, next_steps, scarce_test
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError

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
    recipe_path(opened, recipe, say)  # a first one may be written, and that is told before the training
    with Progress("train", 0) as bar:
        trained = train_and_register(opened, recipe, dataset, seed, _told(bar), parse_holdout(holdout or []))
    document = trained.as_dict()
    form = chosen(output, json)
    if form is Format.TABLE:
        document = {key: value for key, value in document.items() if value is not None}
        document = in_words(document)
        document.pop("same_as", None)  # a sentence says it
        del document["metrics"]
        document |= {name: _measured(trained.run.metrics[name]) for name in ("int8", "float")}
        document["tested_on"] = measured_on(trained)
        document["gates"] = gate_lines(trained.run.gates)
    print_facts(document, form)
    if form is not Format.TABLE:
        require_gates(trained)
        return
    model = f"{trained.version.model}@{trained.version.version}"
    markdown, page = card_paths(opened, model)
    say(f"Model card: {markdown} and {page.name}")
    if trained.same_as:
        say(f"{model} has the same bytes as {trained.same_as}")
    if too_few := scarce_test(trained):
        say(f"Warning: {too_few} test it, which says little about others; add more to the dataset")
    require_gates(trained)
    where = "" if workspace == "." else f" -w {shlex.quote(workspace)}"
    say("Next: " + ", then ".join(f"{step}{where}" for step in next_steps(opened, trained)))


def _told(bar: Progress) -> "Callable[[int, int, dict[str, float]], None]":
    def told(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        bar.resize(epochs)
        bar.update(epoch, _figure(metrics) if metrics else "preparing")

    return told


def _measured(metrics: dict[str, Any]) -> str:
    from edgeops.reports.quality import accuracy, area, false_alarms, share

    if "auc" not in metrics:
        return f"accuracy {share(accuracy(metrics))}"
    return f"AUC {share(area(metrics))}, false alarms {share(false_alarms(metrics))}"


def _figure(metrics: dict[str, float]) -> str:
    if "val_accuracy" in metrics:
        return f"val {metrics['val_accuracy']:.3f}"
    return f"val loss {metrics.get('val_loss', metrics['loss']):.4f}"


def _reproduce(opened: "Workspace", run: int, form: Format) -> None:
    from edgeops.control.reproduce import reproduce
    from edgeops.core.errors import CheckFailed

    with Progress(f"run {run}", 0) as bar:
        found = reproduce(opened, run, _told(bar))
    document = {"run": run, "same": found.same, "sha256": found.sha256, "expected": found.expected}
    print_facts({**document, "differs": found.differs}, form)
    if not found.same:
        names = ", ".join(found.differs) or "nothing that a run records"
        raise CheckFailed(f"run {run} gave other bytes; what differs: {names}")
