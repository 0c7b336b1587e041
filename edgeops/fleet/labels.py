"""Truths from devices, judged by the report of the window that they speak of.

A truth may come before that report: it is held until the report comes, and counts for nothing until then. It is taken
if the window has such an inference (its place in the window, and the class that was predicted), if the window came no
longer ago than ``labels_days``, and if nothing is known of that inference yet. What is refused is counted by its reason
and device, and shown in ``fleet status``: a device that says more truths than it made inferences is seen there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from edgeops.core.codec import decode
from edgeops.core.counters import Counters
from edgeops.core.errors import WireError
from edgeops.core.messages import Labels, PredictionId, Report
from edgeops.fleet.manifests import Manifests
from edgeops.registry.counts import count
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import HeldLabel, LabelTruth, ReceiptState, ReportWindow

DAY_S = 86_400
LABELS_DAYS = 30
MAX_HELD = 10_000
"""So many truths of a device may wait for reports; more are refused."""

AFTER_ALL = "g"  # sorts behind every hexadecimal digit

UNKNOWN_MODEL = "label of an unknown model"
OTHER_MODEL = "label of another model"
NO_WINDOW = "label of a window that is not here"
NO_INFERENCE = "label of a prediction that was not made"
OTHER_CLASS = "label of a class that was not predicted"
NO_CLASS = "label with a class that there is not"
TOO_LATE = "label that came too late"
SECOND = "second label of an inference"
TOO_MANY = "label beyond what can wait for reports"
NEVER_REPORTED = "label whose report never came"
DUPLICATE = "duplicate label"
DISAGREES = "label that a person's differs from"


@dataclass(frozen=True, slots=True)
class Said:
    """One truth of a prediction (20 bytes in hexadecimal), and when it came."""

    name: str
    id: PredictionId
    truth: int
    received_at: float


Place = tuple[bytes, int, int]
"""The window of a prediction: the manifest's first bytes, boot and sequence."""


def refusal(said: Said, counters: Counters, labels: int, taken: Mapping[int, int]) -> str | None:
    """Why a truth cannot be of this window, None where it can.

    ``labels``: how many the model knows. ``taken`` says for how many inferences of each class a truth is known already.
    """
    if said.id.index >= counters.inferences:
        return NO_INFERENCE
    if said.truth >= labels:
        return NO_CLASS
    if said.id.predicted >= len(counters.classes):
        return OTHER_CLASS
    if taken.get(said.id.predicted, 0) >= counters.classes[said.id.predicted]:
        return OTHER_CLASS
    return None


def take_labels(
    session: Session,
    device_id: str,
    labels: Labels,
    now: float,
    labels_days: int = LABELS_DAYS,
    manifests: Manifests | None = None,
) -> None:
    """Take, hold or refuse each truth of a batch; raises ``WireError`` for what is no prediction's id.

    Without ``manifests`` a device is believed how many labels its model has.
    """
    places: dict[Place, dict[str, Said]] = {}
    for truth in labels.truths:
        id = PredictionId.unpack(truth.prediction)
        said = Said(truth.prediction.hex(), id, truth.label, now)
        if places.setdefault(_place(id), {}).setdefault(said.name, said) is not said:
            count(session, DUPLICATE, device_id)
    for place, here in places.items():
        said_here = list(here.values())
        _take_of_window(session, device_id, labels.model, place, said_here, now, labels_days, manifests)


def take_held(session: Session, window: ReportWindow, manifests: Manifests | None = None) -> None:
    """A report came: judge the truths that waited for it. It must be flushed already."""
    held = session.exec(
        select(HeldLabel).where(
            HeldLabel.device_id == window.device_id,
            col(HeldLabel.prediction) >= (start := _first_id(window)),
            col(HeldLabel.prediction) < start + AFTER_ALL,
            HeldLabel.model == window.model,
        )
    ).all()
    if not held:
        return
    waited = [_said(row) for row in held]
    for row in held:
        session.delete(row)
    _judge(session, window, waited, manifests)


def forget_held(session: Session, now: float, labels_days: int = LABELS_DAYS) -> int:
    """Refuse what has waited for its report for so long; how many. 0 keeps all."""
    if not labels_days:
        return 0
    old = session.exec(select(HeldLabel).where(HeldLabel.received_at < now - labels_days * DAY_S)).all()
    for row in old:
        count(session, NEVER_REPORTED, row.device_id)
        session.delete(row)
    return len(old)


def _take_of_window(
    session: Session,
    device_id: str,
    model: str,
    place: Place,
    here: list[Said],
    now: float,
    labels_days: int,
    manifests: Manifests | None,
) -> None:
    prefix, boot, sequence = place

    def refuse(reason: str) -> None:
        _count_all(session, device_id, reason, here)

    version = model_of_manifest(session, prefix.hex())
    if version is None:
        return refuse(UNKNOWN_MODEL)
    if version.model != model:
        return refuse(OTHER_MODEL)
    window = session.exec(
        select(ReportWindow).where(
            ReportWindow.device_id == device_id,
            ReportWindow.model == model,
            ReportWindow.boot == boot,
            ReportWindow.sequence == sequence,
        )
    ).first()
    if window is None:
        receipt = session.get(ReceiptState, (device_id, model, boot))
        if receipt is not None and sequence <= receipt.committed:
            return refuse(NO_WINDOW)  # dropped by the device, or given up here: it will not come any more
        return _hold(session, device_id, model, here)
    if not window.manifest.startswith(prefix.hex()):
        return refuse(NO_WINDOW)
    if labels_days and now - window.received_at > labels_days * DAY_S:
        return refuse(TOO_LATE)
    _judge(session, window, here, manifests)


def _hold(session: Session, device_id: str, model: str, here: list[Said]) -> None:
    waiting = session.exec(
        select(func.count()).select_from(HeldLabel).where(HeldLabel.device_id == device_id)
    ).one()
    names = [said.name for said in here]
    known = set(
        session.exec(
            select(HeldLabel.prediction).where(
                HeldLabel.device_id == device_id, col(HeldLabel.prediction).in_(names)
            )
        )
    )
    for said in here:
        if said.name in known:
            count(session, DUPLICATE, device_id)
        elif waiting >= MAX_HELD:
            count(session, TOO_MANY, device_id, said.name)
        else:
            waiting += 1
            session.add(
                HeldLabel(
                    device_id=device_id,
                    prediction=said.name,
                    model=model,
                    truth=said.truth,
                    received_at=said.received_at,
                )
            )
    session.flush()


def _judge(session: Session, window: ReportWindow, here: list[Said], manifests: Manifests | None) -> None:
    """Write the truths that the window's counters allow; a person's label stays, and so does the first of a device."""
    try:
        counters = decode(Report, window.counters).counters
    except WireError:  # written by an earlier version: there is nothing to judge by
        return _count_all(session, window.device_id, NO_WINDOW, here)
    labels = _labels(window, counters, manifests)
    known = _known(session, window, here)
    taken = _per_class(session, window)
    for said in here:
        before = known.get(said.id.index)
        if before is not None and before.prediction != said.name:
            count(session, SECOND, window.device_id, said.name)
        elif before is not None and before.source == "teacher" and said.truth < labels:
            before.truth, before.source, before.representative = said.truth, "device", True
            session.add(before)
        elif before is not None:
            count(session, DUPLICATE, window.device_id)
            if before.source == "person" and before.truth != said.truth:
                count(session, DISAGREES, window.device_id, said.name)
        elif (reason := refusal(said, counters, labels, taken)) is not None:
            count(session, reason, window.device_id, said.name)
        else:
            taken[said.id.predicted] = taken.get(said.id.predicted, 0) + 1
            known[said.id.index] = row = _row(window, said)
            session.add(row)
    session.flush()


def _labels(window: ReportWindow, counters: Counters, manifests: Manifests | None) -> int:
    """How many labels the model has: a device that lies may report more classes, or fewer."""
    manifest = None if manifests is None else manifests.find(window.manifest)
    return len(counters.classes) if manifest is None else len(manifest.labels)


def _known(session: Session, window: ReportWindow, here: Iterable[Said]) -> dict[int, LabelTruth]:
    """What is known of the inferences from the first to the last of these, by their place in the window."""
    places = [said.id.index for said in here]
    start = _first_id(window)
    rows = session.exec(
        select(LabelTruth).where(
            LabelTruth.device_id == window.device_id,
            col(LabelTruth.prediction) >= f"{start}{min(places):04x}",
            col(LabelTruth.prediction) <= f"{start}{max(places):04x}ffff",
        )
    )
    return {PredictionId.unpack(bytes.fromhex(row.prediction)).index: row for row in rows}


def _per_class(session: Session, window: ReportWindow) -> dict[int, int]:
    rows = session.exec(
        select(LabelTruth.predicted, func.count())
        .where(
            LabelTruth.device_id == window.device_id,
            col(LabelTruth.prediction) >= (start := _first_id(window)),
            col(LabelTruth.prediction) < start + AFTER_ALL,
        )
        .group_by(col(LabelTruth.predicted))
    )
    return dict(rows.all())


def _row(window: ReportWindow, said: Said) -> LabelTruth:
    return LabelTruth(
        prediction=said.name,
        device_id=window.device_id,
        model=window.model,
        manifest_prefix=said.id.model.hex(),
        boot=said.id.boot,
        sequence=said.id.sequence,
        predicted=said.id.predicted,
        truth=said.truth,
        source="device",
        representative=True,
        received_at=said.received_at,
    )


def _said(row: HeldLabel) -> Said:
    return Said(
        row.prediction, PredictionId.unpack(bytes.fromhex(row.prediction)), row.truth, row.received_at
    )


def _count_all(session: Session, device_id: str, reason: str, here: Iterable[Said]) -> None:
    for said in here:
        count(session, reason, device_id, said.name)


def _place(id: PredictionId) -> Place:
    return id.model, id.boot, id.sequence


def _first_id(window: ReportWindow) -> str:
    """What the ids of a window's predictions begin with, in hexadecimal."""
    return f"{window.manifest[:16]}{window.boot:08x}{window.sequence:08x}"
