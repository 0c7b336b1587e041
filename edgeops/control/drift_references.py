"""What windows are held against: the stored reference of a version, or what a device had at first."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from edgeops.core.codec import dump, load
from edgeops.core.counter_block import MAX_BLOCK, pack_counters, unpack_counters
from edgeops.core.counters import Counters
from edgeops.core.errors import DataError, NotFoundError, TrustError
from edgeops.core.moments import steps
from edgeops.core.observe import MARGIN, ObservePlan, bin_of
from edgeops.drift.categories import CategoryReference
from edgeops.drift.importance import importance
from edgeops.drift.learned import MOST_LEARNED
from edgeops.drift.multivariate import FourierReference
from edgeops.drift.reference import FeatureReference
from edgeops.drift.signals import References
from edgeops.registry.blobs import BlobStore
from edgeops.registry.tables import LearnedReference, ModelVersion, Run


def stored_references(
    blobs: BlobStore, session: Session, version: ModelVersion, plan: ObservePlan
) -> References:
    """The references of a version from what was stored when it was packaged.

    Raises ``NotFoundError`` where nothing was, or is any more, and ``DataError`` where it is too little to judge by.
    """
    return references_from(_stored(blobs, session, version), plan)


def references_from(raw: bytes, plan: ObservePlan) -> References:
    """References from an NPZ file as ``edgeops.training.package.reference_file`` makes it; raises ``DataError``."""
    values, margin, predicted = _arrays(raw, "features", "margin", "predicted")
    if values.ndim != 2 or values.shape[1] != len(plan.features):
        raise DataError(
            "the stored reference is not of the features that are counted", fix="train the model again"
        )
    features = tuple(
        FeatureReference(feature.name, values[:, column]) for column, feature in enumerate(plan.features)
    )
    together = None
    if plan.fourier is not None:
        moved = [
            steps(values[:, column], feature.mean, feature.deviation)
            for column, feature in enumerate(plan.features)
        ]
        together = FourierReference(np.stack(moved, axis=1))
    return References(
        plan.digest(),
        features,
        FeatureReference(MARGIN, margin) if plan.margin is not None else None,
        CategoryReference(predicted),
        together,
    )


def importances(
    blobs: BlobStore, session: Session, version: ModelVersion, plan: ObservePlan
) -> dict[str, float]:
    """How much each observed feature means to the model, 0 to 1; empty where nothing is stored to tell by."""
    try:
        raw = _stored(blobs, session, version)
        values, predicted, margin = _arrays(raw, "validation", "predicted", "margin")
    except (DataError, NotFoundError, TrustError):
        return {}
    return {
        feature.name: importance(bin_of(feature.edges, values[:, column]), predicted, margin)
        for column, feature in enumerate(plan.features)
    }


def labelled_reference(blobs: BlobStore, session: Session, version: ModelVersion) -> tuple[int, int]:
    """(errors, labels) of the validation set; raises as ``stored_references`` does, and ``TrustError``."""
    predicted, truth = _arrays(_stored(blobs, session, version), "predicted", "truth")
    return int((predicted != truth).sum()), len(truth)


def _stored(blobs: BlobStore, session: Session, version: ModelVersion) -> bytes:
    run = session.get(Run, version.run_id)
    digest = (run.record if run is not None else {}).get("drift_reference_sha256")
    if digest is None:
        raise NotFoundError(
            f"{version.model}@{version.version} has no stored reference", fix="train it again"
        )
    return blobs.get(digest)


def _arrays(raw: bytes, *names: str) -> list[NDArray[np.int64]]:
    try:
        with np.load(io.BytesIO(raw)) as file:
            return [file[name] for name in names]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the stored reference cannot be read: {error}", fix="train the model again"
        ) from error


def learned_windows(
    session: Session, device_id: str, version: ModelVersion, slot: int
) -> tuple[Counters, ...]:
    """The first windows of a device that are kept as its own reference, in the season's ``slot``."""
    row = session.get(LearnedReference, (device_id, version.id, slot))
    if row is None:
        return ()
    return tuple(unpack_counters(block) for block in load(row.windows, MOST_LEARNED * (MAX_BLOCK + 3) + 3))


def learn_window(
    session: Session,
    device_id: str,
    version: ModelVersion,
    slot: int,
    windows: Sequence[Counters],
) -> None:
    """Keep the first windows of a device; at most ``MOST_LEARNED``."""
    packed = dump([pack_counters(window) for window in windows[:MOST_LEARNED]])
    row = session.get(LearnedReference, (device_id, version.id, slot))
    if row is None:
        row = LearnedReference(
            device_id=device_id, model_version_id=version.id or 0, slot=slot, windows=packed
        )
    row.windows = packed
    session.add(row)
