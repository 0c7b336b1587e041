"""Which few weights of a model a small update changes: those that wanted to move the most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.training.arrays import Float32
from edgeops.training.pruning import ZeroMask

_LARGEST = 127  # of int8, symmetric


class MovingShare(ZeroMask):
    """Keeps all but a share of a keras model's kernels where they were, and that share within its int8 scales.

    A weight counts by how many steps of its channel's scale it has moved from ``start`` (``model.get_weights()`` of
    before); a scale is that of the channel's largest weight. What would leave the range is held at its end, as it
    would be in the file. Biases are few, and move as they like.
    """

    def __init__(self, tensorflow: Any, model: Any, start: Sequence[Float32], share: float) -> None:
        super().__init__(tensorflow, [])
        before = dict(zip((weights.path for weights in model.weights), start, strict=True))
        trained = [
            layer for layer in model.layers if getattr(layer, "kernel", None) is not None and layer.trainable
        ]
        kernels = [layer.kernel for layer in trained]
        old = [before[kernel.path] for kernel in kernels]
        limits = [
            np.abs(values).max(axis=channel_axes(layer), keepdims=True)
            for values, layer in zip(old, trained, strict=True)
        ]
        moved = [
            np.abs(kernel.numpy() - values) / np.maximum(limit / _LARGEST, np.finfo(np.float32).tiny)
            for kernel, values, limit in zip(kernels, old, limits, strict=True)
        ]
        masks = moving(moved, share) if moved else []
        self._tensorflow = tensorflow
        self._held = [
            (kernel, *(tensorflow.constant(values) for values in held))
            for kernel, *held in zip(kernels, old, limits, masks, strict=True)
        ]
        self._apply = tensorflow.function(self._hold) if self._held else lambda: None

    def _hold(self) -> None:
        for kernel, old, limit, mask in self._held:
            within = self._tensorflow.clip_by_value(kernel, -limit, limit)
            kernel.assign(self._tensorflow.where(mask, within, old))


def moving(moved: Sequence[Float32], share: float) -> list[NDArray[np.bool_]]:
    """Masks of the ``share`` of all values that are largest; zeros are never among them."""
    flat = np.concatenate([values.ravel() for values in moved])
    count = min(int(share * flat.size), int((flat > 0).sum()))
    chosen = np.zeros(flat.size, np.bool_)
    chosen[np.argsort(-flat, kind="stable")[:count]] = True
    edges = np.cumsum([values.size for values in moved])[:-1]
    return [part.reshape(values.shape) for part, values in zip(np.split(chosen, edges), moved, strict=True)]


def channel_axes(layer: Any) -> tuple[int, ...]:
    """The axes of a kernel that share a scale; a depthwise kernel has its channels on the last but one."""
    last = len(layer.kernel.shape) - 1
    own = {last - 1, last} if "depthwise" in type(layer).__name__.lower() else {last}
    return tuple(axis for axis in range(last + 1) if axis not in own)
