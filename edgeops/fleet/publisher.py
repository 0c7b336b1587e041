"""Publishing: blobs in chunks, once each, retained; desired states; the trust root; receipts.

What was sent counts as published when the broker has it (``edgeops.fleet.broker_memory``) and the registry says so:
a process that is killed before sends that batch again, and nothing else.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from edgeops.core import topics
from edgeops.core.codec import encode
from edgeops.core.errors import CheckFailed, NotFoundError, WireError
from edgeops.core.messages import Receipt
from edgeops.core.topics import Kind
from edgeops.core.transport import ConnectionChanged, Incoming, Transport
from edgeops.fleet.blob_publication import Chunked, Needs, being_cleared, stands
from edgeops.fleet.broker_memory import BrokerMemory, Memory
from edgeops.fleet.chunking import check_payload
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import fact, state_fact
from edgeops.registry.tables import BlobPublication, DesiredState

PUBLISHED = "bytes_published"
GRACE_S = 86_400.0


@dataclass
class _Batch:
    """What was sent under one number."""

    number: int = 0
    blobs: dict[str, BlobPublication] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)  # device to generation
    cleared: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.blobs or self.told or self.cleared)


class Publisher:
    """What the control side writes to the broker.

    ``packet_bytes`` is the longest packet that the broker takes, None where it does not say; ``grace_s`` how many
    seconds chunks stay that no desired state needs any more. Hand everything that the transport receives to ``take``
    first: nothing is published before the broker has told what it still has.
    """

    def __init__(
        self,
        fleet: str,
        transport: Transport,
        blobs: BlobStore,
        packet_bytes: int | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._fleet = fleet
        self._transport = transport
        self._blobs = blobs
        self._packet_bytes = packet_bytes
        self._grace_s = grace_s
        self._needs = Needs(fleet, blobs, packet_bytes)
        self._memory = BrokerMemory(fleet, transport)
        self._batches: deque[_Batch] = deque()  # sent, and not known to have come
        self._uncounted = 0
        self.trouble: str | None = None
        """Why the last ``desired`` could not publish everything, None where it could."""

    def take(self, incoming: Incoming) -> bool:
        """Take what arrived; True when it was the publisher's own and concerns nobody else."""
        if isinstance(incoming, ConnectionChanged):
            self._batches.clear()  # the broker may have lost a part of them: they are sent again
        return self._memory.take(incoming)

    def trust(self, envelope: bytes) -> None:
        """Publish the trust root; to be called at every connection."""
        self._publish(topics.trust(self._fleet), envelope)

    def receipt(self, device_id: str, receipt: Receipt) -> None:
        """Publish what the registry has of a device's reports."""
        self._publish(topics.device(self._fleet, device_id, Kind.RECEIPT), encode(receipt))

    def desired(self, session: Session, now: float) -> int:
        """Publish the desired states that are not out yet, and first the blobs they need; how many went out.

        Only what is committed may be published: a generation that a device has seen must never be used again, so the
        session must not have changed desired states itself; it is committed before the first byte of a new blob goes
        out, before the number of a batch does, and when the broker lost its memory. A version whose blobs are missing,
        altered or too long for the broker holds nobody else up; ``trouble`` then says what is wrong. Raises
        ``BrokerUnreachable``.
        """
        memory = self._memory.judge(session, now)
        if memory is Memory.UNKNOWN:
            return 0
        if memory is Memory.LOST:
            self._take_as_lost(session)
        self._record(session, now)
        rows = session.exec(select(DesiredState).where(col(DesiredState.published).is_(False))).all()
        waiting = [row for row in rows if not self._was_told(row)]
        self.trouble = None
        told = 0
        if waiting:
            batch = _Batch()
            standing = {blob.sha256: blob for blob in session.exec(select(BlobPublication))}
            for row in waiting:
                try:
                    self._blobs_of(session, self._needs.of_state(row), standing, batch)
                    topic = topics.device(self._fleet, row.device_id, Kind.DESIRED)
                    self._check(topic, len(row.document), f"the desired state of {row.device_id}")
                except (NotFoundError, CheckFailed, WireError) as error:
                    self.trouble = error.message
                    continue
                self._publish(topic, row.document)
                batch.told[row.device_id] = row.generation
            told = len(batch.told)
            self._end(session, batch)
        self._record(session, now)
        self._count(session)
        return told

    def sweep(self, session: Session, now: float) -> int:
        """Clear the chunks that no desired state has needed for the grace period; how many blobs are being cleared.

        A blob is first noted as no longer standing, and taken off the broker by a later call, in another transaction:
        a process that is killed in between never leaves a note that says more than the broker has. What is taken off
        is committed with the number of its batch. To be called every minute or so.
        """
        if self._memory.judge(session, now) is not Memory.INTACT:
            return 0
        self._record(session, now)
        try:
            needed = self._needs.of_all(session)
        except (NotFoundError, CheckFailed, WireError):
            return 0  # what that version needs is not known, so nothing is given up; ``desired`` tells of it
        going = {sha256 for batch in self._batches for sha256 in (*batch.cleared, *batch.blobs)}
        gone = []
        for row in session.exec(select(BlobPublication)).all():
            if row.sha256 in needed:
                row.unneeded_since = None
            elif being_cleared(row):
                gone += [row] if row.sha256 not in going else []
            elif row.unneeded_since is None:
                row.unneeded_since = now
            elif now - row.unneeded_since >= self._grace_s:
                row.published_at = 0.0
        if gone:
            batch = _Batch()
            for row in gone:
                self._clear(row.sha256, range(row.chunks))
                batch.cleared.add(row.sha256)
            self._end(session, batch)
            self._record(session, now)
            self._count(session)
        return len(gone)

    def _take_as_lost(self, session: Session) -> None:
        """Nothing stands any more; the size of a blob's chunks stays, since desired states name it."""
        for blob in session.exec(select(BlobPublication)).all():
            blob.published_at, blob.unneeded_since = 0.0, None
        for row in session.exec(select(DesiredState)).all():
            row.published = False
        self._batches.clear()
        self._memory.begin_anew(session)

    def _end(self, session: Session, batch: _Batch) -> None:
        if batch:
            batch.number = self._memory.begin(session)
            session.commit()  # the broker must not tell a number that the registry does not know: it would seem lost
            self._batches.append(batch)
            self._uncounted += self._memory.end(session, batch.number)

    def _record(self, session: Session, now: float) -> None:
        """Note what the broker has by now."""
        while self._batches and self._batches[0].number <= self._memory.reached:
            batch = self._batches.popleft()
            for sha256 in batch.cleared:
                row = session.get(BlobPublication, sha256)
                if row is not None and being_cleared(row):
                    session.delete(row)
            for sent in batch.blobs.values():
                values = sent.model_dump()
                session.merge(BlobPublication(**{**values, "published_at": now, "unneeded_since": None}))
            for device_id, generation in batch.told.items():
                told = session.get(DesiredState, device_id)
                if told is not None and told.generation == generation:
                    told.published = True
            self._memory.acknowledge(session, batch.number)
        session.flush()

    def _was_told(self, row: DesiredState) -> bool:
        return any(batch.told.get(row.device_id) == row.generation for batch in self._batches)

    def _blobs_of(
        self, session: Session, needed: Chunked, standing: dict[str, BlobPublication], batch: _Batch
    ) -> None:
        lacking = {}
        for sha256, chunk_bytes in needed.items():
            last = self._last_sent(sha256, batch)
            if last != chunk_bytes and not (last is None and stands(standing.get(sha256), chunk_bytes)):
                lacking[sha256] = self._prepared(sha256, chunk_bytes)
        for sha256, (_, row) in lacking.items():
            if sha256 not in standing:
                standing[sha256] = BlobPublication(**row.model_dump())
                session.add(standing[sha256])
        if lacking:
            session.commit()  # noted before it is sent, or a process that is killed leaves chunks that nobody clears
        for sha256, (blob, row) in lacking.items():
            for index in range(row.chunks):
                chunk = blob[index * row.chunk_bytes : (index + 1) * row.chunk_bytes]
                self._publish(topics.chunk(self._fleet, sha256, index), chunk)
            self._clear(sha256, range(row.chunks, standing[sha256].chunks))
            batch.blobs[sha256] = row

    def _last_sent(self, sha256: str, present: _Batch) -> int | None:
        """The size of the chunks that are on their way, 0 when they are being cleared, None when nothing is."""
        for batch in (present, *reversed(self._batches)):
            if sha256 in batch.blobs:
                return batch.blobs[sha256].chunk_bytes
            if sha256 in batch.cleared:
                return 0
        return None

    def _prepared(self, sha256: str, chunk_bytes: int) -> tuple[bytes, BlobPublication]:
        """A blob, and the row that says how it is cut; raises for one that is missing, altered or too long."""
        blob = self._blobs.get(sha256)
        chunks = -(-len(blob) // chunk_bytes)
        topic = topics.chunk(self._fleet, sha256, max(chunks - 1, 0))
        self._check(topic, min(len(blob), chunk_bytes), f"blob {sha256[:12]}")
        row = BlobPublication(
            sha256=sha256, chunk_bytes=chunk_bytes, chunks=chunks, bytes=len(blob), published_at=0.0
        )
        return blob, row

    def _clear(self, sha256: str, indices: range) -> None:
        for index in indices:
            self._publish(topics.chunk(self._fleet, sha256, index), b"")

    def _check(self, topic: str, size: int, what: str) -> None:
        # A broker ends the connection of who sends it too much, and what waits is sent again at the next one.
        check_payload(topic, size, self._packet_bytes, what)

    def _publish(self, topic: str, payload: bytes) -> None:
        self._transport.publish(topic, payload, retain=True)
        self._uncounted += len(payload)

    def _count(self, session: Session) -> None:
        if self._uncounted:
            total = fact(session, PUBLISHED).get("bytes", 0) + self._uncounted
            state_fact(session, PUBLISHED, {"bytes": total})
            self._uncounted = 0
