"""Captured inputs as data: which of them may be held out.

A hold-out must look like the world: it is drawn by content from inputs that were captured uniformly, and never from
those that a teacher labelled, whose labels are what is to be learned and no proof. Inputs that were captured for being
uncertain or shifted are learned from only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeops.core.messages import Captured
from edgeops.data.items import Inputs
from edgeops.data.splitting import Part, Parts, capture_parts
from edgeops.registry.tables import CapturedSample

MOST_HELD_OUT = 0.5  # of the inputs that may be


def drawn_fairly(samples: Sequence[tuple[CapturedSample, str]]) -> NDArray[np.bool_]:
    """(N,): whether a labelled sample was captured uniformly, and labelled by its device or a person.

    Each comes with who labelled it.
    """
    return np.array(
        [sample.reason == Captured.UNIFORM.label and source != "teacher" for sample, source in samples],
        np.bool_,
    )


def held_out_fairly(inputs: Inputs, fair: NDArray[np.bool_], share: float) -> Parts:
    """(N,) uint8 codes: ``CAPTURE_HOLDOUT`` for about ``share`` of all N, out of the ``fair`` ones; else ``TRAIN``.

    By content. Where few are fair at most half of them are held out.
    """
    parts = np.full(len(inputs), Part.TRAIN, np.uint8)
    count = int(fair.sum())
    if count:
        of_fair = min(share * len(inputs) / count, max(share, MOST_HELD_OUT))
        parts[fair] = capture_parts(inputs[fair], of_fair)
    return parts
