"""Training in float32: deterministic for a seed, on the same versions and number of threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError, TrainingDiverged
from edgeops.training.architectures.build import build, with_parameters
from edgeops.training.arrays import Float32, Targets
from edgeops.training.augment import augmented
from edgeops.training.backend import load_tensorflow
from edgeops.training.losses import Loss, cross_entropy, distilled, reconstruction_loss
from edgeops.training.pruning import Pruner, ZeroMask
from edgeops.training.recipe import Recipe

Progress = Callable[[int, int, dict[str, float]], None]
# a batch of inputs to outputs while training, and to what layers add to the loss
Forward = Callable[[Any], tuple[Any, list[Any]]]
_STEP_SEED_SPAN = 2**32


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What is learned from and what is watched: ``inputs`` (M, *shape) with the ``rows`` to use, repeated ones
    more often; ``targets`` (M,); ``validation`` inputs and targets; how many classes there are.
    """

    inputs: Float32
    targets: Targets
    rows: NDArray[np.int64]
    validation: tuple[Float32, Targets]
    n_classes: int


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained keras model, and its curves: one dictionary of figures an epoch."""

    model: Any
    curves: tuple[dict[str, float], ...]


def train_float(recipe: Recipe, data: TrainingSet, seed: int, progress: Progress | None = None) -> Fitted:
    """Build and train the recipe's model, after its teacher where it has one.

    Sets the process-wide seeds of Python, NumPy and TensorFlow. ``progress`` is called after each epoch with
    its number from 1, the number of epochs, and loss, accuracy and val_accuracy (val_loss where anomalies are
    found). Raises ``ConfigError`` when the architecture does not build, and as ``run`` does.
    """
    tensorflow, keras = load_tensorflow(recipe.training.threads)
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed % _STEP_SEED_SPAN)
    tensorflow.config.experimental.enable_op_determinism()
    chosen, shape = recipe.training, data.inputs.shape[1:]
    loss = loss_of(recipe, data)
    teaching = chosen.distillation
    if teaching.epochs:
        teacher = build(with_parameters(recipe, teaching.teacher), keras, shape, data.n_classes)
        run(recipe, teacher, data, loss, teaching.epochs, chosen.learning_rate, seed + 1)
        loss = distilled(tensorflow, loss, teacher, teaching.temperature, teaching.share)
        keras.utils.set_random_seed(seed % _STEP_SEED_SPAN)
    model = build(recipe, keras, shape, data.n_classes)
    pruner = Pruner(tensorflow, model, chosen.pruning, _steps(recipe, data, chosen.epochs))
    rate = chosen.learning_rate
    return Fitted(model, run(recipe, model, data, loss, chosen.epochs, rate, seed, progress, zeros=pruner))


def loss_of(recipe: Recipe, data: TrainingSet) -> Loss:
    """What the recipe's model is trained to make small, without a teacher."""
    tensorflow, _ = load_tensorflow(recipe.training.threads)
    if recipe.finds_anomalies:
        return reconstruction_loss(tensorflow)
    chosen = recipe.training
    weights = class_weights(data.targets[data.rows], data.n_classes) if chosen.balanced else None
    return cross_entropy(tensorflow, data.n_classes, chosen.label_smoothing, weights)


def run(
    recipe: Recipe,
    model: Any,
    data: TrainingSet,
    loss: Loss,
    epochs: int,
    learning_rate: float,
    seed: int,
    progress: Progress | None = None,
    *,
    zeros: ZeroMask | None = None,
    forward: Forward | None = None,
) -> tuple[dict[str, float], ...]:
    """Train those of the model's layers that are ``trainable``, in place; returns the curves.

    ``zeros`` keeps weights at zero. ``forward`` is what a batch goes through, where it is not the model itself.
    Raises ``TrainingDiverged`` after the epoch in which the loss or a weight is no longer a finite number,
    ``DataError`` where the inputs were not.
    """
    tensorflow, keras = load_tensorflow(recipe.training.threads)
    rng = np.random.default_rng(seed)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, _steps(recipe, data, epochs))
    zeros = zeros or ZeroMask(tensorflow, [])
    step = _training_step(tensorflow, keras, model, loss, rate, forward)
    curves = []
    for epoch in range(1, epochs + 1):
        losses, hits, seen = [], [], 0
        for x, y in _batches(recipe, data, rng):
            value, hit = step(tensorflow.constant(x), tensorflow.constant(y))
            zeros.after_step()
            losses.append(value)
            hits.append(hit)
            seen += len(y)
        figures = {
            "loss": float(np.mean([float(value) for value in losses])),
            **({} if recipe.finds_anomalies else {"accuracy": sum(int(hit) for hit in hits) / seen}),
            **_validated(recipe, model, data.validation),
        }
        if not (math.isfinite(figures["loss"]) and _finite(model)):
            raise _diverged(recipe, data, epoch, learning_rate)
        curves.append(figures)
        if progress is not None:
            progress(epoch, epochs, figures)
    zeros.finish()
    return tuple(curves)


def _finite(model: Any) -> bool:
    return all(bool(np.isfinite(weights).all()) for weights in model.get_weights())


def _diverged(
    recipe: Recipe, data: TrainingSet, epoch: int, learning_rate: float
) -> DataError | TrainingDiverged:
    """Why a training has ended in values that are not finite, as far as that can be told."""
    if not all(
        np.isfinite(data.inputs[rows]).all() for rows in np.array_split(data.rows, -(-len(data.rows) // 256))
    ):
        return DataError(
            f"{recipe.path}: the preprocessing gives values that are not finite",
            fix="correct the factors under preprocessing.steps; edgeops data show NAME tells the range of the data",
            file=str(recipe.path),
            key="preprocessing.steps",
        )
    return TrainingDiverged(
        f"{recipe.path}: the training diverged: after epoch {epoch} loss or weights are no numbers",
        fix=f"lower training.learning_rate, which is {learning_rate:g}, and scale inputs to about -1..1",
        file=str(recipe.path),
        key="training.learning_rate",
        epoch=epoch,
    )


def _steps(recipe: Recipe, data: TrainingSet, epochs: int) -> int:
    how = recipe.training.augmentation
    return -(-len(data.rows) * (how.copies + how.originals) // recipe.training.batch_size) * epochs


def class_weights(targets: Targets, n_classes: int) -> NDArray[np.float32]:
    """(n_classes,): inversely proportional to frequency, 1 on average over the items; 0 for an absent class."""
    counts = np.bincount(targets, minlength=n_classes)
    present = np.maximum(counts, 1)
    return np.where(counts > 0, len(targets) / ((counts > 0).sum() * present), 0).astype(np.float32)


def _batches(
    recipe: Recipe, data: TrainingSet, rng: np.random.Generator
) -> Iterator[tuple[Float32, Targets]]:
    """One epoch: the items and their fresh augmented copies, shuffled; only a batch is in memory at a time."""
    how, size = recipe.training.augmentation, recipe.training.batch_size
    count, originals = len(data.rows), int(how.originals)
    order = rng.permutation(count * (how.copies + originals))
    for start in range(0, len(order), size):
        drawn = order[start : start + size]
        rows = data.rows[drawn % count]
        x = np.asarray(data.inputs[rows])
        changed = np.flatnonzero(drawn // count >= originals)
        if len(changed):
            x[changed] = augmented(x[changed], how, rng)
        yield x, data.targets[rows]


def _training_step(
    tensorflow: Any, keras: Any, model: Any, loss: Loss, learning_rate: Any, forward: Forward | None
) -> Any:
    """One compiled step of Adam; a loop of our own takes half the time of ``fit`` here."""
    variables = list(model.trainable_variables)
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(variables)
    signature = [
        tensorflow.TensorSpec((None, *model.input_shape[1:]), tensorflow.float32),
        tensorflow.TensorSpec((None,), tensorflow.int64),
    ]

    def plainly(x: Any) -> tuple[Any, list[Any]]:
        outputs = model(x, training=True)
        return outputs, model.losses

    def step(x: Any, y: Any) -> tuple[Any, Any]:
        with tensorflow.GradientTape() as tape:
            outputs, added = (forward or plainly)(x)
            value = loss(x, y, outputs)
            if added:
                value += tensorflow.add_n(added)
        gradients = tape.gradient(value, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return value, _hits(tensorflow, outputs, y)

    return tensorflow.function(step, input_signature=signature)


def _hits(tensorflow: Any, outputs: Any, y: Any) -> Any:
    if len(outputs.shape) != 2:
        return tensorflow.constant(0)
    right = tensorflow.equal(tensorflow.argmax(outputs, axis=1), y)
    return tensorflow.reduce_sum(tensorflow.cast(right, tensorflow.int32))


def _validated(recipe: Recipe, model: Any, validation: tuple[Float32, Targets]) -> dict[str, float]:
    x, y = validation
    if len(x) == 0:
        return {}
    outputs = predict_float(model, x)
    if recipe.finds_anomalies:
        return {"val_loss": float(np.mean((outputs - x) ** 2))}
    return {"val_accuracy": float((outputs.argmax(axis=1) == y).mean())}


def predict_float(model: Any, x: Float32, batch: int = 256) -> Float32:
    """Outputs of a keras model on preprocessed ``x`` (N, *shape), at inference."""
    parts = [model(x[i : i + batch], training=False).numpy() for i in range(0, len(x), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, *model.output_shape[1:]), np.float32)
