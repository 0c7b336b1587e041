"""Drift alerts explained: who drifted and what that says, which features moved and how far, bin by bin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, func, select

from edgeops.control.drift_records import DRIFT
from edgeops.control.drift_references import importances
from edgeops.control.plans import PlanShelf
from edgeops.control.workspace import Workspace
from edgeops.core.counters import Counters
from edgeops.core.errors import NotFoundError
from edgeops.core.observe import MARGIN, ObservePlan
from edgeops.drift.diagnosis import EARLY_WINDOWS, Diagnosis, Meanwhile, diagnose, with_versions
from edgeops.drift.signals import CLASSES
from edgeops.fleet.membership import attributes_of
from edgeops.registry.tables import Alert, AlertDevice, Device, DeviceModel, ModelVersion, ReportWindow
from edgeops.reports.windows import merged

LOOKED_AFTER_S = 3_600.0
"""Who ran another version is asked of so long a time after an alert opened."""


def find_alert(session: Session, alert_id: int) -> Alert:
    """An alert by its number; raises ``NotFoundError``."""
    alert = session.get(Alert, alert_id)
    if alert is None:
        raise NotFoundError(f"no alert {alert_id}", fix="edgeops drift list shows what there is")
    return alert


def alert_list(workspace: Workspace) -> list[dict[str, Any]]:
    """Every alert with its diagnosis, oldest first."""
    with workspace.registry.reading() as session:
        found = []
        for alert in session.exec(select(Alert).order_by(col(Alert.id))):
            version = session.get_one(ModelVersion, alert.model_version_id)
            diagnosis = _diagnosis(session, alert, version)
            found.append(
                {
                    "alert": alert.id,
                    "model": f"{version.model}@{version.version}",
                    "state": alert.state,
                    "devices": diagnosis.alarmed,
                    "diagnosis": diagnosis.kind,
                    "selector": diagnosis.selector,
                    "opened": alert.opened_at,
                    "closed": alert.closed_at,
                    "decision": alert.decision,
                    "reason": alert.reason,
                }
            )
        return found


def explain(workspace: Workspace, alert_id: int, device_id: str | None = None) -> dict[str, Any]:
    """What there is to say about an alert; of one device where it is named, else of all that alarmed.

    Raises ``NotFoundError`` for an alert, or a device in it, that is not there.
    """
    with workspace.registry.reading() as session:
        alert = find_alert(session, alert_id)
        version = session.get_one(ModelVersion, alert.model_version_id)
        rows = _rows(session, alert)
        chosen = [row for row in rows if device_id in (None, row.device_id)]
        if not chosen:
            raise NotFoundError(
                f"{device_id} did not alarm in alert {alert_id}; {', '.join(row.device_id for row in rows)} did",
                fix=f"edgeops drift explain {alert_id}",
            )
        diagnosis = _diagnosis(session, alert, version)
        plan = PlanShelf(workspace.blobs).plan(version.manifest_sha256 or "")
        features = _features(chosen, importances(workspace.blobs, session, version, plan))
        current = merged(plan, _windows(session, chosen, version))
        return {
            "alert": alert.id,
            "model": f"{version.model}@{version.version}",
            "state": alert.state,
            "diagnosis": diagnosis.kind,
            "selector": diagnosis.selector,
            "words": f"{diagnosis.words} {_moved_words(features, alert)}",
            "devices": [row.device_id for row in chosen],
            "features": features,
            "bins": {feature["feature"]: _bins(plan, current, feature["feature"]) for feature in features},
        }


def _rows(session: Session, alert: Alert) -> list[AlertDevice]:
    query = select(AlertDevice).where(AlertDevice.alert_id == alert.id).order_by(col(AlertDevice.device_id))
    return list(session.exec(query))


def _diagnosis(session: Session, alert: Alert, version: ModelVersion) -> Diagnosis:
    # Those that moved on to another version since were of the fleet too: most do, once an alert was answered.
    running = select(DeviceModel.device_id).where(
        DeviceModel.model == version.model, DeviceModel.confirmed == version.manifest_sha256
    )
    ran = select(ReportWindow.device_id).where(ReportWindow.manifest == version.manifest_sha256).distinct()
    alarmed = frozenset(row.device_id for row in _rows(session, alert))
    wanted = {*session.exec(running), *session.exec(ran), *alarmed}
    devices = session.exec(select(Device).where(col(Device.id).in_(wanted)))
    # each device has a name of its own, which explains nothing
    fleet = {d.id: {k: v for k, v in attributes_of(d).items() if k != "device"} for d in devices}
    return with_versions(diagnose(fleet, alarmed), _meanwhile(session, alert, version))


def _meanwhile(session: Session, alert: Alert, version: ModelVersion) -> Meanwhile:
    """What the devices that reported other versions of the model since the alert opened did, and who drifted early."""
    others = set(
        session.exec(
            select(ReportWindow.device_id)
            .where(
                ReportWindow.model == version.model,
                ReportWindow.manifest != version.manifest_sha256,
                ReportWindow.received_at >= alert.opened_at,
                ReportWindow.received_at <= alert.opened_at + LOOKED_AFTER_S,
            )
            .distinct()
        )
    )
    drifted = select(AlertDevice.device_id).join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
    drifted = drifted.where(Alert.kind == DRIFT, Alert.model_version_id != version.id)
    drifted = drifted.where(col(AlertDevice.cleared_at).is_(None), col(AlertDevice.device_id).in_(others))
    early = 0
    for row in _rows(session, alert):
        windows = select(func.count()).select_from(ReportWindow)
        before = windows.where(
            ReportWindow.device_id == row.device_id,
            ReportWindow.manifest == version.manifest_sha256,
            ReportWindow.received_at <= row.raised_at,
        )
        early += session.exec(before).one() <= EARLY_WINDOWS
    return Meanwhile(len(others), len(set(session.exec(drifted))), early)


def _features(rows: list[AlertDevice], means: Mapping[str, float]) -> list[dict[str, Any]]:
    """What moved, by how far times what it means to the model: on how many devices, and the largest of their shifts."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for shift in row.shifts:
            seen = found.setdefault(
                shift["signal"],
                {
                    "feature": shift["signal"],
                    "kind": shift.get("kind", "data"),
                    "devices": 0,
                    "size": 0.0,
                    "direction": "both",
                    "importance": means.get(shift["signal"]),
                },
            )
            seen["devices"] += 1
            if shift["distance"] >= seen["size"]:
                seen.update(size=shift["distance"], direction=shift["direction"], evidence=shift["p_value"])
    # what is no feature of the input concerns the model itself
    return sorted(
        found.values(),
        key=lambda f: (-f["size"] * (1.0 if f["importance"] is None else f["importance"]), f["feature"]),
    )


_QUALITY_WORDS = {
    "stuck": "{size:.0%} of its inputs repeat the one before to the bit.",
    "missing": "{size:.0%} of its inputs hold values that are no numbers.",
    "rate": "Its inputs come {size:.2g} times as fast as they did.",
}


def _moved_words(features: list[dict[str, Any]], alert: Alert) -> str:
    if not features:
        return alert.reason or ""
    first = features[0]
    way = {"up": "up", "down": "down"}.get(first["direction"], "apart")
    rest = f", and {len(features) - 1} more moved" if len(features) > 1 else ""
    if first["kind"] == "quality":
        return _QUALITY_WORDS.get(first["feature"], "").format(size=first["size"])
    if first["kind"] == "concept":
        return f"The model errs more than when it was released, by {first['size']:.1%}{rest}."
    return f"Look first at {first['feature']}, which moved {way} by a distance of {first['size']:.2f}{rest}."


def _windows(session: Session, rows: list[AlertDevice], version: ModelVersion) -> list[ReportWindow]:
    """The windows that were merged where each device alarmed; retention may have taken some."""
    found: list[ReportWindow] = []
    for row in rows:
        query = (
            select(ReportWindow)
            .where(
                ReportWindow.device_id == row.device_id,
                ReportWindow.manifest == version.manifest_sha256,
                ReportWindow.boot == row.boot,
                col(ReportWindow.sequence) <= row.sequence,
            )
            .order_by(col(ReportWindow.sequence).desc())
            .limit(row.windows_seen)
        )
        found += session.exec(query).all()
    return found


def _bins(plan: ObservePlan, current: Counters, feature: str) -> dict[str, list[float]]:
    """Shares of the reference and of the windows that alarmed, bin by bin; empty where no window is left."""
    pairs = {
        **{
            planned.name: (planned.reference, seen)
            for planned, seen in zip(plan.features, current.features, strict=True)
        },
        CLASSES: (plan.classes, current.classes),
    }
    if plan.margin is not None:
        pairs[MARGIN] = (plan.margin.reference, current.margin)
    if feature not in pairs:  # all features together, errors, quality: not counted in bins
        return {"reference": [], "current": []}
    reference, seen = pairs[feature]
    return {"reference": _shares(reference), "current": _shares(seen)}


def _shares(counts: tuple[int, ...]) -> list[float]:
    total = sum(counts)
    return [round(count / total, 4) for count in counts] if total else []
