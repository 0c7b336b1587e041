"""Desired states: what each device shall run and under which policies, signed, with a generation counter."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session

from edgeops.core.codec import encode
from edgeops.core.messages import CapturePolicy, Desired, DesiredModel, ReportPolicy
from edgeops.core.signing import sign
from edgeops.registry.tables import DesiredState


class DesiredWriter:
    """Changes desired states in a session; what changed is signed at once and published later."""

    def __init__(self, fleet: str, key: Ed25519PrivateKey, report: ReportPolicy) -> None:
        self._fleet = fleet
        self._key = key
        self._report = report

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
        generation = (row.generation if row else 0) + 1
        document = self._sign(device_id, generation, models)
        row = row or DesiredState(device_id=device_id, generation=0, document=b"")
        row.generation, row.models, row.document, row.published = generation, models, document, False
        session.add(row)
        session.flush()
        return generation

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
