"""Whom a rollout serves: the devices that its selector picks now, less those that a newer rollout serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, select

from edgeops.core.manifest import Manifest
from edgeops.fleet.rollout.selector import Selector, parse_selector
from edgeops.registry.artifacts import choose, takes_of
from edgeops.registry.tables import Deployment, Device, ModelVersion, Rollout

CLAIMING = ("RUNNING", "SOAKING", "NEEDS_APPROVAL", "HELD", "PAUSED", "ROLLING_BACK", "COMPLETED")
"""Rollouts whose version is what their devices shall have; one that was rolled back wants nothing."""


def attributes_of(device: Device) -> dict[str, str]:
    """What a selector can ask for: the device's own attributes, and ``device``, ``target``, ``runtime``, ``agent``."""
    said = {"target": device.target, "runtime": device.runtime.split(" ")[0], "agent": device.agent}
    return {**{key: value for key, value in said.items() if value}, **device.attributes, "device": device.id}


def select_devices(session: Session, selector: Selector) -> list[Device]:
    """The enrolled devices that a selector picks, by id."""
    devices = session.exec(select(Device).order_by(Device.id)).all()
    return [device for device in devices if selector.selects(attributes_of(device))]


@dataclass(frozen=True)
class Claims:
    """What newer rollouts of the same model have taken over: whole selections, and single devices."""

    selectors: tuple[Selector, ...] = ()
    devices: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.selectors or self.devices)

    def has(self, attributes: Mapping[str, str]) -> bool:
        """Whether a newer rollout serves the device with these attributes."""
        return attributes["device"] in self.devices or any(s.selects(attributes) for s in self.selectors)


def newer_claims(session: Session, rollout: Rollout, model: str) -> Claims:
    """What newer rollouts have taken from this one; of one that was aborted, or superseded by one that is over, the
    devices that keep its version.
    """
    query = (
        select(Rollout)
        .join(ModelVersion, col(Rollout.model_version_id) == col(ModelVersion.id))
        .where(ModelVersion.model == model, col(Rollout.id) > rollout.id)
    )
    newer = session.exec(query).all()
    ended = [other.id for other in newer if other.state in ("ABORTED", "SUPERSEDED")]
    # What a superseded one said of its devices last stands still; a newer rollout may have made them leave it.
    kept = select(Deployment.device_id).where(
        col(Deployment.rollout_id).in_(ended),
        col(Deployment.confirmed_at).is_not(None),
        col(Deployment.state).in_(("confirmed", "left")),
        Deployment.reverted_generation <= Deployment.generation,
    )
    return Claims(
        tuple(parse_selector(other.plan.get("to", "")) for other in newer if other.state in CLAIMING),
        frozenset(session.exec(kept)) if ended else frozenset(),
    )


def selection_of(session: Session, model_version_id: int) -> str:
    """The selector of the devices to which the standing rollouts of a version went; all of them without any."""
    query = (
        select(Rollout)
        .where(Rollout.model_version_id == model_version_id, col(Rollout.state).in_(CLAIMING))
        .order_by(col(Rollout.id))
    )
    texts = list(dict.fromkeys(rollout.plan.get("to", "") for rollout in session.exec(query)))
    if len(texts) < 2 or "" in texts:
        return texts[0] if len(texts) == 1 else ""
    return " or ".join(f"({text})" for text in texts)


def members(
    devices: Iterable[Device], selector: Selector, claims: Claims, manifest: Manifest
) -> dict[str, str | None]:
    """The devices of a rollout, with the reason why the version does not suit one, None where it does."""
    return {
        device.id: unsuited(device, manifest)
        for device in devices
        if selector.selects(attributes := attributes_of(device)) and not claims.has(attributes)
    }


def unsuited(device: Device, manifest: Manifest) -> str | None:
    """Why no artifact of the version is for this device; None where one is, or nothing is known of it yet."""
    if not device.target and not device.takes:
        return None
    if choose(manifest.artifacts, device) is not None:
        return None
    has = ", ".join(sorted(f"{a.runtime} for {a.target}" for a in manifest.artifacts))
    takes = ", ".join(takes_of(device)) + (f" for {device.target}" if device.target else "")
    why = f"edgeops model show {manifest.model}@{manifest.version} tells why"
    return f"it takes {takes}; the version has {has}; {why}"
