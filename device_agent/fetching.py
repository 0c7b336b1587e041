"""A model's transfers: when one may start, which way it goes, and what it costs.

First the manifest, then the blobs that it names. Over the broker; where that does not deliver for the stall time, from
the addresses that the manifest names; else another way to the same blob. Times are milliseconds of uptime.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from device_agent.byte_budget import ByteBudget
from device_agent.download import IN_FLIGHT, BadChunk, Chunk, Download, Lack
from device_agent.pace import start_delay_ms
from device_agent.slots import SlotStore
from device_agent.web_source import WebSource
from edgeops.core.errors import StorageError
from edgeops.core.manifest import BlobRef, Manifest
from edgeops.core.messages import DesiredModel
from edgeops.core.signing import MAX_ENVELOPE_BYTES

STALL_MS = 60_000


class Fetching:
    """What one model fetches. ``owner`` names it towards the byte budget, which the device's models share.

    What goes wrong for good is given back as the reason, and ``notes`` says what went another way than it should
    have; whoever reads it empties it. ``received`` counts the bytes that came from the web; those of the broker are
    counted where they arrive, since models may share a chunk.
    """

    def __init__(
        self, store: SlotStore, device: str, owner: str, budget: ByteBudget, in_flight: int = IN_FLIGHT
    ) -> None:
        self.received = 0
        self.notes: list[str] = []
        self._store = store
        self._device = device
        self._owner = owner
        self._budget = budget
        self._in_flight = in_flight
        self._desired = DesiredModel()
        self._asked: tuple[Chunk, int] | None = None  # the manifest, while that is what is fetched
        self._candidate: tuple[bytes, Manifest, list[BlobRef]] | None = None
        self._download: Download | None = None
        self._web: WebSource | None = None
        self._from_web: Lack | None = None
        self._placed: bytes | None = None  # the manifest for which this device had its place in the spread
        self._placed_at = 0
        self._starts_at = 0
        self._held = False
        self._now = 0
        self._broker_at = 0  # when the broker delivered last
        self._progress_at = 0  # when something came, or nothing could

    def desire(self, desired: DesiredModel, now_ms: int) -> str | None:
        """Another desired state: its ways to the blobs that are under way count from now on."""
        before, self._desired = self._desired, desired
        changed = desired.transfers != before.transfers or desired.manifest != before.manifest
        under_way = self._candidate is not None and not self.complete()
        if changed and under_way and self._candidate is not None and self._candidate[0] == desired.manifest:
            return self.start(*self._candidate, now_ms)
        if self._placed is not None and self._placed == desired.manifest and self._starts_at:
            self._take_place(self._placed)  # the spread may be another
        return None

    def ask(self, manifest: bytes, size: int, now_ms: int) -> None:
        """Fetch a manifest of ``size`` bytes, from this device's place in the spread on."""
        self.stop()
        self._asked = ((manifest.hex(), 0), min(size or MAX_ENVELOPE_BYTES, MAX_ENVELOPE_BYTES))
        self._begin(now_ms)
        if self._desired.manifest == manifest and self._placed != manifest:
            self._placed, self._placed_at = manifest, now_ms
            self._take_place(manifest)

    def start(self, digest: bytes, manifest: Manifest, refs: Iterable[BlobRef], now_ms: int) -> str | None:
        """Fetch the blobs of a manifest, as far as they are not here."""
        self.stop()
        self._begin(now_ms)
        named = self._desired.manifest == digest
        wanted = list(refs)
        try:
            transfers = self._desired.transfers if named else ()
            self._download = Download(self._store, wanted, transfers, self._in_flight)
        except (BadChunk, StorageError) as error:
            return str(error)
        self._candidate = (digest, manifest, wanted)
        if named:  # the others are of another candidate, or of a way that was given up
            self._store.drop_incoming({digest.hex()} | self._download.names())
        if manifest.sources:
            self._web = WebSource(manifest.sources, self._in_flight)
        self._collect_notes()
        return None

    def wanted(self) -> set[Chunk]:
        """The chunks to be subscribed to now: no more than the budget has room for."""
        if self._now < self._starts_at:
            return set()
        pieces = self._pieces()
        return {chunk for chunk, _ in pieces[: self._budget.admit(self._owner, [size for _, size in pieces])]}

    def lacks(self, chunk: Chunk) -> bool:
        """Whether a chunk is missing: also one that left the window while it was on its way."""
        if self._asked is not None:
            return chunk == self._asked[0]
        return self._download is not None and self._download.lacks(chunk)

    def offer(self, chunk: Chunk, data: bytes, now_ms: int) -> str | None:
        """Take what the broker brought for a chunk that it ``lacks``."""
        self._now = now_ms
        return self._take(chunk, data, from_broker=True)

    def tick(self, now_ms: int, online: bool) -> str | None:
        """Let time pass; the reason when no way brings anything any more."""
        self._now = now_ms
        if not self._pieces():
            return None
        problem = self._drain()
        if problem is not None or self.complete():
            return problem
        was_held, self._held = self._held, self.held_back() is not None
        if self._held or was_held:
            self._broker_at = self._progress_at = now_ms
            return None
        if self._web is not None and now_ms - self._broker_at > STALL_MS:
            return self._ask_web(self._web)
        if not online:
            self._progress_at = now_ms  # no chunk can come: that is no failure of the update
        if now_ms - self._progress_at <= STALL_MS:
            return None
        return self._detour(f"no chunk came within {STALL_MS // 1000} s")

    def held_back(self) -> str | None:
        """Why nothing is asked for though something is missing: the spread or the byte budget."""
        pieces = self._pieces()
        if not pieces or (self._web is not None and self._web.busy):
            return None
        if self._now < self._starts_at:
            return f"it starts at its place in the spread of {self._desired.spread_ms / 1000:g} s"
        return self._budget.words() if pieces[0][1] > self._budget.room(self._owner) else None

    def complete(self) -> bool:
        """Whether every blob of a started transfer is here."""
        return self._download is not None and self._download.complete()

    def blobs(self) -> dict[str, Path]:
        """Where the blobs lie, verified; raises ``StorageError`` where no transfer was started."""
        if self._download is None:
            raise StorageError("the blobs that were fetched are gone")
        return self._download.blobs()

    def stop(self) -> None:
        """Fetch nothing any more; what came and is not written yet is written, where that is possible."""
        if self._web is not None:
            self._web.close()
        if self._download is not None:
            with suppress(StorageError):  # then it will be fetched again
                self._download.flush()
        self._budget.admit(self._owner, [])
        self._budget.admit(self._web_owner, [])
        self._asked = self._candidate = self._download = self._web = self._from_web = None
        self._starts_at = 0

    def _begin(self, now_ms: int) -> None:
        self._now = self._broker_at = self._progress_at = now_ms

    def _pieces(self) -> list[tuple[Chunk, int]]:
        if self._asked is not None:
            return [self._asked]
        return self._download.next_pieces() if self._download is not None else []

    def _take_place(self, manifest: bytes) -> None:
        delay = start_delay_ms(self._device, manifest, self._desired.spread_ms)
        self._starts_at = self._placed_at + delay

    @property
    def _web_owner(self) -> str:
        """The name under which the budget promises to the web what it reads, beside the broker's chunks."""
        return f"{self._owner} (web)"

    def _take(self, chunk: Chunk, data: bytes, from_broker: bool) -> str | None:
        if self._download is None:
            return None
        try:
            if self._download.offer(chunk, data):
                self._progress_at = self._now
                self._broker_at = self._now if from_broker else self._broker_at
        except (BadChunk, StorageError) as error:
            return str(error)
        finally:
            self._collect_notes()
        return None

    def _drain(self) -> str | None:
        """Take what came from the web."""
        if self._web is None:
            return None
        for chunk, data in self._web.take():
            self.received += len(data)
            self._budget.charge(len(data))
            problem = self._take(chunk, data, from_broker=False)
            if problem is not None:
                return problem
        if not self._web.busy:
            self._budget.admit(self._web_owner, [])
        return None

    def _ask_web(self, web: WebSource) -> str | None:
        lack = self._download.lack() if self._download is not None else None
        if lack is None:
            return None
        if web.busy:
            # It had one stall time before it was asked, and has one more.
            if self._now - self._progress_at <= 2 * STALL_MS:
                return None
            web.close()
            self._web, self._from_web = web.renewed(), None
            return self._detour(f"no source sent anything within {STALL_MS // 1000} s")
        if lack == self._from_web:  # it was asked for, and nothing of it could be taken
            self._from_web = None
            return self._detour(f"no source has it: {web.problem or 'what came was altered'}")
        self._from_web = lack
        limit = min(self._budget.room(self._owner), lack.size)
        self._budget.admit(self._web_owner, [limit])
        web.start(lack, limit)
        return None

    def _detour(self, why: str) -> str | None:
        try:
            if self._download is None or not self._download.detour(why):
                return why
        except (BadChunk, StorageError) as error:
            return str(error)
        finally:
            self._collect_notes()
        self._progress_at = self._now
        return None

    def _collect_notes(self) -> None:
        if self._download is not None:
            self.notes += self._download.notes
            self._download.notes = []
