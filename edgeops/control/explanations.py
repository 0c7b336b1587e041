"""Gathering why a version answers as it does: its float weights, its test part, and what both say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.control.datasets import load_dataset
from edgeops.control.run_record import changed_since, recorded_recipe
from edgeops.control.workspace import Workspace
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.data.dataset import Dataset, Part
from edgeops.registry.names import find_model
from edgeops.registry.tables import DatasetVersion, ModelVersion, Run
from edgeops.reports.attribution_pictures import Range
from edgeops.reports.explanation import ExplainedItem, Explanation, Loss
from edgeops.training.arrays import Float32, Targets
from edgeops.training.explain import (
    grad_cam,
    integrated_gradients,
    permutation_importance,
    reconstruction_shares,
)
from edgeops.training.layout import Layout, layout_of, regions_of
from edgeops.training.prepare import Prepared, prepare
from edgeops.training.quantize import representative_rows
from edgeops.training.recipe import Recipe
from edgeops.training.scoring import FloatScorer, Int8Scorer, float_scorer, int8_scorer
from edgeops.training.weights import rebuilt

REPEATS = 3
SEPARATION = "separation of anomalies"
_INFERENCES = 30_000  # about what the permutations take
_FEWEST, _MOST = 100, 1000  # items of one permutation
_TESTED = 4096
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class _Opened:
    """A version with all that explaining it takes; ``rows`` are those of the test part, at most 4,096."""

    version: ModelVersion
    recipe: Recipe
    dataset: Dataset
    data: Prepared
    layout: Layout
    in_float: FloatScorer
    in_int8: Int8Scorer
    rows: NDArray[np.int64]

    @property
    def targets(self) -> Targets:
        """Of ``rows``."""
        return self.data.targets[self.rows]


def explain_model(
    workspace: Workspace, model: str, items: int, seed: int = 1, progress: Progress | None = None
) -> Explanation:
    """Permutation importance of ``model`` or ``model@version``, and ``items`` test items explained.

    Half of them are wrong answers where there are as many. ``progress`` is told how many regions of how many
    are done, of none when all that can be checked before has been. Raises ``NotFoundError`` for a model, dataset
    or weights that are not there, ``UsageError`` for a version without its float weights, or whose own
    architecture is not what it was.
    """
    opened = _open(workspace, model)
    regions = regions_of(opened.layout)
    if progress is not None:
        progress(0, len(regions))
    answers = opened.in_float.score(opened.data.inputs[opened.rows]).scores
    predicted = answers.argmax(axis=1)
    chosen = choose(predicted, opened.targets, answers.max(axis=1), items, seed)
    sample = _sample(opened)
    x, y = opened.data.inputs[sample], opened.data.targets[sample]

    def quality(inputs: Float32) -> float:
        return _quality(opened, inputs, y)

    lost = permutation_importance(quality, x, regions, seed, REPEATS, progress)
    return Explanation(
        model=f"{opened.version.model}@{opened.version.version}",
        description=opened.recipe.description,
        view=opened.layout.view,
        finds_anomalies=opened.recipe.finds_anomalies,
        measure=SEPARATION if opened.recipe.finds_anomalies else "accuracy",
        quality=quality(x),
        permuted=len(sample),
        repeats=REPEATS,
        losses=[Loss(entry.name, entry.lost, entry.deviation) for entry in lost],
        grid=opened.layout.grid,
        columns=opened.layout.columns,
        tested=len(opened.rows),
        wrong=int((predicted != opened.targets).sum()),
        value_range=_value_range(opened.layout, x),
        items=_explained(opened, opened.rows[chosen], answers[chosen]),
    )


def choose(
    predicted: Targets, targets: Targets, confidence: NDArray[np.float32], count: int, seed: int
) -> NDArray[np.int64]:
    """Which of N items to look at, at most ``count``: the surest wrong ones, then right ones, classes in turn.

    The wrong ones are half of them, or more where too few were right. All (N,). Right ones are drawn at random.
    """
    wrong = np.flatnonzero(predicted != targets)
    right = np.random.default_rng(seed).permutation(np.flatnonzero(predicted == targets))
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    turn = np.zeros(len(right), np.int64)
    for label in np.unique(targets[right]):
        of_label = targets[right] == label
        turn[of_label] = np.arange(of_label.sum())
    right = right[np.lexsort((targets[right], turn))]
    n_wrong = min(len(wrong), max(count // 2, count - len(right)))
    return np.concatenate([wrong[:n_wrong], right[: count - n_wrong]])


def _open(workspace: Workspace, model: str) -> _Opened:
    with workspace.registry.reading() as session:
        version = find_model(session, model)
        run = session.get_one(Run, version.run_id)
        row = session.get_one(DatasetVersion, run.dataset_id)
    name = f"{version.model}@{version.version}"
    if not run.record.get("weights_sha256"):
        raise UsageError(
            f"{name} has no float weights to explain: an older version of EdgeOps did not keep them",
            fix=f"edgeops train {run.recipe} --seed {run.seed}",
        )
    recipe = recorded_recipe(run)
    if "code" in changed_since(run, recipe):
        raise UsageError(
            f"the architecture of {name} is code of its recipe's own, and that is not what it was",
            fix=f"check out the commit that edgeops run show {run.id} names",
        )
    dataset, _ = load_dataset(workspace, f"{row.name}@{row.version}")
    data = prepare(recipe, dataset)
    shape = tuple(int(size) for size in data.inputs.shape[1:])
    try:
        weights = workspace.blobs.get(run.record["weights_sha256"])
    except NotFoundError as error:
        raise NotFoundError(
            f"the float weights of {name} are gone: {error.message}",
            fix=f"restore the folder blobs of the workspace, or: edgeops train {run.recipe} --seed {run.seed}",
            sha256=run.record["weights_sha256"],
        ) from error
    keras_model = rebuilt(recipe, shape, len(data.labels), weights)
    validation = data.inputs[data.rows(Part.VALIDATION)]
    rows = data.rows(Part.TEST)
    return _Opened(
        version,
        recipe,
        dataset,
        data,
        layout_of(recipe, shape, dataset.columns),
        float_scorer(recipe, keras_model, validation),
        int8_scorer(recipe, workspace.blobs.get(version.artifact_sha256), validation),
        rows[_fair(data.targets[rows], _TESTED)],
    )


def _sample(opened: _Opened) -> NDArray[np.int64]:
    """The rows whose values are exchanged: the more, the fewer regions there are."""
    many = _INFERENCES // (REPEATS * len(regions_of(opened.layout)))
    many = min(max(many, _FEWEST), _MOST)
    if opened.recipe.finds_anomalies:  # both kinds are compared, and one may be rare
        return opened.rows[representative_rows(opened.targets, many, seed=1)]
    return opened.rows[_fair(opened.targets, many)]


def _fair(targets: Targets, count: int) -> NDArray[np.int64]:
    """At most ``count`` places of ``targets`` (N,), each class with its share, in ascending order."""
    by_class = np.argsort(targets, kind="stable")
    spaced = np.unique(np.linspace(0, len(targets) - 1, min(count, len(targets))).astype(np.int64))
    return np.sort(by_class[spaced])


def _quality(opened: _Opened, x: Float32, y: Targets) -> float:
    scored = opened.in_int8.score(opened.in_int8.quantized(x))
    if scored.errors is not None:  # the area under the ROC curve stays at 1 where anomalies are plain
        logs = np.log10(np.maximum(scored.errors, np.finfo(np.float32).tiny))
        return float(logs[y == 1].mean() - logs[y == 0].mean())
    return float((scored.scores.argmax(axis=1) == y).mean())


def _value_range(layout: Layout, x: Float32) -> Range:
    """Of all values, but of each cepstral coefficient by itself: they differ by orders of magnitude."""
    if layout.cepstral:
        bands = x.reshape(-1, len(layout.bands))
        return bands.min(axis=0), bands.max(axis=0)
    return np.asarray(x.min()), np.asarray(x.max())


def _explained(opened: _Opened, rows: NDArray[np.int64], answers: NDArray[Any]) -> list[ExplainedItem]:
    if len(rows) == 0:
        return []
    data, model = opened.data, opened.in_float.model
    x, said, truths = data.inputs[rows], answers.argmax(axis=1), data.targets[rows]
    in_int8 = opened.in_int8.score(opened.in_int8.quantized(x)).scores
    heats = against = None
    if opened.recipe.finds_anomalies:
        attributions = reconstruction_shares(model, x)
        differences = ((model(x, training=False).numpy() - x) ** 2).reshape(len(x), -1).mean(axis=1)
    else:
        learned = data.rows(Part.TRAIN)[:_TESTED]  # their order is random, so the first are a fair sample
        baseline = np.asarray(data.inputs[learned].mean(axis=0), np.float32)
        attributions = integrated_gradients(model, x, said, baseline)
        against = integrated_gradients(model, x, truths, baseline) if (said != truths).any() else None
        base = opened.in_float.score(baseline[np.newaxis]).scores[0]
        differences = answers[np.arange(len(x)), said] - base[said]
        heats = grad_cam(model, x, said)
    regions = regions_of(opened.layout)
    return [
        ExplainedItem(
            name=_name(opened, int(row)),
            truth=data.labels[truths[i]],
            said=data.labels[said[i]],
            confidence=float(answers[i].max()),
            int8_said=data.labels[int(in_int8[i].argmax())],
            int8_confidence=(float(in_int8[i].max()) + 128) / 256,
            values=x[i],
            attribution=attributions[i],
            difference=float(differences[i]),
            by_region={r.name: float(attributions[i][r.place].sum()) for r in regions},
            against=against[i] if against is not None and said[i] != truths[i] else None,
            heat=heats[i] if heats is not None else None,
        )
        for i, row in enumerate(rows)
    ]


def _name(opened: _Opened, row: int) -> str:
    """The file an item is from, or its digest; which window, where it is one of several."""
    item = int(opened.data.items[row])
    files = opened.dataset.files
    name = (files[item] if files else "") or opened.dataset.index.digests[item].hex()[:12]
    windows = np.flatnonzero(opened.data.items == item)
    return f"{name}, window {int(np.searchsorted(windows, row))}" if len(windows) > 1 else name
