"""Captured inputs as data: which of them may be held out, and what each is worth.

A hold-out must look like the world: it is drawn by content from inputs that were captured uniformly, and never from
those that a teacher labelled, whose labels are what is to be learned and no proof. Inputs that were captured for being
uncertain or shifted are learned from only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from edgeops.core.messages import Captured, PredictionId
from edgeops.data.items import Inputs
from edgeops.data.splitting import Part, Parts, capture_parts
from edgeops.registry.tables import CapturedSample, LabelTruth

MOST_HELD_OUT = 0.5  # of the inputs that may be


def drawn_fairly(session: Session, samples: Sequence[CapturedSample]) -> NDArray[np.bool_]:
    """(N,): whether a labelled sample was captured uniformly, and labelled by its device or a person."""
    taught = set(
        session.exec(
            select(LabelTruth.prediction, LabelTruth.device_id).where(
                LabelTruth.source == "teacher",
                col(LabelTruth.manifest_prefix).in_(sorted({sample.manifest[:16] for sample in samples})),
            )
        )
    )
    return np.array(
        [
            sample.reason == Captured.UNIFORM.label and (sample.prediction, sample.device_id) not in taught
            for sample in samples
        ],
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


def weights(samples: Sequence[CapturedSample]) -> NDArray[np.float64]:
    """(N,) with mean 1: what each sample is worth, so that together they look like what the devices saw.

    Post-stratification by confidence bin (Holt and Smith 1979): a bin's weight is its share of the uniformly captured
    ones over its share of all. A bin that no uniform one fell into is given what half a sample would be; without
    uniform ones all are worth the same. It corrects for uncertain ones; for shifted ones only as far as shifted inputs
    are uncertain too.
    """
    bins = [PredictionId.unpack(bytes.fromhex(sample.prediction)).confidence_bin for sample in samples]
    uniform = Counter(
        bin for bin, sample in zip(bins, samples, strict=True) if sample.reason == Captured.UNIFORM.label
    )
    if not uniform:
        return np.ones(len(samples))
    every = Counter(bins)
    raw = np.array([max(uniform[bin], 0.5) / every[bin] for bin in bins])
    return raw / raw.mean()
