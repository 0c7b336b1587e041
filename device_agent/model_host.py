"""One model on a device: takes its updates, predicts, counts, and says what to send.

Holds no socket. The agent asks ``wanted`` which chunks to subscribe to, hands arrivals in, and empties
``outbox``. Time is handed in as milliseconds of uptime.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass

from device_agent.config import AgentConfig
from device_agent.download import BadChunk, Chunk, Download
from device_agent.running_model import RUNTIME, RunningModel, open_model, self_test
from device_agent.slots import SlotStore
from device_agent.update import (
    Action,
    Begin,
    Closed,
    Damaged,
    DropCandidate,
    Inferred,
    Offer,
    Progressed,
    Refused,
    Restarted,
    RetryDue,
    RetryIn,
    Transition,
    UpdateEvent,
    UpdateState,
    step,
)
from edgeops.core.errors import DoesNotFit, EdgeOpsError, InputError, StorageError, TrustError, WireError
from edgeops.core.manifest import Manifest, open_manifest
from edgeops.core.messages import DesiredModel, Event, ModelState
from edgeops.core.signing import TrustRoot

STALL_MS = 60_000
SAVE_AGAIN_MS = 1_000
MAX_BAD_MANIFESTS = 3


@dataclass
class Boot:
    """What is the same for all models of one start of the agent."""

    number: int
    events: int = 0

    def next_event(self) -> int:
        """The number of the next event."""
        self.events += 1
        return self.events


class ModelHost:
    """The update driver of one model name; ``running`` is the model that predicts, or None."""

    def __init__(self, name: str, config: AgentConfig, boot: Boot, trust: TrustRoot) -> None:
        self.name = name
        self.trust = trust
        self.store = SlotStore(config.data / "models" / name)
        self.outbox: deque[Event] = deque()
        self.running: RunningModel | None = None
        self.received_bytes = 0
        self._config = config
        self._boot = boot
        self._state = UpdateState()
        self._confirmed: RunningModel | None = None
        self._candidate: RunningModel | None = None
        self._manifest: Manifest | None = None
        self._download: Download | None = None
        self._bad_manifests = 0
        self._retry_at: int | None = None
        self._last_progress = 0
        self._now = 0
        # While the state cannot be written down (a full disk), what it asks for is put off.
        self._unsaved_since: int | None = None
        self._postponed: str | None = None

    @property
    def state(self) -> UpdateState:
        """The update state as it stands on disk."""
        return self._state

    def start(self, now_ms: int) -> None:
        """Restore from disk: open the confirmed model, take an interrupted update up again."""
        self._now = now_ms
        self._state = self.store.load_state()
        while self._confirmed is None and (digest := self._state.confirmed) is not None:
            try:
                self._confirmed = open_model(self.store, digest, self._config.target, self._config.runtime)
            except StorageError as error:
                self._note_damage(digest, error)
                self._apply(Damaged(digest))  # what ran before takes its place
        self.running = self._confirmed
        self._apply(Restarted())

    def close(self) -> None:
        """The agent stops on purpose."""
        if self.in_trial:
            self._apply(Closed())

    def desire(self, desired: DesiredModel, generation: int, now_ms: int) -> None:
        """A desired state came: take the manifest that it names, if it names one."""
        self._now = now_ms
        if desired.manifest is not None:
            self._apply(Offer(desired.manifest, desired.manifest_bytes, generation))

    def wanted(self) -> set[Chunk]:
        """The chunks that should be subscribed to now."""
        if self._postponed is not None:
            return set()
        if self._state.lifecycle == "OFFERED" and self._state.candidate is not None:
            return {(self._state.candidate.hex(), 0)}
        if self._state.lifecycle == "DOWNLOADING" and self._download is not None:
            return self._download.wanted()
        return set()

    def chunk(self, chunk: Chunk, data: bytes, now_ms: int) -> None:
        """Take a chunk that was asked for; what was not is ignored."""
        if chunk not in self.wanted():
            return
        self._now = now_ms
        self.received_bytes += len(data)
        if self._state.lifecycle == "OFFERED":
            self._take_manifest(data)
        elif self._download is not None:
            try:
                if self._download.offer(chunk, data):
                    self._last_progress = now_ms
                if self._download.complete():
                    self._apply(Progressed("complete"))
            except (BadChunk, StorageError) as error:
                self._apply(Refused("failed", str(error)))

    def tick(self, now_ms: int, online: bool = True) -> None:
        """Let time pass: back-off that is over, downloads that stall, a disk that has room again."""
        self._now = now_ms
        if not online:
            self._last_progress = now_ms  # no chunk can come: that is no failure of the update
        if self._unsaved_since is not None:
            self._save_again()
        if self._retry_at is not None and now_ms >= self._retry_at:
            self._retry_at = None
            self._apply(RetryDue())
        waiting = self._state.lifecycle in ("OFFERED", "DOWNLOADING")
        if waiting and self._postponed is None and now_ms - self._last_progress > STALL_MS:
            self._apply(Refused("failed", f"no chunk came within {STALL_MS // 1000} s"))

    def inferred(self, ok: bool) -> None:
        """Count an inference of the running model towards its trial."""
        if self.in_trial and self.running is not None:
            manifest = self.running.manifest
            self._apply(
                Inferred(ok, manifest.trial.inferences, manifest.trial.max_errors, manifest.security_counter)
            )

    @property
    def in_trial(self) -> bool:
        """Whether the running model has still to prove itself."""
        return self._candidate is not None and self.running is self._candidate

    def state_key(self) -> tuple[object, ...]:
        """What ``model_state`` is made of: cheap to compare at every poll."""
        s = self._state
        return (s.lifecycle, s.generation, s.confirmed, s.previous, s.candidate, s.reason, s.security_counter)

    def model_state(self) -> ModelState:
        """This model's part of the device's retained state."""
        s = self._state
        return ModelState(
            s.lifecycle, s.generation, s.confirmed, s.previous, s.candidate, s.reason, s.security_counter
        )

    def _apply(self, event: UpdateEvent) -> None:
        """Step the machine, write the state down, then carry the actions out."""
        before = self._state
        self._state, actions = step(self._state, event)
        # A trial's running count is not worth a write per inference: it starts again after a power cut.
        if self._state != before and not (isinstance(event, Inferred) and not actions):
            self._save()
        if self._state.lifecycle != before.lifecycle:
            self._postponed = None
        for action in actions:
            if isinstance(action, Begin) and self._unsaved_since is not None:
                self._postponed = action.lifecycle
            else:
                self._carry_out(action)

    def _save(self) -> None:
        """Write the state down; the confirmed model runs on when that is not possible."""
        try:
            self.store.save_state(self._state)
        except StorageError as error:
            if self._unsaved_since is None:
                self._note_damage(self._state.candidate or self._state.confirmed, error)
            self._unsaved_since = self._now
        else:
            self._unsaved_since = None

    def _save_again(self) -> None:
        if self._now - (self._unsaved_since or 0) >= SAVE_AGAIN_MS:
            self._save()
        if self._unsaved_since is None and self._postponed is not None:
            lifecycle, self._postponed = self._postponed, None
            self._begin(lifecycle)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Transition(source, event, target, manifest, reason):
                self.outbox.append(
                    Event(
                        self._boot.number,
                        self._boot.next_event(),
                        self.name,
                        self._state.generation,
                        source,
                        target,
                        event,
                        manifest,
                        reason,
                        self._now,
                    )
                )
                if target == "CONFIRMED":
                    self._confirmed, self._candidate = self.running, None
                    self.store.drop_incoming()
            case Begin(lifecycle):
                self._begin(lifecycle)
            case DropCandidate():
                self._candidate, self._manifest, self._download = None, None, None
                self.running = self._confirmed
            case RetryIn(milliseconds):
                self._retry_at = self._now + milliseconds

    def _begin(self, lifecycle: str) -> None:
        self._last_progress = self._now
        match lifecycle:
            case "OFFERED":
                self._bad_manifests, self._retry_at = 0, None
                local = self._state.candidate and self.store.manifest(self._state.candidate)
                if local:
                    self._take_manifest(local)
            case "DOWNLOADING":
                self._start_download()
            case "VERIFYING":
                self._verify()
            case "STAGED":
                self._apply(Progressed("activated"))
            case "TRIAL":
                self._start_trial()

    def _take_manifest(self, envelope: bytes) -> None:
        digest = self._state.candidate or b""
        if hashlib.sha256(envelope).digest() != digest:
            # Anybody may write to an open broker: that says nothing about the manifest that was meant.
            self._bad_manifests += 1
            if self._bad_manifests >= MAX_BAD_MANIFESTS:
                self._apply(Refused("failed", f"manifest {digest.hex()[:12]} does not match its digest"))
            return
        try:
            manifest = open_manifest(envelope, digest, self.trust)
            self._check_fit(manifest)
            self.store.store_chunk(digest.hex(), 0, envelope)
        except (TrustError, DoesNotFit) as error:
            self._apply(Refused("rejected", error.message))
            return
        except StorageError as error:
            self._apply(Refused("failed", error.message))
            return
        self._manifest = manifest
        self._apply(Progressed("accepted"))

    def _check_fit(self, manifest: Manifest) -> None:
        if manifest.model != self.name:
            raise DoesNotFit(f"the manifest is of model {manifest.model!r}, not {self.name!r}", limit="model")
        if manifest.security_counter < self._state.security_counter:
            raise DoesNotFit(
                f"security counter {manifest.security_counter} is below {self._state.security_counter}",
                limit="security counter",
                needed=self._state.security_counter,
                available=manifest.security_counter,
            )
        if manifest.min_agent > AGENT_VERSION:
            raise DoesNotFit(
                f"agent version {_dotted(manifest.min_agent)} is needed, this is {_dotted(AGENT_VERSION)}",
                limit="agent version",
            )
        artifact = manifest.artifact(RUNTIME, self._config.target)
        if artifact is None:
            raise DoesNotFit(f"no {RUNTIME} artifact for target {self._config.target!r}", limit="target")
        # Chunks, the blob in memory and the slot's copy: twice the size on disk at the worst moment.
        needed = 2 * sum(ref.size for ref in (artifact.blob, manifest.observe, manifest.vectors))
        free = self.store.free_bytes()
        if needed > free:
            raise DoesNotFit(f"{needed} bytes of disk are needed, {free} are free", limit="disk")

    def _start_download(self) -> None:
        manifest = self._manifest
        artifact = manifest.artifact(RUNTIME, self._config.target) if manifest else None
        if manifest is None or artifact is None:
            self._apply(Refused("failed", "the manifest is gone"))
            return
        try:
            self._download = Download(self.store, [artifact.blob, manifest.observe, manifest.vectors])
        except BadChunk as error:
            self._apply(Refused("failed", str(error)))
            return
        if self._download.complete():
            self._apply(Progressed("complete"))

    def _verify(self) -> None:
        digest = self._state.candidate or b""
        try:
            envelope = self.store.manifest(digest)
            if envelope is None or self._download is None:
                raise StorageError("the downloaded manifest is gone")
            blobs = self._download.blobs()
            if not self.store.holds(digest, blobs):  # going back to the previous version writes nothing
                self.store.stage(envelope, blobs, self._state.confirmed)
            candidate = open_model(self.store, digest, self._config.target, self._config.runtime)
            problem = self_test(candidate, self.store)
        except (DoesNotFit, InputError, WireError) as error:
            # Its bytes are the ones that were named: they will never be others.
            self._apply(Refused("rejected", error.message))
            return
        except EdgeOpsError as error:
            self._apply(Refused("failed", error.message))
            return
        if problem is not None:
            self._apply(Refused("rejected", problem))
            return
        self._candidate = candidate
        self._apply(Progressed("verified"))

    def _start_trial(self) -> None:
        digest = self._state.candidate or b""
        if self._candidate is None:
            try:
                self._candidate = open_model(self.store, digest, self._config.target, self._config.runtime)
            except EdgeOpsError as error:
                # A trial that was interrupted and cannot go on is an unhealthy one.
                self._apply(Inferred(False, 1, 0, 0))
                self._note_damage(digest, error)
                return
        self.running = self._candidate

    def _note_damage(self, digest: bytes | None, error: EdgeOpsError) -> None:
        self.outbox.append(
            Event(
                self._boot.number,
                self._boot.next_event(),
                self.name,
                self._state.generation,
                self._state.lifecycle,
                self._state.lifecycle,
                "damaged",
                digest,
                error.message.encode()[:160].decode(errors="ignore"),
                self._now,
            )
        )


AGENT_VERSION = (0, 1, 0)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
