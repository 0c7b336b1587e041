"""Desired states: what each device shall run and under which policies, signed, with a generation counter."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session, col, func, select

from edgeops.core.codec import decode, encode
from edgeops.core.messages import CapturePolicy, Desired, DesiredModel, ReportPolicy
from edgeops.core.signing import sign, unverified_payload
from edgeops.registry.tables import DesiredState, DeviceModel

LAST_GENERATION = 2**32 - 2**16  # a device that claims to have seen more than this is not believed


class DesiredWriter:
    """Changes desired states in a session; what changed is signed at once and published later."""

    def __init__(self, fleet: str, key: Ed25519PrivateKey, report: ReportPolicy) -> None:
        self._fleet = fleet
        self._key = key
        self._report = report
        self._refreshed = False

    def change(self, session: Session, device_id: str, model: str, **changes: Any) -> int:
        """Change ``manifest`` (hex), ``manifest_bytes``, ``capture`` ([permille, budget] or None) or ``labels``.

        Returns the generation that carries the change; the present one when nothing changes.
        """
        row = session.get(DesiredState, device_id)
        models = dict(row.models) if row else {}
        wanted = {**models.get(model, {}), **changes}
        if row is not None and models.get(model) == wanted:
            return row.generation
        models[model] = wanted
        seen = session.exec(
            select(func.max(DeviceModel.generation)).where(
                DeviceModel.device_id == device_id, DeviceModel.generation < LAST_GENERATION
            )
        ).one()
        row = row or DesiredState(device_id=device_id, generation=0, document=b"")
        self._renew(row, models, max(row.generation, seen or 0) + 1)
        session.add(row)
        session.flush()
        return row.generation

    def refresh(self, session: Session) -> None:
        """Sign anew what a device would not take, or what was signed under other report policies.

        A device ignores a generation that is not above its last: where the registry was restored from a copy,
        devices are ahead of it.
        """
        ahead = (
            select(DesiredState, func.max(DeviceModel.generation))
            .join(DeviceModel, col(DeviceModel.device_id) == col(DesiredState.device_id))
            .where(DeviceModel.generation > DesiredState.generation, DeviceModel.generation < LAST_GENERATION)
            .group_by(col(DesiredState.device_id))
        )
        for row, seen in session.exec(ahead).all():
            self._renew(row, dict(row.models), seen + 1)
        if not self._refreshed:
            for row in session.exec(select(DesiredState)).all():
                said = decode(Desired, unverified_payload(row.document))
                if any(model.report != self._report for model in said.models.values()):
                    self._renew(row, dict(row.models), row.generation + 1)
            self._refreshed = True

    def _renew(self, row: DesiredState, models: dict[str, Any], generation: int) -> None:
        row.document = self._sign(row.device_id, generation, models)
        row.generation, row.models, row.published = generation, models, False

    def _sign(self, device_id: str, generation: int, models: dict[str, Any]) -> bytes:
        desired = Desired(
            self._fleet,
            device_id,
            generation,
            {name: self._model(wanted) for name, wanted in models.items()},
        )
        return sign(encode(desired), Desired.PURPOSE, [self._key])

    def _model(self, wanted: dict[str, Any]) -> DesiredModel:
        capture = wanted.get("capture")
        manifest = wanted.get("manifest")
        return DesiredModel(
            manifest=bytes.fromhex(manifest) if manifest else None,
            manifest_bytes=wanted.get("manifest_bytes", 0),
            report=self._report,
            capture=CapturePolicy(*capture) if capture else None,
            labels=bool(wanted.get("labels", False)),
        )
