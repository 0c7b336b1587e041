"""What a detector says of a window."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alarm:
    """``kind`` is ``data``, ``confidence``, ``multivariate``, ``prediction``, ``quality`` or ``concept``; ``features``
    are the ones that moved, the farthest first.

    ``evidence`` is a p-value, for ``concept`` the odds against "nothing changed". ``size`` is the Jensen-Shannon
    distance, for ``multivariate`` the maximum mean discrepancy, for ``quality`` the share of bad values, for
    ``concept`` how much the error rate rose. ``merged`` windows up to ``window`` were looked at together.
    """

    window: int
    kind: str
    features: tuple[str, ...]
    evidence: float
    size: float
    merged: int = 1
