"""From an alarm to what became of it, and from a version back to the alarm that asked for it."""

from __future__ import annotations

from typing import Any

from sqlmodel import Session, col, func, select

from edgeops.control.drift_records import DRIFT
from edgeops.control.drift_views import alert_list, find_alert
from edgeops.control.labelled_samples import labelled_by
from edgeops.control.workspace import Workspace
from edgeops.core.errors import UsageError
from edgeops.registry.names import find_model, split_version
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    CapturedSample,
    DatasetVersion,
    Deployment,
    ModelVersion,
    ReportWindow,
    Retrain,
    Rollout,
    Run,
)

ENOUGH_WINDOWS = 12
"""So many windows must each device have reported under the new version before it is said that an alarm cleared."""


def chain(workspace: Workspace, text: str) -> dict[str, Any]:
    """The chain of an alert's number, or of ``MODEL@VERSION``: of the alert that asked for that version.

    Raises ``NotFoundError`` for one that is not there.
    """
    if text.isdecimal():
        return chain_of_alert(workspace, int(text))
    return chain_of_version(workspace, text)


def chain_of_alert(workspace: Workspace, alert_id: int) -> dict[str, Any]:
    """Alarm, captured data, retrains with their run, version and rollouts, outcome; plain data.

    Raises ``NotFoundError``.
    """
    with workspace.registry.reading() as session:
        find_alert(session, alert_id)
    listed = next(row for row in alert_list(workspace) if row["alert"] == alert_id)
    with workspace.registry.reading() as session:
        alert = find_alert(session, alert_id)
        version = session.get_one(ModelVersion, alert.model_version_id)
        devices = session.exec(
            select(AlertDevice).where(AlertDevice.alert_id == alert_id).order_by(col(AlertDevice.device_id))
        ).all()
        query = select(Retrain).where(Retrain.alert_id == alert_id).order_by(col(Retrain.id))
        retrains = [_retrain(session, row) for row in session.exec(query)]
        return {
            "alert": {
                **listed,
                "devices": [row.device_id for row in devices],
                "features": _features(devices),
            },
            "captured": _captured(session, version),
            "retrains": retrains,
            "outcome": _outcome(session, alert, [row.device_id for row in devices], retrains),
        }


def chain_of_version(workspace: Workspace, text: str) -> dict[str, Any]:
    """Where a version comes from: its run and parent, and the chain of the alert that asked for it.

    ``alert`` is None where a person trained it. Raises ``NotFoundError``, ``UsageError`` for what is neither a
    version nor an alert's number.
    """
    name, number = split_version(text)
    if number is None:
        raise UsageError(
            f"{text!r} is neither an alert's number nor a version", fix=f"edgeops lineage show {name}@1"
        )
    with workspace.registry.reading() as session:
        version = find_model(session, text)
        run = session.get_one(Run, version.run_id)
        parent = session.get(ModelVersion, version.parent_id) if version.parent_id else None
        cause = session.get(Retrain, run.retrain_id) if run.retrain_id else None
        origin = {
            "version": f"{version.model}@{version.version}",
            "state": version.state,
            "parent": f"{parent.model}@{parent.version}" if parent else None,
            "run": run.id,
            "retrain": cause.id if cause else None,
            "alert": cause.alert_id if cause else None,
        }
    asked = cause.alert_id if cause else None
    return {"version": origin, **(chain_of_alert(workspace, asked) if asked is not None else {})}


def _features(devices: Any) -> list[dict[str, Any]]:
    """What moved, the farthest first: its kind, its largest distance, and on how many devices."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in devices:
        for shift in row.shifts:
            kind = shift.get("kind", "data")
            seen = found.setdefault(
                (kind, shift["signal"]),
                {"feature": shift["signal"], "kind": kind, "size": 0.0, "devices": 0},
            )
            seen["devices"] += 1
            seen["size"] = max(seen["size"], shift["distance"])
    return sorted(found.values(), key=lambda entry: (-entry["size"], entry["feature"]))


def _captured(session: Session, version: ModelVersion) -> dict[str, Any]:
    """What is kept of the inputs that devices sent under the version that drifted."""
    samples = session.exec(
        select(func.count())
        .select_from(CapturedSample)
        .where(CapturedSample.manifest == version.manifest_sha256)
    ).one()
    devices, sources = labelled_by(session, version)
    return {
        "samples": samples,
        "labelled": sum(devices.values()),
        "labelled_by_device": devices,
        "labelled_by_source": sources,
    }


def _retrain(session: Session, retrain: Retrain) -> dict[str, Any]:
    version = session.get(ModelVersion, retrain.model_version_id) if retrain.model_version_id else None
    run = session.get(Run, version.run_id) if version else None
    dataset = session.get(DatasetVersion, retrain.dataset_id) if retrain.dataset_id else None
    query = select(Rollout).where(Rollout.model_version_id == retrain.model_version_id)
    rollouts = session.exec(query.order_by(col(Rollout.id))).all() if version else []
    return {
        "retrain": retrain.id,
        "state": retrain.state,
        "reason": retrain.reason,
        "samples": retrain.samples,
        "dataset": _dataset(dataset),
        "attempts": retrain.attempts,
        "gates": retrain.gates,
        "run": None if run is None else run.id,
        "version": None if version is None else f"{version.model}@{version.version}",
        "strategy": None if run is None else run.record.get("strategy"),
        "proposal": retrain.proposal,
        "rollouts": [_rollout(session, row) for row in rollouts],
    }


def _dataset(dataset: DatasetVersion | None) -> dict[str, Any] | None:
    if dataset is None:
        return None
    return {
        "dataset": f"{dataset.name}@{dataset.version}",
        "sha256": dataset.sha256,
        "held_out": dataset.parts.get("capture-holdout", dataset.parts.get("capture_holdout", 0)),
        "parts": dataset.parts,
    }


def _rollout(session: Session, rollout: Rollout) -> dict[str, Any]:
    states = [
        deployment.outcome
        for deployment in session.exec(select(Deployment).where(Deployment.rollout_id == rollout.id))
    ]
    return {
        "rollout": rollout.id,
        "state": rollout.state,
        "devices": len(states),
        "confirmed": states.count("confirmed"),
    }


def _outcome(
    session: Session, alert: Alert, devices: list[str], retrains: list[dict[str, Any]]
) -> dict[str, Any]:
    """Whether those that alarmed alarm again under the version that answers them.

    ``cleared``, ``not cleared``, ``too early to say`` (``windows``: the fewest that one of them has reported since),
    or why there is nothing to say yet.
    """
    deployed = [row for row in retrains if row["state"] == "DEPLOYED"]
    if not deployed:
        last = retrains[-1]["state"] if retrains else None
        again = session.exec(
            select(AlertDevice).where(AlertDevice.alert_id == alert.id, col(AlertDevice.cleared_at).is_(None))
        ).first()
        if again is None and devices:
            return {"verdict": "cleared", "words": "The devices are quiet again, without another version."}
        why = f"the retrain is {last}" if last else (alert.reason or "no retrain").rstrip(".")
        return {
            "verdict": "open" if alert.state == "open" else "closed",
            "words": f"Nothing was rolled out: {why}.",
        }
    version = find_model(session, deployed[-1]["version"])
    windows = {device: _windows_since(session, device, version) for device in devices}
    alarmed = sorted(set(devices) & _alarmed_under(session, version))
    name, least = f"{version.model}@{version.version}", min(windows.values(), default=0)
    if alarmed:
        verdict, words = "not cleared", f"{_names(alarmed)} drifted again under {name}."
    elif least < ENOUGH_WINDOWS:
        slow = sum(count < ENOUGH_WINDOWS for count in windows.values())
        verdict = "too early to say"
        words = (
            f"No alarm under {name} yet, but {slow} of {len(devices)} have reported fewer than {ENOUGH_WINDOWS} "
            f"windows since (the fewest: {least})."
        )
    else:
        verdict = "cleared"
        words = f"None of the {len(devices)} that drifted has alarmed under {name}, in {least} windows each or more."
    return {"verdict": verdict, "words": words, "windows": least, "alarmed_again": alarmed}


def _windows_since(session: Session, device: str, version: ModelVersion) -> int:
    query = (
        select(func.count())
        .select_from(ReportWindow)
        .where(
            ReportWindow.device_id == device,
            ReportWindow.manifest == version.manifest_sha256,
            col(ReportWindow.trial).is_(False),
        )
    )
    return session.exec(query).one()


def _alarmed_under(session: Session, version: ModelVersion) -> set[str]:
    """The devices that drifted under a version, also those that are quiet again; a sensor at fault is another thing."""
    query = (
        select(AlertDevice.device_id)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.model_version_id == version.id, Alert.kind == DRIFT)
    )
    return set(session.exec(query))


def _names(devices: list[str], most: int = 3) -> str:
    rest = f" and {len(devices) - most} more" if len(devices) > most else ""
    return ", ".join(devices[:most]) + rest
