"""One model on a device: takes its updates, predicts, counts, and says what to send.

Holds no socket. The agent asks ``wanted`` which chunks to subscribe to, hands arrivals in, and empties
``outbox``. Time is handed in as milliseconds of uptime.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from device_agent.byte_budget import ByteBudget
from device_agent.config import AgentConfig
from device_agent.download import Chunk
from device_agent.events import Boot, Outbox
from device_agent.fetching import Fetching
from device_agent.fit import check_disk, check_fit
from device_agent.running_model import RUNTIME, RunningModel, open_model, open_tested, read_manifest
from device_agent.shadow import Shadow
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
    Shadowed,
    Transition,
    UpdateEvent,
    UpdateState,
    Waited,
    step,
)
from device_agent.update_store import UpdateStore
from edgeops.core.errors import DoesNotFit, EdgeOpsError, InputError, StorageError, TrustError, WireError
from edgeops.core.manifest import Manifest, open_manifest
from edgeops.core.messages import DesiredModel, ModelState
from edgeops.core.signing import MAX_ENVELOPE_BYTES, TrustRoot

SAVE_AGAIN_MS = 1_000
MAX_BAD_MANIFESTS = 3
NEVER = (TrustError, DoesNotFit, InputError, WireError)
"""What is wrong with bytes that are the ones that were named: they will never be others."""


class ModelHost:
    """The update driver of one model name; ``running`` is the model that predicts, or None."""

    def __init__(
        self, name: str, config: AgentConfig, boot: Boot, trust: TrustRoot, budget: ByteBudget
    ) -> None:
        self.name = name
        self.trust = trust
        self.store = SlotStore(config.data / "models" / name)
        self._memory = UpdateStore(config.data / "models" / name)
        self.outbox = Outbox(boot, name)
        self.running: RunningModel | None = None
        self.fetching = Fetching(self.store, config.device, name, budget, config.chunks_in_flight)
        self._config = config
        self._state = UpdateState()
        self._confirmed: RunningModel | None = None
        self._candidate: RunningModel | None = None
        self._shadow: Shadow | None = None
        self._trial_began = 0
        self._manifest: Manifest | None = None
        self._bad_manifests = 0
        self._retry_at: int | None = None
        self._now = 0
        # While the state cannot be written down (a full disk), what it asks for is put off.
        self._unsaved_since: int | None = None
        self._postponed: str | None = None

    @property
    def state(self) -> UpdateState:
        """The update state; on disk is what a restart needs to come to it again."""
        return self._state

    def start(self, now_ms: int) -> None:
        """Restore from disk: open the confirmed model, take an interrupted update up again."""
        self._now = now_ms
        self.store.sweep()
        self._state, problem = self._memory.load()
        if problem is not None:
            self._note_damage(None, problem)
            self._save()
        while self._confirmed is None and (digest := self._state.confirmed) is not None:
            try:
                self._confirmed = self._open(digest)
            except (StorageError, *NEVER) as error:
                self._note_damage(digest, error.message)
                self._apply(Damaged(digest))  # what ran before takes its place
        self.running = self._confirmed
        self._apply(Restarted())

    def close(self) -> None:
        """The agent stops on purpose."""
        self.fetching.stop()
        if self.in_trial or self.shadowing:
            self._apply(Closed())

    def desire(self, desired: DesiredModel, generation: int, now_ms: int) -> None:
        """A desired state came: take the manifest that it names, or stop taking one where it names none."""
        self._now = now_ms
        self._fetched(self.fetching.desire(desired, now_ms))
        self._apply(
            Offer(
                desired.manifest,
                desired.manifest_bytes,
                generation,
                desired.attempt,
                desired.shadow_inferences,
            )
        )

    def wanted(self) -> set[Chunk]:
        """The chunks that should be subscribed to now."""
        return self.fetching.wanted() if self._fetches else set()

    def lacks(self, chunk: Chunk) -> bool:
        """Whether this chunk is missing."""
        return self._fetches and self.fetching.lacks(chunk)

    def chunk(self, chunk: Chunk, data: bytes, now_ms: int) -> None:
        """Take a chunk that is missing, whether it is asked for still or was; what is not is ignored."""
        if not self.lacks(chunk):
            return
        self._now = now_ms
        problem = self.fetching.offer(chunk, data, now_ms)
        if self._state.lifecycle == "OFFERED":
            self._take_manifest(data)
        else:
            self._fetched(problem)

    def tick(self, now_ms: int, online: bool = True) -> None:
        """Let time pass: back-off that is over, downloads that stall, a disk that has room again."""
        self._now = now_ms
        if self._unsaved_since is not None:
            self._save_again()
        if self._retry_at is not None and now_ms >= self._retry_at:
            self._retry_at = None
            self._apply(RetryDue())
        if self._shadow is not None and self.shadowing:
            self._shadow.tick(now_ms)
        self._end_trial_by_time()
        if self._fetches:
            self._fetched(self.fetching.tick(now_ms, online))

    def inferred(self, ok: bool, now_ms: int) -> None:
        """Count an inference of the running model towards its trial."""
        self._now = now_ms
        if self.in_trial and self.running is not None:
            manifest = self.running.manifest
            elapsed = now_ms - self._trial_began
            self._apply(Inferred(ok, manifest.trial, manifest.security_counter, elapsed))

    def see(self, raw: object, label: str, active_us: int, clock: Callable[[], float]) -> None:
        """Show the candidate an input of which the active model said ``label``, while it shadows."""
        if self._shadow is not None and self._candidate is not None and self.shadowing:
            self._shadow.see(self._candidate, raw, label, active_us, clock)
            counts, trial = self._shadow.counts, self._candidate.manifest.trial
            self._apply(Shadowed(counts.inferences, counts.errors, trial.max_errors))

    def _held_back(self) -> str | None:
        return self.fetching.held_back() if self._fetches else None

    @property
    def _fetches(self) -> bool:
        """Whether a transfer goes on."""
        return self._state.lifecycle in ("OFFERED", "DOWNLOADING") and self._postponed is None

    def _fetched(self, problem: str | None) -> None:
        """Something came, or time passed: tell what went another way, and go on when all is here."""
        notes, self.fetching.notes = self.fetching.notes, []
        for note in notes:
            self._note("detour", self._state.candidate, note)
        if problem is not None:
            self._apply(Refused("failed", problem))
        elif self._state.lifecycle == "DOWNLOADING" and self.fetching.complete():
            self._apply(Progressed("complete"))

    @property
    def in_trial(self) -> bool:
        """Whether the running model has still to prove itself."""
        return self._candidate is not None and self.running is self._candidate

    @property
    def shadowing(self) -> bool:
        """Whether a candidate sees the inputs beside the active model."""
        return self._state.lifecycle == "SHADOWING" and self._candidate is not None

    def state_key(self) -> tuple[object, ...]:
        """What ``model_state`` is made of: cheap to compare at every poll."""
        s = self._state
        told = self._shadow.told if self._shadow is not None else 0
        return (
            *(s.lifecycle, s.generation, s.confirmed, s.previous, s.candidate, s.reason),
            *(s.security_counter, s.attempts, told, self._held_back()),
        )

    def model_state(self) -> ModelState:
        """This model's part of the device's retained state."""
        s, shadow = self._state, self._shadow
        artifact = self._confirmed and self._confirmed.manifest.artifact(RUNTIME, self._config.target)
        return ModelState(
            lifecycle=s.lifecycle,
            generation=s.generation,
            confirmed=s.confirmed,
            previous=s.previous,
            candidate=s.candidate,
            reason=s.reason or self._held_back(),
            security_counter=s.security_counter,
            attempts=s.attempts,
            retry_in_ms=max(0, (self._retry_at or 0) - self._now) if s.retry else 0,
            shadow=shadow.counts if shadow and shadow.digest == (s.candidate or s.confirmed) else None,
            artifact=artifact.blob.sha256 if artifact else None,
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
            self._memory.save(self._state)
        except StorageError as error:
            if self._unsaved_since is None:
                self._note_damage(self._state.candidate or self._state.confirmed, error.message)
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
                generation = self._state.generation
                self.outbox.put((source, event, target), generation, manifest, reason, self._now)
                if target == "CONFIRMED":
                    self._confirmed = self._candidate or self._confirmed
                    self.running, self._candidate = self._confirmed, None
                    self.fetching.stop()
                    self.store.drop_incoming()
            case Begin(lifecycle):
                self._begin(lifecycle)
            case DropCandidate():
                self._candidate, self._manifest = None, None
                self.fetching.stop()
                self.running = self._confirmed
            case RetryIn(milliseconds):
                self._retry_at = self._now + milliseconds

    def _begin(self, lifecycle: str) -> None:
        match lifecycle:
            case "OFFERED":
                self._bad_manifests, self._retry_at, self._shadow = 0, None, None
                if self._state.restoring and self._restore():
                    return
                local = self._state.candidate and self.store.manifest(self._state.candidate)
                if local:
                    self._take_manifest(local)
                elif self._state.candidate is not None:
                    self.fetching.ask(self._state.candidate, self._state.candidate_bytes, self._now)
            case "DOWNLOADING":
                self._start_download()
            case "VERIFYING":
                self._verify()
            case "STAGED":
                beside = self._state.shadow and self._confirmed is not None
                self._apply(Progressed("shadow" if beside else "activated"))
            case "SHADOWING":
                self._start_shadow()
            case "TRIAL":
                self._start_trial()

    def _take_manifest(self, envelope: bytes) -> None:
        digest = self._state.candidate or b""
        if len(envelope) > MAX_ENVELOPE_BYTES or hashlib.sha256(envelope).digest() != digest:
            # Anybody may write to an open broker: that says nothing about the manifest that was meant.
            self._bad_manifests += 1
            if self._bad_manifests >= MAX_BAD_MANIFESTS:
                self._apply(Refused("failed", f"manifest {digest.hex()[:12]} does not match its digest"))
            return
        try:
            manifest = open_manifest(envelope, digest, self.trust)
            artifact = check_fit(manifest, self.name, self._config, self._state.security_counter)
            refs = (artifact.blob, manifest.observe, manifest.vectors)
            if not self.store.holds(digest, [ref.hex for ref in refs]):
                check_disk(self.store.needed_bytes(refs), self.store.free_bytes())
            self.store.keep(digest.hex(), envelope)
        except EdgeOpsError as error:
            self._give_up(error)
            return
        self._manifest = manifest
        self._apply(Progressed("accepted"))

    def _give_up(self, error: EdgeOpsError) -> None:
        self._apply(Refused("rejected" if isinstance(error, NEVER) else "failed", error.message))

    def _restore(self) -> bool:
        """Open the one before again; False where its slot is damaged, and it has to be fetched like any other."""
        digest = self._state.candidate or b""
        try:
            manifest = read_manifest(self.store, digest)
            check_fit(manifest, self.name, self._config, self._state.security_counter)
            self._candidate = open_tested(self.store, digest, self._config.target, self._config.runtime)
        except StorageError as error:
            self._note_damage(digest, error.message)
            self._apply(Damaged(digest))
            return False
        except EdgeOpsError as error:
            self._give_up(error)
        else:
            self._apply(Progressed("restored"))
        return True

    def _start_download(self) -> None:
        manifest = self._manifest
        artifact = manifest.artifact(RUNTIME, self._config.target) if manifest else None
        if manifest is None or artifact is None:
            self._apply(Refused("failed", "the manifest is gone"))
            return
        refs = [artifact.blob, manifest.observe, manifest.vectors]
        self._fetched(self.fetching.start(self._state.candidate or b"", manifest, refs, self._now))

    def _verify(self) -> None:
        digest = self._state.candidate or b""
        try:
            envelope = self.store.manifest(digest)
            if envelope is None:
                raise StorageError("the downloaded manifest is gone")
            blobs = self.fetching.blobs()
            if not self.store.holds(digest, blobs):  # going back to the previous version writes nothing
                self.store.stage(envelope, blobs, self._state.confirmed)
            self._candidate = open_tested(self.store, digest, self._config.target, self._config.runtime)
        except EdgeOpsError as error:
            self._give_up(error)
        else:
            self._apply(Progressed("verified"))

    def _open(self, digest: bytes) -> RunningModel:
        return open_model(self.store, digest, self._config.target, self._config.runtime)

    def _reopened(self) -> RunningModel | None:
        """The candidate, opened again after a restart; one that cannot go on is unhealthy."""
        if self._candidate is None:
            try:
                self._candidate = self._open(self._state.candidate or b"")
            except EdgeOpsError as error:
                self._apply(Refused("unhealthy", error.message))
        return self._candidate

    def _start_shadow(self) -> None:
        candidate = self._reopened()
        if candidate is None:
            return
        if self._confirmed is None:  # its slot was damaged meanwhile: there is nothing to run beside
            self._apply(Progressed("activated"))
            return
        self._shadow = Shadow(candidate.digest, self._state.shadow, self._now)

    def _start_trial(self) -> None:
        candidate = self._reopened()
        if candidate is not None:
            self.running, self._trial_began = candidate, self._now

    def _end_trial_by_time(self) -> None:
        if self.in_trial and self.running is not None and self.running.manifest.trial.seconds:
            manifest, elapsed = self.running.manifest, self._now - self._trial_began
            self._apply(Waited(manifest.trial, manifest.security_counter, elapsed))

    def _note_damage(self, digest: bytes | None, message: str) -> None:
        self._note("damaged", digest, message)

    def _note(self, event: str, digest: bytes | None, words: str) -> None:
        """Say something that is no transition."""
        here = self._state.lifecycle
        self.outbox.put((here, event, here), self._state.generation, digest, words, self._now)
