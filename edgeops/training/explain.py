"""Why a model answers as it does: which bands or channels it needs, and what in one input it looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.training.arrays import Float32, Targets
from edgeops.training.backend import load_tensorflow
from edgeops.training.layout import Region

STEPS = 128
_DECIMALS = 12
MIN_PLACES = 9  # a map of fewer places says nothing about where


@dataclass(frozen=True, slots=True)
class Importance:
    """``name`` of what was permuted, and the quality that was lost by it, with its deviation over repeats."""

    name: str
    lost: float
    deviation: float


def permutation_importance(
    quality: Callable[[Float32], float],
    x: Float32,
    regions: Sequence[Region],
    seed: int = 1,
    repeats: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> list[Importance]:
    """What each region is worth (Breiman 2001): exchanged among the items at random, how much is lost.

    ``quality`` judges inputs (N, *shape), larger is better, in the order that ``x`` has. One entry a region,
    in its order; ``progress`` is told how many regions of how many are done. What stands together in a region
    is moved together. Where others say the same as a region does, little is lost without it.
    """
    rng = np.random.default_rng(seed)
    whole = quality(x)
    found = []
    for number, region in enumerate(regions, start=1):
        place = (slice(None), *region.place)
        mixed, lost = x.copy(), []
        for _ in range(repeats):
            mixed[place] = x[rng.permutation(len(x))][place]
            lost.append(whole - quality(mixed))
        # what is left by rounding alone is nothing
        mean, deviation = (round(float(value), _DECIMALS) for value in (np.mean(lost), np.std(lost)))
        found.append(Importance(region.name, mean, deviation))
        if progress is not None:
            progress(number, len(regions))
    return found


def integrated_gradients(
    model: Any, x: Float32, classes: Targets, baseline: Float32, steps: int = STEPS
) -> Float32:
    """How much each value spoke for a class (Sundararajan et al. 2017): (N, *shape), which adds up, per item, to
    the class's probability less that of the ``baseline`` (*shape), up to the error of ``steps``.
    """
    tensorflow, _ = load_tensorflow()

    def slopes(at: Any, chosen: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            tape.watch(at)
            scores = model(at, training=False)
            total = tensorflow.reduce_sum(scores * tensorflow.one_hot(chosen, scores.shape[-1]))
        return tape.gradient(total, at)

    signature = [
        tensorflow.TensorSpec((None, *x.shape[1:]), tensorflow.float32),
        tensorflow.TensorSpec((None,), tensorflow.int64),
    ]
    compiled = tensorflow.function(slopes, input_signature=signature)
    result = np.empty(x.shape, np.float32)
    shares = (np.arange(steps, dtype=np.float32) + np.float32(0.5)) / np.float32(steps)  # the midpoint rule
    shares = shares.reshape(-1, *[1] * baseline.ndim)
    for index, (item, wanted) in enumerate(zip(x, classes, strict=True)):
        along = tensorflow.constant(baseline + shares * (item - baseline))
        found = compiled(along, tensorflow.fill((steps,), tensorflow.cast(wanted, tensorflow.int64))).numpy()
        result[index] = (item - baseline) * found.mean(axis=0, dtype=np.float64)
    return result


def reconstruction_shares(model: Any, x: Float32) -> Float32:
    """(N, *shape): what each value adds to an autoencoder's error, their sum the mean squared error of an item."""
    restored = model(x, training=False).numpy()
    return np.asarray((restored - x) ** 2 / x[0].size, np.float32)


def grad_cam(model: Any, x: Float32, classes: Targets) -> Float32 | None:
    """Where the last convolution found a class (Selvaraju et al. 2017), 0 and above; None where none can say.

    (N, height, width) of inputs (N, height, width, channels), and (N, length) of inputs (N, length, channels)
    that a model convolves as an image of height one; brought to that size by repetition. The maps are those
    after the activation that follows the last convolution of nine places or more, the gradients those of the
    class's score before the softmax.
    """
    tensorflow, keras = load_tensorflow()
    layer = _last_map(model)
    if layer is None or len(x.shape) not in (3, 4):
        return None
    before, score = _before_softmax(model)
    inner = keras.Model(model.inputs, [layer.output, before])
    given = tensorflow.constant(x)
    with tensorflow.GradientTape() as tape:
        tape.watch(given)  # layers that are not trained would otherwise leave no trace
        maps, last = inner(given, training=False)
        chosen = tensorflow.gather(score(last), tensorflow.constant(classes), batch_dims=1)
    weights = tensorflow.reduce_mean(tape.gradient(chosen, maps), axis=(1, 2), keepdims=True)
    heat = np.maximum(tensorflow.reduce_sum(weights * maps, axis=3).numpy(), 0)
    if len(x.shape) == 3:
        if heat.shape[1] != 1:
            return None
        return _repeated(heat[:, 0], x.shape[1], axis=1)
    return _repeated(_repeated(heat, x.shape[1], axis=1), x.shape[2], axis=2)


def _repeated(heat: NDArray[np.float32], size: int, axis: int) -> Float32:
    return np.asarray(heat.take(np.arange(size) * heat.shape[axis] // size, axis=axis), np.float32)


def _last_map(model: Any) -> Any:
    """The layer whose output is the last convolution's, normalised and activated."""
    sizes = [_places(layer) for layer in model.layers]
    last = max(
        (
            i
            for i, layer in enumerate(model.layers)
            if hasattr(layer, "kernel") and _count(sizes[i]) >= MIN_PLACES
        ),
        default=None,
    )
    if last is None:
        return None
    return model.layers[max(i for i, size in enumerate(sizes) if i >= last and size == sizes[last])]


def _before_softmax(model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A tensor of the model, and what makes class scores of it that a softmax has not levelled yet.

    The gradient of a probability vanishes where the model is sure.
    """
    last = model.layers[-1]
    if getattr(getattr(last, "activation", None), "__name__", "") == "softmax":
        if not hasattr(last, "kernel"):
            return last.input, lambda scores: scores
        if len(last.kernel.shape) == 2:
            return last.input, lambda features: features @ last.kernel + (last.bias if last.use_bias else 0)
    if type(last).__name__ == "Softmax":
        return last.input, lambda scores: scores
    return model.outputs[0], lambda scores: scores


def _places(layer: Any) -> tuple[int, ...]:
    """Height, width and channels of what a layer gives, where it is a map."""
    shape = tuple(getattr(layer.output, "shape", ()))
    return shape[1:] if len(shape) == 4 else ()


def _count(places: tuple[int, ...]) -> int:
    return places[0] * places[1] if places else 0
