"""Magnitude pruning (Zhu and Gupta 2017): the smallest weights of each kernel are set to zero and stay so.

Sparsity rises along a cubic from ``begin`` to ``end``. Depthwise kernels and vectors are left alone: they are
few, and losing one loses a whole channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeops.training.recipe.sections import Pruning

_EVERY = 20


def sparsity_at(step: int, steps: int, how: Pruning) -> float:
    """The share of zeros that is wanted after ``step`` of ``steps``."""
    begin, end = how.begin * steps, how.end * steps
    if step < begin:
        return 0.0
    done = 1.0 if end <= begin else min((step - begin) / (end - begin), 1.0)
    return how.sparsity * (1 - (1 - done) ** 3)


class Pruner:
    """Keeps a keras model's kernels sparse while it is trained; does nothing where ``sparsity`` is 0."""

    def __init__(self, tensorflow: Any, model: Any, how: Pruning, steps: int) -> None:
        self._how, self._steps, self._step = how, steps, 0
        self._kernels = (
            [layer.kernel for layer in model.layers if _prunable(layer)] if how.sparsity > 0 else []
        )
        self._masks = [tensorflow.Variable(tensorflow.ones_like(kernel.value)) for kernel in self._kernels]
        self._apply = tensorflow.function(self._mask_all) if self._kernels else None

    def after_step(self) -> None:
        """Raise the sparsity where it is due, and keep what is pruned at zero."""
        self._step += 1
        if self._apply is None or self._step < self._how.begin * self._steps:
            return
        if self._step % _EVERY == 0:
            self._choose(sparsity_at(self._step, self._steps, self._how))
        self._apply()

    def finish(self) -> None:
        """Reach the wanted sparsity, however few steps there were."""
        if self._apply is not None:
            self._choose(self._how.sparsity)
            self._apply()

    def _choose(self, sparsity: float) -> None:
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            size = np.abs(kernel.numpy())
            drop = int(sparsity * size.size)
            keep = np.ones(size.size, np.float32)
            keep[np.argsort(size, axis=None, kind="stable")[:drop]] = 0
            mask.assign(keep.reshape(size.shape))

    def _mask_all(self) -> None:
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.assign(kernel * mask)


def _prunable(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", None)
    return kernel is not None and "depthwise" not in type(layer).__name__.lower() and len(kernel.shape) >= 2
