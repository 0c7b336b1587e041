"""A changed sensor set right before the model: one gain and one offset on its inputs, and no weight touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgeops.core.errors import InputError
from edgeops.core.features.steps import make_step, named_parameters, scale_step
from edgeops.core.manifest import Step
from edgeops.training.arrays import Float32

# how far from nothing to the full match of the moments: what else moved the level is not undone by a gain
SHARES = (0.25, 0.5, 0.75, 1.0)
_STILL = 1e-6


def matching(reference: Float32, captured: Float32) -> tuple[float, float]:
    """Gain and offset with which ``captured`` (N, *shape) has the mean and deviation of ``reference`` (M, *shape).

    Of all values together: a manifest's ``scale`` has one of each. Raises ``InputError`` where there is nothing, or
    the captured values never change.
    """
    if not len(reference) or not len(captured):
        raise InputError("there is nothing to recalibrate with", fix="capture and label more samples")
    spread = float(np.std(captured, dtype=np.float64))
    if spread < _STILL:
        raise InputError(
            "the captured inputs never change: there is no gain to find", fix="look at the sensor"
        )
    gain = float(np.std(reference, dtype=np.float64)) / spread
    return gain, float(np.mean(reference, dtype=np.float64)) - gain * float(
        np.mean(captured, dtype=np.float64)
    )


def best_share(gain: float, offset: float, accuracy: Callable[[float, float], float]) -> tuple[float, float]:
    """Of ``SHARES`` of the way from no change to (gain, offset) the one with which the model is right most often.

    ``accuracy`` (gain, offset) is measured on the captured training part; of equals the smallest change is taken.
    """
    ways = [(1 + share * (gain - 1), share * offset) for share in SHARES]
    return max(ways, key=lambda way: accuracy(*way))


def with_scale(steps: Sequence[Step], gain: float, offset: float) -> tuple[Step, ...]:
    """The front end with ``x * gain + offset`` behind it; a ``scale`` at its end takes it in."""
    if steps and steps[-1].op == "scale":
        last = named_parameters(steps[-1])
        factor, before = float(last["factor"]), float(last["offset"])
        return (*steps[:-1], scale_step(factor * gain, before * gain + offset))
    return (*steps, make_step("scale", factor=gain, offset=offset))
