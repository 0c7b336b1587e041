"""Why a model answers as it does: which bands or channels it needs, and which parts of one input it looked at."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.training.arrays import Float32, Targets
from edgeops.training.backend import load_tensorflow

Predict = Callable[[Float32], NDArray[Any]]
_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Importance:
    """``name`` of what was permuted, and the accuracy that was lost by it, with its deviation over repeats."""

    name: str
    lost: float
    deviation: float


def permutation_importance(
    predict: Predict, x: Float32, y: Targets, seed: int = 1, repeats: int = 3
) -> list[Importance]:
    """What each band, channel or region is worth (Breiman 2001): shuffled among the items, how much is lost.

    ``predict`` gives scores (N, classes) of ``x`` (N, *shape). A spectrogram (frames, bands, 1) is taken apart
    by band, a series (length, channels) by channel and by eighth of its length, an image into 8x8 regions at
    most, a table by column. The largest loss comes first.
    """
    rng = np.random.default_rng(seed)
    whole = float((predict(x).argmax(axis=1) == y).mean())
    found = []
    for name, region in _regions(x.shape[1:]):
        lost = []
        for _ in range(repeats):
            mixed = x.copy()
            place = (slice(None), *region)
            mixed[place] = x[rng.permutation(len(x))][place]
            lost.append(whole - float((predict(mixed).argmax(axis=1) == y).mean()))
        found.append(Importance(name, float(np.mean(lost)), float(np.std(lost))))
    return sorted(found, key=lambda entry: -entry.lost)


def _regions(shape: tuple[int, ...]) -> list[tuple[str, tuple[slice, ...]]]:
    every = slice(None)
    found: list[tuple[str, tuple[slice, ...]]] = []
    if len(shape) == 1:
        return [(f"column {i}", (slice(i, i + 1),)) for i in range(shape[0])]
    if len(shape) == 2:
        if shape[1] > 1:
            found += [(f"channel {i}", (every, slice(i, i + 1))) for i in range(shape[1])]
        parts = _cuts(shape[0])
        return found + [(f"part {n} of {len(parts)}", (cut,)) for n, cut in enumerate(parts, 1)]
    if shape[2] == 1 and shape[0] != shape[1]:
        return [(f"band {i}", (every, slice(i, i + 1))) for i in range(shape[1])]
    rows, columns = _cuts(shape[0]), _cuts(shape[1])
    return [
        (f"rows {r.start}-{r.stop - 1}, columns {c.start}-{c.stop - 1}", (r, c))
        for r in rows
        for c in columns
    ]


def _cuts(size: int) -> list[slice]:
    edges = np.unique(np.linspace(0, size, min(size, _BLOCKS) + 1).astype(int))
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def integrated_gradients(
    model: Any, x: Float32, classes: Targets, baseline: Float32, steps: int = 32
) -> Float32:
    """How much each value spoke for a class (Sundararajan et al. 2017): (N, *shape), which adds up, per item, to
    the class's probability less that of the ``baseline`` (*shape), up to the error of ``steps``.
    """
    tensorflow, _ = load_tensorflow()
    difference = x - baseline
    total = np.zeros_like(x)
    for step in range(steps):
        share = (step + 0.5) / steps  # the midpoint rule
        at = tensorflow.constant(baseline + share * difference)
        with tensorflow.GradientTape() as tape:
            tape.watch(at)
            scores = tensorflow.gather(model(at, training=False), tensorflow.constant(classes), batch_dims=1)
        total += tape.gradient(scores, at).numpy()
    return np.asarray(difference * total / steps, np.float32)


def grad_cam(model: Any, x: Float32, classes: Targets) -> Float32:
    """Where the last convolution found a class (Selvaraju et al. 2017): (N, height, width), 0 and above.

    Scaled up to the input by repetition. Raises ``ValueError`` for a model without a convolution.
    """
    tensorflow, keras = load_tensorflow()
    spatial = [
        layer
        for layer in model.layers
        if len(getattr(layer.output, "shape", ())) == 4 and hasattr(layer, "kernel")
    ]
    if not spatial:
        raise ValueError("the model has no convolution")
    inner = keras.Model(model.inputs, [spatial[-1].output, model.outputs[0]])
    with tensorflow.GradientTape() as tape:
        maps, scores = inner(tensorflow.constant(x), training=False)
        tape.watch(maps)
        chosen = tensorflow.gather(scores, tensorflow.constant(classes), batch_dims=1)
    gradients = tape.gradient(chosen, maps)
    weights = tensorflow.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    heat = np.maximum(tensorflow.reduce_sum(weights * maps, axis=3).numpy(), 0)
    height, width = x.shape[1], x.shape[2]
    rows = np.arange(height) * heat.shape[1] // height
    columns = np.arange(width) * heat.shape[2] // width
    return np.asarray(heat[:, rows][:, :, columns], np.float32)
