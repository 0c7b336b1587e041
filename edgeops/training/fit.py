"""Training in float32: deterministic for a seed, on the same versions and number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.training.architectures import build
from edgeops.training.backend import load_tensorflow
from edgeops.training.prepare import Float32, augmented
from edgeops.training.recipe import Recipe

Progress = Callable[[int, int, dict[str, float]], None]
Targets = NDArray[np.int64]
_STEP_SEED_SPAN = 2**32


def train_float(
    recipe: Recipe,
    inputs: Float32,
    targets: Targets,
    validation: tuple[Float32, Targets],
    n_classes: int,
    seed: int,
    progress: Progress | None = None,
) -> Any:
    """A trained keras model for preprocessed ``inputs`` (N, *shape) and ``targets`` (N,).

    Sets the process-wide seeds of Python, NumPy and TensorFlow. ``progress`` is called after each epoch with
    its number from 1, the number of epochs, and loss, accuracy and val_accuracy. Raises ``ConfigError`` when
    the architecture does not build.
    """
    tensorflow, keras = load_tensorflow()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed % _STEP_SEED_SPAN)
    tensorflow.config.experimental.enable_op_determinism()
    model = build(recipe, inputs.shape[1:], n_classes)
    rng = np.random.default_rng(seed)
    chosen = recipe.training
    per_epoch = len(inputs) * (1 + chosen.augmentation.copies)
    steps = -(-per_epoch // chosen.batch_size) * chosen.epochs
    step = _training_step(tensorflow, keras, model, chosen.learning_rate, steps)
    for epoch in range(1, chosen.epochs + 1):
        x, y = _epoch_data(recipe, inputs, targets, rng)
        losses, hits = [], []
        for start in range(0, len(x), chosen.batch_size):
            batch = slice(start, start + chosen.batch_size)
            loss, hit = step(tensorflow.constant(x[batch]), tensorflow.constant(y[batch]))
            losses.append(loss)
            hits.append(hit)
        if progress is not None:
            metrics = {
                "loss": float(np.mean([float(loss) for loss in losses])),
                "accuracy": sum(int(hit) for hit in hits) / len(x),
                "val_accuracy": _accuracy(model, *validation),
            }
            progress(epoch, chosen.epochs, metrics)
    return model


def _epoch_data(
    recipe: Recipe, inputs: Float32, targets: Targets, rng: np.random.Generator
) -> tuple[Float32, Targets]:
    """The items and their fresh augmented copies, shuffled."""
    how = recipe.training.augmentation
    copies = [augmented(inputs, how, rng) for _ in range(how.copies)]
    x, y = np.concatenate([inputs, *copies]), np.tile(targets, 1 + how.copies)
    order = rng.permutation(len(x))
    return x[order], y[order]


def _training_step(tensorflow: Any, keras: Any, model: Any, learning_rate: float, steps: int) -> Any:
    """One compiled step of Adam on cross entropy; a loop of our own takes half the time of ``fit`` here."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(model.trainable_variables)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy()
    signature = [
        tensorflow.TensorSpec((None, *model.input_shape[1:]), tensorflow.float32),
        tensorflow.TensorSpec((None,), tensorflow.int64),
    ]

    def step(x: Any, y: Any) -> tuple[Any, Any]:
        with tensorflow.GradientTape() as tape:
            scores = model(x, training=True)
            loss = cross_entropy(y, scores)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        hits = tensorflow.reduce_sum(
            tensorflow.cast(tensorflow.equal(tensorflow.argmax(scores, axis=1), y), tensorflow.int32)
        )
        return loss, hits

    return tensorflow.function(step, input_signature=signature)


def _accuracy(model: Any, x: Float32, y: Targets) -> float:
    if len(x) == 0:
        return 0.0
    return float((model(x, training=False).numpy().argmax(axis=1) == y).mean())
