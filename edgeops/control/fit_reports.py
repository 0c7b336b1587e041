"""The fit of a model on a target, checked once: a training's gate and its card show the same report."""

from __future__ import annotations

from functools import lru_cache

from edgeops.targets.catalogue import find_target
from edgeops.targets.check import FitReport, check_fit


@lru_cache(maxsize=8)
def fit_report(tflite: bytes, target: str) -> FitReport:
    """What ``edgeops check`` says of a model on a target of that name; raises ``NotFoundError`` for others."""
    return check_fit(tflite, find_target(target))
