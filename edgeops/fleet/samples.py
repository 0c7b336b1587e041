"""Captured inputs from devices: taken where they were asked for, and where they can be inputs of the version they name.

A desired state that asks a device for inputs says up to how many of them are kept (``captures_to``): those that are
kept when it is written, and the budget of the order. What comes after the order was withdrawn was on its way, and is
taken within the same bound. What is refused is counted by its reason and device, and shown in ``fleet status``.
"""

from __future__ import annotations

import math

from sqlmodel import Session, func, select

from edgeops.core.messages import Captured, PredictionId, Sample
from edgeops.fleet.manifests import Manifests
from edgeops.registry.counts import count
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import CapturedSample, DesiredState

DUPLICATE = "duplicate sample"
UNKNOWN_MODEL = "sample of an unknown model"
OTHER_MODEL = "sample of a prediction of another model"
NOT_ASKED = "sample that nobody asked for"
TOO_MANY = "sample beyond the budget"
NO_MANIFEST = "sample of a version whose manifest is lost"
OTHER_SIZE = "sample of another size"


def take_sample(
    session: Session, device_id: str, sample: Sample, now: float, manifests: Manifests | None = None
) -> None:
    """Keep a captured input, or count why not; raises ``WireError`` for what is no prediction's id.

    Without ``manifests`` its size is not judged.
    """
    name, manifest = sample.prediction.hex(), sample.manifest.hex()
    reason = _refusal(session, device_id, sample, manifests)
    if reason is not None:
        count(session, reason, device_id, manifest if reason in (UNKNOWN_MODEL, NO_MANIFEST) else name)
        return
    session.add(
        CapturedSample(
            prediction=name,
            device_id=device_id,
            model=sample.model,
            manifest=manifest,
            tensor=sample.values,
            reason=_reason(sample.reason),
            received_at=now,
        )
    )


def kept_samples(session: Session, device_id: str, model: str) -> int:
    """How many captured inputs of a model are kept of a device."""
    query = (
        select(func.count())
        .select_from(CapturedSample)
        .where(CapturedSample.device_id == device_id, CapturedSample.model == model)
    )
    return session.exec(query).one()


def _refusal(session: Session, device_id: str, sample: Sample, manifests: Manifests | None) -> str | None:
    digest = sample.manifest.hex()
    if session.get(CapturedSample, (sample.prediction.hex(), device_id)) is not None:
        return DUPLICATE
    version = model_of_manifest(session, digest)
    if version is None or version.model != sample.model:
        return UNKNOWN_MODEL
    if not sample.manifest.startswith(PredictionId.unpack(sample.prediction).model):
        return OTHER_MODEL
    desired = session.get(DesiredState, device_id)
    wanted = desired.models.get(sample.model, {}) if desired is not None else {}
    if "capture" not in wanted:
        return NOT_ASKED
    # what an earlier version ordered has no bound
    most = wanted.get("captures_to")
    if most is not None and kept_samples(session, device_id, sample.model) >= most:
        return TOO_MANY
    if manifests is None:
        return None
    manifest = manifests.find(digest)
    if manifest is None:
        return NO_MANIFEST
    return None if len(sample.values) == math.prod(manifest.input.spec.shape) else OTHER_SIZE


def _reason(number: int) -> str:
    """Why an input was captured; a reason that this version does not know is never taken for a fair draw."""
    return Captured(number).label if number in list(Captured) else "other"
