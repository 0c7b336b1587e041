"""Desired states: what each device shall run and under which policies, signed, with a generation counter."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session, col, func, select

from edgeops.core.codec import decode, dump, encode, to_item
from edgeops.core.errors import DoesNotFit, EdgeOpsError, NotFoundError, TrustError
from edgeops.core.messages import Desired, DesiredModel, ReportPolicy, Transfer
from edgeops.core.signing import sign, unverified_payload
from edgeops.fleet.capturing import capture_from_plain
from edgeops.fleet.samples import kept_samples
from edgeops.fleet.transfers import Ways, as_plain, from_plain
from edgeops.registry.blobs import BlobStore
from edgeops.registry.tables import DesiredState, DeviceModel

LAST_GENERATION = 2**32 - 2**16  # a device that claims to have seen more than this is not believed


class Changes(TypedDict, total=False):
    """What a desired state can say of a model; what is not given stays as it is.

    ``manifest`` in hexadecimal or None; ``capture`` as ``edgeops.fleet.capturing`` writes it, or None; ``transfers``
    are worked out where they are not given. ``daily_bytes`` bounds what the device fetches in a day, 0 does not: of
    several models of a device the strictest holds.
    """

    manifest: str | None
    manifest_bytes: int
    capture: list[Any] | None
    labels: bool
    transfers: tuple[Transfer, ...]
    shadow_inferences: int
    attempt: int
    spread_ms: int
    daily_bytes: int


class DesiredWriter:
    """Changes desired states in a session; what changed is signed at once and published later.

    ``ways`` knows what the broker takes and which patches there are; without it devices have the manifest's way only.
    ``labels``: every device may send truths, not only those that a drift alert asks for them.
    """

    def __init__(
        self,
        fleet: str,
        key: Ed25519PrivateKey,
        report: ReportPolicy,
        ways: Ways | None = None,
        labels: bool = False,
    ) -> None:
        self._fleet = fleet
        self._key = key
        self._report = report
        self._ways = ways
        self._labels = labels
        self._refreshed = False

    def change(self, session: Session, device_id: str, model: str, **changes: Unpack[Changes]) -> int:
        """Change what is desired of one model of a device; see ``Changes``.

        Returns the generation that carries the change; the present one when nothing changes. Raises ``DoesNotFit``
        when the document becomes longer than a device or the broker takes, ``NotFoundError`` for a version whose
        blobs are not there, ``WireError`` for a number that is out of bounds. Then nothing is changed.
        """
        row = session.get(DesiredState, device_id)
        models = dict(row.models) if row else {}
        before = models.get(model, {})
        given: dict[str, Any] = {**changes}
        if "transfers" in given:
            given["transfers"] = [as_plain(transfer) for transfer in given["transfers"]]
        elif "manifest" in given and given["manifest"] != before.get("manifest"):
            given["transfers"] = self._transfers(session, device_id, model, given["manifest"])
        ordered = given.get("capture")
        if ordered and ordered != before.get("capture"):
            # each order is another permission; ``edgeops.fleet.samples`` holds the device to it
            kept = kept_samples(session, device_id, model)
            given["captures_to"] = kept + capture_from_plain(ordered).budget
        wanted = {**before, **given}
        if not wanted.get("transfers"):
            wanted.pop("transfers", None)
        if row is not None and before == wanted:
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

    def refresh(self, session: Session, blobs: BlobStore | None = None) -> list[str]:
        """Sign anew what a device would not take, or what was signed under other report policies or broker limits.

        A device ignores a generation that is not above its last: where the registry was restored from a copy,
        devices are ahead of it. What is not published yet loses the patches that ``blobs`` does not have any more:
        they would keep it from being published, and the device can do without. Returns a line for each desired state
        that could not be renewed, with the reason.
        """
        ahead = (
            select(DesiredState, func.max(DeviceModel.generation))
            .join(DeviceModel, col(DeviceModel.device_id) == col(DesiredState.device_id))
            .where(DeviceModel.generation > DesiredState.generation, DeviceModel.generation < LAST_GENERATION)
            .group_by(col(DesiredState.device_id))
        )
        for row, seen in session.exec(ahead).all():
            self._renew(row, dict(row.models), seen + 1)
        if blobs is not None:
            self._drop_lost_patches(session, blobs)
        troubles: list[str] = []
        if not self._refreshed:
            for row in session.exec(select(DesiredState)).all():
                try:
                    self._refresh(session, row)
                except EdgeOpsError as error:
                    troubles.append(f"desired state of {row.device_id}: {error.message}")
            self._refreshed = True
        return troubles

    def _drop_lost_patches(self, session: Session, blobs: BlobStore) -> None:
        known: dict[str, bool] = {}
        for row in session.exec(select(DesiredState).where(col(DesiredState.published).is_(False))).all():
            models = {
                name: _with_transfers(wanted, [t for t in _transfers(wanted) if _is_there(t, blobs, known)])
                for name, wanted in row.models.items()
            }
            if models == row.models:
                continue
            try:
                self._renew(row, models, row.generation + 1)
            except DoesNotFit:
                continue  # nor does what it has: who publishes tells

    def _refresh(self, session: Session, row: DesiredState) -> None:
        models = {name: dict(wanted) for name, wanted in row.models.items()}
        for wanted in models.values():
            manifest = wanted.get("manifest")
            if manifest and self._ways is not None:
                # Patches stay as they were offered: the device may be taking one.
                patches = [stored for stored in wanted.get("transfers", []) if stored["base"]]
                chunks = [as_plain(t) for t in self._ways.chunks(session, row.device_id, manifest)]
                wanted["transfers"] = [*chunks, *patches]
                if not wanted["transfers"]:
                    del wanted["transfers"]
        said = decode(Desired, unverified_payload(row.document))
        altered = any(
            model.report != self._report or model.labels != self._wants_labels(models.get(name, {}))
            for name, model in said.models.items()
        )
        if models != row.models or altered:
            self._renew(row, models, row.generation + 1)

    def _transfers(
        self, session: Session, device_id: str, model: str, manifest: str | None
    ) -> list[dict[str, Any]]:
        if manifest is None or self._ways is None:
            return []
        return [as_plain(t) for t in self._ways.transfers(session, device_id, model, manifest)]

    def _renew(self, row: DesiredState, models: dict[str, Any], generation: int) -> None:
        try:
            document = self._sign(row.device_id, generation, models)
        except DoesNotFit:
            # Patches save bytes and nothing depends on them: they give way before the document is too long.
            models = {name: _without_patches(wanted) for name, wanted in models.items()}
            document = self._sign(row.device_id, generation, models)
        row.document = document
        row.generation, row.models, row.published = generation, models, False

    def _sign(self, device_id: str, generation: int, models: dict[str, Any]) -> bytes:
        budgets = [wanted["daily_bytes"] for wanted in models.values() if wanted.get("daily_bytes")]
        desired = Desired(
            self._fleet,
            device_id,
            generation,
            {name: self._model(wanted) for name, wanted in models.items()},
            min(budgets, default=0),
        )
        size = len(dump(to_item(desired)))
        if size > Desired.MAX_BYTES:
            raise DoesNotFit(
                f"the desired state of {device_id} with {len(models)} models takes {size} bytes, "
                f"devices take {Desired.MAX_BYTES}",
                fix="give the device fewer models",
                limit="desired state",
                needed=size,
                available=Desired.MAX_BYTES,
            )
        document = sign(encode(desired), Desired.PURPOSE, [self._key])
        if self._ways is not None:
            self._ways.check_document(device_id, document)
        return document

    def _wants_labels(self, wanted: dict[str, Any]) -> bool:
        return self._labels or bool(wanted.get("labels", False))

    def _model(self, wanted: dict[str, Any]) -> DesiredModel:
        capture = wanted.get("capture")
        manifest = wanted.get("manifest")
        return DesiredModel(
            manifest=bytes.fromhex(manifest) if manifest else None,
            manifest_bytes=wanted.get("manifest_bytes", 0),
            report=self._report,
            capture=capture_from_plain(capture) if capture else None,
            labels=self._wants_labels(wanted),
            transfers=tuple(from_plain(stored) for stored in wanted.get("transfers", ())),
            shadow_inferences=wanted.get("shadow_inferences", 0),
            attempt=wanted.get("attempt", 0),
            spread_ms=wanted.get("spread_ms", 0),
        )


def _transfers(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    return list(wanted.get("transfers", []))


def _with_transfers(wanted: dict[str, Any], kept: list[dict[str, Any]]) -> dict[str, Any]:
    rest = {key: value for key, value in wanted.items() if key != "transfers"}
    return {**rest, "transfers": kept} if kept else rest


def _without_patches(wanted: dict[str, Any]) -> dict[str, Any]:
    return _with_transfers(wanted, [stored for stored in _transfers(wanted) if not stored["base"]])


def _is_there(stored: dict[str, Any], blobs: BlobStore, known: dict[str, bool]) -> bool:
    """Whether a transfer is no patch, or one that can be published; ``known`` keeps what was looked for."""
    parts = [part for part in (stored["sha256"], stored["chunk_list"]) if part and stored["base"]]
    for part in parts:
        if part not in known:
            known[part] = _readable(blobs, part)
    return all(known[part] for part in parts)


def _readable(blobs: BlobStore, sha256: str) -> bool:
    try:
        blobs.get(sha256)
    except (NotFoundError, TrustError):
        return False
    return True
