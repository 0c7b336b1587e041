"""Magnitude pruning (Zhu and Gupta 2017): the smallest weights of each kernel are set to zero and stay so.

Sparsity rises along a cubic from ``begin`` to ``end``. Depthwise kernels and vectors are left alone: they are
few, and losing one loses a whole channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeops.training.recipe.sections import Pruning

_MOST_STEPS_BETWEEN, _CHOICES = 20, 20


def sparsity_at(step: int, steps: int, how: Pruning) -> float:
    """The share of zeros that is wanted after ``step`` of ``steps``."""
    begin, end = how.begin * steps, how.end * steps
    if step < begin:
        return 0.0
    done = 1.0 if end <= begin else min((step - begin) / (end - begin), 1.0)
    return how.sparsity * (1 - (1 - done) ** 3)


def prunable_kernels(model: Any) -> list[Any]:
    """The kernels of a keras model that pruning may thin out, in the order of the layers."""
    return [layer.kernel for layer in model.layers if _prunable(layer)]


class ZeroMask:
    """Keeps those weights of ``kernels`` at zero that are zero now, whatever an optimizer does to them."""

    def __init__(self, tensorflow: Any, kernels: Sequence[Any]) -> None:
        self._kernels = list(kernels)
        self._masks = [
            tensorflow.Variable((kernel.numpy() != 0).astype(np.float32)) for kernel in self._kernels
        ]
        self._apply = tensorflow.function(self._mask_all) if self._kernels else lambda: None

    def after_step(self) -> None:
        """To be called after each step of the optimizer."""
        self._apply()

    def finish(self) -> None:
        """To be called after the last one."""
        self._apply()

    def _mask_all(self) -> None:
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.assign(kernel * mask)


class Pruner(ZeroMask):
    """Makes a keras model's kernels sparse while it is trained; does nothing where ``sparsity`` is 0."""

    def __init__(self, tensorflow: Any, model: Any, how: Pruning, steps: int) -> None:
        super().__init__(tensorflow, prunable_kernels(model) if how.sparsity > 0 else [])
        for mask in self._masks:
            mask.assign(np.ones(mask.shape, np.float32))  # a weight that starts as zero may still grow
        self._how, self._steps, self._step = how, steps, 0
        # twenty choices between begin and end where there are so many steps
        rising = (how.end - how.begin) * steps
        self._every = max(1, min(_MOST_STEPS_BETWEEN, int(rising / _CHOICES)))

    def after_step(self) -> None:
        """Keep at zero what was pruned, and prune more where it is due."""
        self._step += 1
        if not self._kernels or self._step < self._how.begin * self._steps:
            return
        # before choosing: what the optimizer has just revived must not pass for a large weight
        self._apply()
        if self._step % self._every == 0:
            self._choose(sparsity_at(self._step, self._steps, self._how))
            self._apply()

    def finish(self) -> None:
        """Reach the wanted sparsity, however few steps there were."""
        self._apply()
        if self._kernels:
            self._choose(self._how.sparsity)
            self._apply()

    def _choose(self, sparsity: float) -> None:
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            size = np.abs(kernel.numpy())
            drop = int(sparsity * size.size)
            keep = np.ones(size.size, np.float32)
            keep[np.argsort(size, axis=None, kind="stable")[:drop]] = 0
            mask.assign(keep.reshape(size.shape))


def _prunable(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", None)
    return kernel is not None and "depthwise" not in type(layer).__name__.lower() and len(kernel.shape) >= 2
