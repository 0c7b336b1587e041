"""The drift watch: report windows in, alerts in the registry out. The judgement itself is ``edgeops.drift``."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

from sqlmodel import Session, col, select

from edgeops.control.plans import PlanShelf
from edgeops.core.codec import decode
from edgeops.core.counters import counters_of
from edgeops.core.errors import NotFoundError, TrustError, WireError
from edgeops.core.messages import Report
from edgeops.core.observe import Counters, ObservePlan, empty_counters
from edgeops.drift.detect import Limits
from edgeops.drift.watch import Alarm, DeviceDrift, WindowSeen, observe
from edgeops.registry.counts import count
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import Alert, AlertDevice, Device, ModelVersion, ReportWindow

BURN_IN_WINDOWS = 4
REPLAYED_WINDOWS = 12

Key = tuple[str, str]  # device, manifest digest


class DriftWatch:
    """One state per device and version; rebuilt from the registry after a restart, since decisions replay."""

    def __init__(self, shelf: PlanShelf, limits: Limits) -> None:
        self._shelf = shelf
        self._limits = limits
        self._states: dict[Key, DeviceDrift] = {}
        self._burn_in: dict[Key, tuple[Counters, ...]] = {}
        self._plans: dict[Key, ObservePlan] = {}

    def seen(self, session: Session, device_id: str, report: Report, now: float) -> Alert | None:
        """Take a committed window; returns the alert when this window raises or joins one."""
        key = (device_id, report.manifest.hex())
        version = model_of_manifest(session, key[1])
        if version is None:
            return None
        if key not in self._states:
            self._replay(session, key, version, report)
        elif report.boot < self._states[key].last[0] and _boot_of(session, device_id) == report.boot:
            self._states[key] = DeviceDrift()  # its disk was wiped: its boots are counted anew
        alarm = self._judge(session, key, version, report)
        return self._record(session, key, version, report, alarm, now) if alarm else None

    def forget(self) -> None:
        """What was seen was not committed: each state is rebuilt from the registry at its next window."""
        self._states.clear()
        self._burn_in.clear()
        self._plans.clear()

    def _replay(self, session: Session, key: Key, version: ModelVersion, before: Report) -> None:
        """Bring a device's state to where it was: what it learned first, its last windows, whether it alarmed."""
        self._states[key] = DeviceDrift()
        of_key = select(ReportWindow).where(ReportWindow.device_id == key[0], ReportWindow.manifest == key[1])
        this = session.exec(
            of_key.where(ReportWindow.boot == before.boot, ReportWindow.sequence == before.sequence)
        ).first()
        earlier = of_key.where(col(ReportWindow.id) < this.id) if this is not None and this.id else of_key
        learned = 0  # the last window that the device's own reference was made of: it is not judged
        if _drifted_under_parent(session, key[0], version):
            for row in session.exec(earlier.order_by(col(ReportWindow.id))):
                self._judge(session, key, version, decode(Report, row.counters))
                learned = row.id or 0
                if key in self._plans:
                    break
        latest = earlier.where(col(ReportWindow.id) > learned)
        latest = latest.order_by(col(ReportWindow.id).desc()).limit(REPLAYED_WINDOWS)
        for row in reversed(session.exec(latest).all()):
            self._judge(session, key, version, decode(Report, row.counters))
        # A replay that begins in the middle may see an alarm that never was, or miss one: the registry knows.
        alarmed = _has_alarmed(session, key[0], version.id)
        self._states[key] = replace(self._states[key], alarmed=alarmed)

    def _judge(self, session: Session, key: Key, version: ModelVersion, report: Report) -> Alarm | None:
        counters = counters_of(report)
        window = WindowSeen(report.sequence, report.boot, counters, report.trial, report.manifest)
        try:
            # raises when bins or shapes are not the plan's: a device may say anything
            counters + empty_counters(self._shelf.plan(key[1]))
            plan = self._plan(session, key, version, report, counters)
            if plan is None:
                return None
            self._states[key], alarm = observe(self._states[key], plan, window, self._limits)
        except WireError as error:
            count(session, "report with other bins", key[0], error.message)
            return None
        except (NotFoundError, TrustError) as error:  # the blob store lost the plan: ingest goes on
            count(session, "report that cannot be judged", key[0], error.message)
            return None
        return alarm

    def _plan(
        self, session: Session, key: Key, version: ModelVersion, report: Report, counters: Counters
    ) -> ObservePlan | None:
        """The reference to judge by; None while a device whose world has changed learns its own anew.

        A retrain answers a changed world: devices that drifted under the parent version will look drifted
        against the old reference for ever. Their reference is what they report first under the new version.
        """
        if key not in self._plans:
            plan = self._shelf.plan(key[1])
            if not _drifted_under_parent(session, key[0], version):
                self._plans[key] = plan
                return plan
            if not report.trial and counters.bins == plan.digest():
                self._burn_in[key] = (*self._burn_in.get(key, ()), counters)
            if len(self._burn_in.get(key, ())) >= BURN_IN_WINDOWS:
                self._plans[key] = relearned(plan, reduce(add, self._burn_in.pop(key)))
            return None
        return self._plans[key]

    def _record(
        self, session: Session, key: Key, version: ModelVersion, report: Report, alarm: Alarm, now: float
    ) -> Alert | None:
        query = select(Alert).where(Alert.model_version_id == version.id, Alert.state != "closed")
        alert = session.exec(query).first()
        if alert is None:
            alert = Alert(model_version_id=version.id or 0, state="open", opened_at=now)
            session.add(alert)
            session.flush()
        if session.get(AlertDevice, (alert.id, key[0])) is not None:
            return None
        session.add(
            AlertDevice(
                alert_id=alert.id or 0,
                device_id=key[0],
                boot=report.boot,
                sequence=alarm.sequence,
                windows_seen=alarm.span,
                shifts=[
                    {
                        "signal": shift.signal,
                        "distance": round(shift.distance, 4),
                        "p_value": shift.p_value,
                        "direction": shift.direction,
                        "n": shift.n,
                    }
                    for shift in alarm.shifts
                ],
                raised_at=now,
            )
        )
        session.flush()
        return alert


def relearned(plan: ObservePlan, counters: Counters) -> ObservePlan:
    """The plan with the same bins and what ``counters`` saw as its reference."""
    features = tuple(
        replace(feature, reference=seen)
        for feature, seen in zip(plan.features, counters.features, strict=True)
    )
    return replace(plan, features=features, confidence=counters.confidence, classes=counters.classes)


def _drifted_under_parent(session: Session, device_id: str, version: ModelVersion) -> bool:
    return version.parent_id is not None and _has_alarmed(session, device_id, version.parent_id)


def _boot_of(session: Session, device_id: str) -> int | None:
    device = session.get(Device, device_id)
    return device.boot if device is not None else None


def _has_alarmed(session: Session, device_id: str, version_id: int | None) -> bool:
    query = (
        select(AlertDevice)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.model_version_id == version_id, AlertDevice.device_id == device_id)
    )
    return session.exec(query).first() is not None
