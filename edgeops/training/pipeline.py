"""One call from recipe and dataset to a judged int8 model; retraining is the same call on a later version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

import edgeops
from edgeops.core.errors import ConfigError, DataError
from edgeops.core.manifest import Step
from edgeops.core.tensors import TensorSpec
from edgeops.data.dataset import Dataset, Part
from edgeops.training.arrays import Float32, Int8, Targets
from edgeops.training.backend import threads_in_use
from edgeops.training.corruptions import corrupted
from edgeops.training.evaluate import Metrics
from edgeops.training.fit import Fitted, Progress, TrainingSet, train_float
from edgeops.training.gates import FitFinding, Gate, count_leaked, judge
from edgeops.training.prepare import Assigned, Prepared, assign, prepare, shape_after
from edgeops.training.recipe import Recipe
from edgeops.training.sampling import Sampling, parts_used, sampling_of
from edgeops.training.scoring import FloatScorer, Int8Scorer, float_scorer, int8_scorer
from edgeops.training.sweep import quantize_best
from edgeops.training.windows import overlap

MAX_REFERENCE = 4096
MAX_SLICE_VALUES = 24  # a column of more values numbers the items, and its accuracies say nothing
FitCheck = Callable[[bytes, str], FitFinding]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model, what it was measured at, and what the manifest's reference figures are made of.

    ``reference_inputs`` (R, *shape) int8: the train and validation items, each once, unaugmented, at most
    4,096. ``validation_inputs``/``validation_outputs``/``validation_targets`` and ``test_inputs``/
    ``test_outputs``/``test_targets``: int8 inputs (N, *shape), int8 class scores (N, classes), int64 targets;
    ``float_scores`` (N, classes) of the test part. ``threshold`` is of reconstruction errors, in the unit of
    ``edgeops.core.outputs``, where anomalies are found. ``fitted`` is the float model that ``tflite`` was made of:
    the one that ``float_metrics`` are of, or what training under rounding made of it. ``parts`` says how many inputs,
    items and groups each part has, as ``edgeops.training.sampling`` counts them. ``seconds`` is wall-clock
    time, everything else repeats for the same seed, data and versions.
    """

    tflite: bytes
    float_metrics: Metrics
    int8_metrics: Metrics
    gates: tuple[Gate, ...]
    input: TensorSpec
    output: TensorSpec
    raw_shape: tuple[int, ...]
    steps: tuple[Step, ...]
    sample_rate_hz: float
    threshold: int | None
    reference_inputs: Int8
    validation_inputs: Int8
    validation_outputs: Int8
    validation_targets: Targets
    test_inputs: Int8
    test_outputs: Int8
    test_targets: Targets
    float_scores: Float32
    labels: tuple[str, ...]
    curves: tuple[dict[str, float], ...]
    parts: Mapping[str, Mapping[str, int]]
    notes: Mapping[str, object]
    versions: dict[str, str]
    seed: int
    seconds: float
    fitted: Fitted = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


def train(
    recipe: Recipe,
    dataset: Dataset,
    seed: int,
    progress: Progress | None = None,
    fit_check: FitCheck | None = None,
) -> TrainingResult:
    """Train, quantize, evaluate and judge; a gate that fails is in the result, not raised.

    ``fit_check`` (model, target) says whether a model fits a target that the recipe names. Raises
    ``ConfigError`` when recipe and dataset do not belong together, ``DataError`` when a part that is needed
    is empty or does not have what is to be told apart, ``TrainingDiverged``.
    """
    started = time.perf_counter()
    check(recipe, dataset)
    data = prepare(recipe, dataset)
    rows = training_rows(recipe, data)
    validation = data.part(Part.VALIDATION)
    data.rows(Part.TEST)  # raises before the training, not after it
    training = TrainingSet(data.inputs, data.targets, rows, validation, len(data.labels))
    fitted = train_float(recipe, training, seed, progress)
    in_float = float_scorer(recipe, fitted.model, data.inputs[data.rows(Part.VALIDATION)])
    in_validation = in_float.score(validation[0]).quality(validation[1], len(data.labels))
    quantized = quantize_best(recipe, fitted, training, in_validation, seed)
    made = Made(
        quantized.tflite,
        Fitted(quantized.fitted.model, fitted.curves),
        in_float,
        quantized.notes,
        seed,
        started,
    )
    return measured(recipe, dataset, data, made, fit_check)


@dataclass(frozen=True, eq=False)
class Made:
    """An int8 model, the float one that it was made of with its scorer, and how; ``started`` is a time of
    ``time.perf_counter``.
    """

    tflite: bytes
    fitted: Fitted
    in_float: FloatScorer
    notes: Mapping[str, object]
    seed: int
    started: float


def measured(
    recipe: Recipe,
    dataset: Dataset,
    data: Prepared,
    made: Made,
    fit_check: FitCheck | None = None,
    counted: Prepared | None = None,
) -> TrainingResult:
    """Measure and judge a model that was made; ``fit_check`` and what is raised as of ``train``.

    ``counted`` is what the dataset itself gives, where ``data`` has further rows behind it.
    """
    seed, counted = made.seed, counted or data
    validation = data.part(Part.VALIDATION)
    scorer = int8_scorer(recipe, made.tflite, validation[0])
    test_rows = data.rows(Part.TEST)
    test_targets = data.targets[test_rows]
    columns = sliced(data, test_rows)
    test_inputs = scorer.quantized(data.inputs[test_rows])
    tested = scorer.score(test_inputs)
    float_tested = made.in_float.score(data.inputs[test_rows])
    sampling = _sampling(recipe, dataset, counted, test_rows)
    float_metrics = float_tested.metrics(test_targets, len(data.labels), columns, sampling)
    int8_metrics = tested.metrics(test_targets, len(data.labels), columns, sampling)
    validation_inputs = scorer.quantized(validation[0])
    gates = judge(
        recipe,
        float_metrics,
        int8_metrics,
        len(made.tflite),
        robustness=[
            (how, _under(how.corruption, how.severity, scorer, data.inputs[test_rows], test_targets, seed))
            for how in recipe.gates.robustness
        ],
        fits=[fit_check(made.tflite, t) for t in recipe.targets.names] if fit_check else (),
        leaked=count_leaked_rows(recipe, dataset, counted),
    )
    return TrainingResult(
        tflite=made.tflite,
        float_metrics=float_metrics,
        int8_metrics=int8_metrics,
        gates=gates,
        input=scorer.input,
        output=scorer.output,
        raw_shape=data.raw_shape,
        steps=data.steps,
        sample_rate_hz=dataset.sample_rate_hz,
        threshold=scorer.threshold,
        reference_inputs=_reference(data, scorer),
        validation_inputs=validation_inputs,
        validation_outputs=scorer.score(validation_inputs).scores,
        validation_targets=validation[1],
        test_inputs=test_inputs,
        test_outputs=tested.scores,
        test_targets=test_targets,
        float_scores=float_tested.scores,
        labels=data.labels,
        curves=made.fitted.curves,
        parts=parts_used(counted.items, counted.parts, dataset.groups, dataset.files),
        notes=made.notes,
        versions=versions(),
        seed=seed,
        seconds=time.perf_counter() - made.started,
        fitted=made.fitted,
    )


def sliced(data: Prepared, rows: NDArray[np.int64]) -> dict[str, tuple[str, ...]]:
    """The columns of metadata of some rows, without those that number the items."""
    return {
        name: tuple(values[i] for i in rows)
        for name, values in data.slices.items()
        if len(set(values)) <= MAX_SLICE_VALUES
    }


def evaluate_part(
    recipe: Recipe, tflite: bytes, dataset: Dataset, part: str | Part, steps: Sequence[Step] | None = None
) -> Metrics:
    """An int8 classifier, old or new, on one part of a dataset; raises ``DataError`` when it is empty.

    ``steps`` are those of the model's manifest, where it has other ones than this recipe and dataset give.
    """
    data = prepare(recipe, dataset, steps)
    inputs, targets = data.part(part if isinstance(part, Part) else Part[part.upper()])
    scorer = int8_scorer(recipe, tflite, data.inputs[:0])
    return scorer.score(scorer.quantized(inputs)).metrics(targets, len(data.labels), {})


def versions() -> dict[str, str]:
    """What decides the bytes of a model besides recipe, data and seed."""
    return {
        "tensorflow": metadata.version("tensorflow"),
        "keras": metadata.version("keras"),
        "numpy": metadata.version("numpy"),
        "edgeops": edgeops.__version__,
        "threads": str(threads_in_use()),
    }


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Find out what ``train`` would refuse, as far as that takes no values of the dataset; raises as it does."""
    check_match(recipe, dataset)
    assigned = assign(recipe, dataset)
    learned, _, tested = (assigned.rows(part) for part in (Part.TRAIN, Part.VALIDATION, Part.TEST))
    _check_kinds(recipe, assigned, learned, tested)
    shape_after(recipe, recipe.preprocessing.steps, assigned.raw_shape)


def check_match(recipe: Recipe, dataset: Dataset) -> None:
    """Raise ``ConfigError`` where recipe and dataset do not belong together, or the model is not for devices."""
    _check_scheme(recipe)
    for key, wanted, found in (
        ("data.name", recipe.data.name, dataset.name),
        ("data.kind", recipe.data.kind, dataset.kind),
    ):
        if wanted != found:
            raise ConfigError(
                f"{recipe.path}: {key!r} is {wanted!r}, but the dataset {dataset.name}@{dataset.version} "
                f"has {found!r}",
                fix="train on the dataset that the recipe names, or correct the recipe",
                file=str(recipe.path),
                key=key,
                value=wanted,
            )


def _check_kinds(
    recipe: Recipe, data: Assigned, learned: NDArray[np.int64], tested: NDArray[np.int64]
) -> None:
    """Refuse, before anything is prepared, what could only look good: a test without both, a single class."""
    if recipe.finds_anomalies:
        missing = [label for target, label in enumerate(data.labels) if target not in data.targets[tested]]
        if missing:
            raise DataError(
                f"the test part of {data.dataset} has no item that is {missing[0]}: "
                "the model could not be judged",
                fix=f"add items of {recipe.anomaly.normal!r} and of other labels to the dataset",
                dataset=data.dataset,
            )
    elif len(np.unique(data.targets[learned])) < 2:
        only = data.labels[int(data.targets[learned[0]])]
        raise DataError(
            f"every item of the train part of {data.dataset} is {only!r}: there is nothing to tell apart",
            fix='add items of another label, or look for anomalies: task = "anomaly" under [recipe]',
            dataset=data.dataset,
        )


def _check_scheme(recipe: Recipe) -> None:
    if recipe.quantization.scheme != "int8":
        raise ConfigError(
            f"{recipe.path}: a version for devices is int8; {recipe.quantization.scheme!r} is not rolled out",
            fix='set quantization.scheme = "int8", and compare schemes with edgeops quantize',
            file=str(recipe.path),
            key="quantization.scheme",
        )


def _sampling(recipe: Recipe, dataset: Dataset, data: Prepared, rows: NDArray[np.int64]) -> Sampling | None:
    """Of these rows; None where each is an item of its own, and no group has two."""
    found = sampling_of(data.items[rows], dataset.groups, data.window, recipe.data.stride)
    return found if len(np.unique(found.clusters)) < len(rows) else None


def training_rows(recipe: Recipe, data: Prepared) -> NDArray[np.int64]:
    """The rows of the train part, followed by further rounds of the captured ones in it."""
    rows = data.rows(Part.TRAIN)
    captured = rows[~data.original[rows]]
    return np.concatenate([rows, *[captured] * (recipe.retrain.captured_weight - 1)])


def _under(corruption: str, severity: float, scorer: Int8Scorer, x: Float32, y: Targets, seed: int) -> float:
    changed = corrupted(corruption, x, severity, seed)
    return scorer.score(scorer.quantized(changed)).metrics(y, scorer.n_classes, {}).accuracy


def count_leaked_rows(recipe: Recipe, dataset: Dataset, data: Prepared) -> int:
    """Items and groups of the test part that the train or the validation part has too.

    A recording that is cut by time is one of them where windows of both sides share samples. Nothing is learned
    from anomalies, which all test: those of a group whose normal items are learned from are no leak.
    """
    learned, tested = data.rows(Part.TRAIN, Part.VALIDATION), data.rows(Part.TEST)
    items = np.unique(data.items[learned]), np.unique(data.items[tested])
    both = np.intersect1d(*items)
    if recipe.finds_anomalies:
        tested_items = np.unique(data.items[tested[data.targets[tested] == 0]])
    else:
        tested_items = items[1]
    separate = np.setdiff1d(items[0], both), np.setdiff1d(tested_items, both)
    shared = count_leaked(dataset.groups, dataset.index.digests, separate[0].tolist(), separate[1].tolist())
    return shared + sum(
        overlap(
            data.starts[learned[data.items[learned] == item]],
            data.starts[tested[data.items[tested] == item]],
            data.window,
        )
        for item in both
    )


def _reference(data: Prepared, scorer: Int8Scorer) -> Int8:
    # Captured items are left out: a reference mixed of two worlds would resemble neither.
    rows = data.rows(Part.TRAIN, Part.VALIDATION)
    rows = rows[data.original[rows]]
    # digest order is random with respect to content, so evenly spaced items are a fair sample
    spaced = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_REFERENCE)).astype(np.intp))
    return scorer.quantized(data.inputs[rows[spaced]])
