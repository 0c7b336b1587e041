"""What devices themselves say about a rollout's version: the only thing that makes a rollout advance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgeops.fleet.rollout.engine import Heard
from edgeops.registry.tables import Deployment, Device, DeviceModel, ModelVersion

FAILURES_IN_A_ROW = 3
"""A device tries again by itself, a few seconds later; from so many failures on it puts the version aside."""
FAILED_WORDS = {"REJECTED": "rejected", "FAILED": "failed", "ROLLED_BACK": "rolled back"}


def heard(
    said: Mapping[str, DeviceModel],
    wanted: Mapping[str, str | None],
    version: ModelVersion,
    rows: Mapping[str, Deployment],
) -> tuple[Heard, ...]:
    """What the state of each device means to its deployment; the engine ignores what is no news.

    ``said`` by device, and the manifest that is ``wanted`` of it now.
    """
    found = []
    for row in said.values():
        deployment = rows.get(row.device_id)
        if deployment is None:
            continue
        if deployment.state in ("reverting", "stuck"):
            news = _taken_back(row, deployment)
        else:
            news = _taken(row, deployment, wanted.get(row.device_id), version)
        if news is not None:
            found.append(news)
    return tuple(found)


def quiet(
    devices: Iterable[Device],
    rows: Mapping[str, Deployment],
    patience_s: float,
    now: float,
    listening_since: float = 0.0,
    judged_since: float = 0.0,
) -> tuple[frozenset[str], frozenset[str]]:
    """(devices from which nothing came for so long, those of them that had answered since their offer).

    The latter stopped: that counts against the version. The others may simply be away. What could not be heard, since
    this side was connected only ``listening_since``, is nobody's silence; and whoever was silent when a person
    resumed the rollout, at ``judged_since``, did not stop after it.
    """
    silent, stopped = set(), set()
    for device in devices:
        deployment = rows.get(device.id)
        if deployment is None or deployment.offered_at is None or deployment.state == "left":
            continue
        last = max(device.last_seen_at or 0.0, deployment.since, deployment.offered_at, listening_since)
        if now - last > patience_s:
            silent.add(device.id)
            if (device.last_seen_at or 0.0) > max(deployment.offered_at, judged_since):
                stopped.add(device.id)
    return frozenset(silent), frozenset(stopped)


def away(
    devices: Iterable[Device],
    rows: Mapping[str, Deployment],
    patience_s: float,
    now: float,
    listening_since: float = 0.0,
) -> frozenset[str]:
    """Devices from which nothing came for so long before they were, or would now be, offered anything.

    They have not fallen silent over the version. Before this side has listened for so long, nobody is known to be.
    """
    if listening_since > now - patience_s:
        return frozenset()
    found = set()
    for device in devices:
        row = rows.get(device.id)
        offered_at = row.offered_at if row is not None and row.offered_at is not None else now
        if (device.last_seen_at or 0.0) < offered_at - patience_s:
            found.add(device.id)
    return frozenset(found)


def has_control(
    devices: Iterable[Device],
    said: Mapping[str, DeviceModel],
    version: ModelVersion,
    rows: Mapping[str, Deployment],
    since: float,
) -> bool:
    """Whether a device is left that was not offered the version, runs an older one, and was heard ``since``."""
    return any(
        (row := rows.get(device.id)) is not None
        and row.state in ("waiting", "unsuited")
        and (device.last_seen_at or 0.0) >= since
        and (has := said.get(device.id)) is not None
        and has.confirmed not in (None, version.manifest_sha256)
        for device in devices
    )


def _taken(
    row: DeviceModel, deployment: Deployment, wanted: str | None, version: ModelVersion
) -> Heard | None:
    current = row.generation >= deployment.generation
    if row.confirmed == version.manifest_sha256:
        # It must also be what it goes on to run: it may be on its way to another version.
        stays = wanted == version.manifest_sha256 and current
        return Heard(row.device_id, "confirmed") if stays else None
    if not deployment.generation or not current:
        return None
    if deployment.state == "confirmed":  # whatever became of it since, that it says next
        return Heard(row.device_id, "lost")
    if row.lifecycle in FAILED_WORDS and (row.lifecycle != "FAILED" or row.attempts >= FAILURES_IN_A_ROW):
        words = FAILED_WORDS[row.lifecycle]
        return Heard(row.device_id, "failed", f"{words}: {row.reason}" if row.reason else words)
    return Heard(row.device_id, "tries_again")


def _taken_back(row: DeviceModel, deployment: Deployment) -> Heard | None:
    if row.generation < deployment.reverted_generation or not deployment.reverted_generation:
        return None
    if row.confirmed == deployment.before and row.candidate is None:
        return Heard(row.device_id, "restored")
    if row.lifecycle in FAILED_WORDS:
        return Heard(row.device_id, "failed", f"cannot go back: {row.reason or FAILED_WORDS[row.lifecycle]}")
    return None
