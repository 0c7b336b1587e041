"""The terms of a fleet's drift watch, as its settings give them."""

from __future__ import annotations

from dataclasses import dataclass

from edgeops.drift.concept import RUN_LENGTH
from edgeops.drift.rounds import Terms


@dataclass(frozen=True)
class WatchTerms:
    """``round_s``: how long a round lasts. ``learn_windows``: so many first windows of each device, in each slot of the
    ``season``, are its reference; 0: the training data is. ``run_length``: labels between two false alarms.
    """

    terms: Terms
    round_s: float = 60.0
    learn_windows: int = 0
    season: str = ""
    run_length: float = RUN_LENGTH
