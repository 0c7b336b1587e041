"""The audit trail as it is read: what each entry was about, and for a device also what rollouts did with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.rollout_orders import find_rollout
from edgeops.control.rollout_views import plan_words, reason_words
from edgeops.control.workspace import Workspace
from edgeops.fleet.audit import device_history, entries
from edgeops.fleet.rollout.plan import plan_from_dict
from edgeops.registry.names import find_device
from edgeops.registry.tables import AuditEntry, ModelVersion, Rollout

ATTRIBUTES = "set attributes"


def audit_rows(
    workspace: Workspace, *, rollout: int | None = None, device: str | None = None, last: int | None = None
) -> list[dict[str, Any]]:
    """Entries, oldest first: of everything, of a rollout, or of a device. ``NotFoundError`` for an unknown one."""
    with workspace.registry.reading() as session:
        if rollout is not None:
            find_rollout(session, rollout)
            found = [*entries(session, f"rollout {rollout}", limit=last)]
        elif device is not None:
            find_device(session, device)
            found = device_history(session, device)
            found = found[-last:] if last else found
        else:
            found = [*entries(session, limit=last)]
        return [_row(session, entry) for entry in found]


def _row(session: Session, entry: AuditEntry) -> dict[str, Any]:
    noun, _, number = entry.subject.partition(" ")
    rollout = session.get(Rollout, int(number)) if noun == "rollout" and number.isdecimal() else None
    return {
        "at": entry.at,
        "by": entry.actor,
        "action": entry.action.replace("_", " "),
        "of": entry.subject,
        "what": _what(session, entry, rollout),
        "reason": reason_words(rollout.id, entry.reason) if rollout else entry.reason,
        "detail": entry.detail,
    }


def _what(session: Session, entry: AuditEntry, rollout: Rollout | None) -> str | None:
    """What it was about, where the entry's reason does not say so."""
    if entry.action == ATTRIBUTES:
        before = entry.detail.get("from", _attributes_before(session, entry))
        return f"{_pairs(before)} -> {_pairs(entry.detail.get('to', {}))}"
    if entry.action == "enroll":
        return _pairs(entry.detail.get("to"))
    if entry.action == "retry":
        return entry.detail.get("device")
    if rollout is None:
        return None
    version = session.get_one(ModelVersion, rollout.model_version_id)
    name = f"{version.model}@{version.version}"
    if entry.action == "start":
        return f"{name} to {rollout.plan.get('to') or 'every device'}"
    if entry.action == "change plan" and entry.detail.get("plan"):
        return plan_words(plan_from_dict(entry.detail["plan"]))
    return name if "device" in entry.detail else None


def _attributes_before(session: Session, entry: AuditEntry) -> Mapping[str, str] | None:
    """What the entry before said, since an older control plane did not write down what it changed."""
    query = (
        select(AuditEntry)
        .where(
            AuditEntry.subject == entry.subject,
            AuditEntry.action == ATTRIBUTES,
            col(AuditEntry.id) < entry.id,
        )
        .order_by(col(AuditEntry.id).desc())
    )
    before = session.exec(query).first()
    return before.detail.get("to") if before else None


def _pairs(attributes: Mapping[str, str] | None) -> str:
    if attributes is None:
        return "not known"
    return ", ".join(f"{key}={value}" for key, value in sorted(attributes.items())) or "no attributes"
