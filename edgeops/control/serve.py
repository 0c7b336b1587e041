"""The control plane in one process: ingest, rollouts, drift watch, retrain worker.

``ControlPlane.step`` is one turn of the loop; it holds no state that the registry does not hold too, so that a
process that is killed anywhere goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import replace

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from edgeops.control.drift_answer import SILENCE_S, DriftAnswer, shift_answers
from edgeops.control.drift_watch import DriftWatch
from edgeops.control.error_watch import ErrorWatch
from edgeops.control.plans import PlanShelf
from edgeops.control.retrain_outcomes import after_retrains
from edgeops.control.retrain_worker import RetrainWorker
from edgeops.control.rollout_orders import BROKER, desired_writer, outside_of
from edgeops.control.unwritten import worth_keeping
from edgeops.control.workspace import Workspace
from edgeops.core import topics
from edgeops.core.errors import (
    EdgeOpsError,
    StorageError,
    UnreachableError,
)
from edgeops.core.lifecycle import ROLLOUT
from edgeops.core.topics import Kind
from edgeops.core.transport import ConnectionChanged, Received, Transport
from edgeops.fleet import audit
from edgeops.fleet.absence import NOTE_EVERY_S, TOLD_S, move_noted, note_listening, sit_out
from edgeops.fleet.active_rollouts import active
from edgeops.fleet.clock_jumps import JumpWatch, shift_times
from edgeops.fleet.ingest import Taken, take_batch
from edgeops.fleet.labels import forget_held
from edgeops.fleet.manifests import Manifests
from edgeops.fleet.publisher import Publisher
from edgeops.fleet.rollouts import advance, subject
from edgeops.fleet.standing import Standing
from edgeops.registry.counts import state_fact
from edgeops.registry.retention import MOST, delete_old
from edgeops.registry.tables import ModelVersion, Rollout

LISTENED = (Kind.PRESENCE, Kind.STATE, Kind.EVENT, Kind.REPORT, Kind.LABEL, Kind.SAMPLE)
BATCH = 100  # the write lock is held for so many messages at most: others want it too
MAX_KEPT = 10_000  # messages that wait for a registry that cannot be written
TAKE_AT_MOST_S = 5.0  # then something is decided, however much is still coming
DECIDE_EVERY_S = 0.25
REST_AT_MOST_S = 30.0
REST = 5  # after a decision so many times its duration, so that most of the time is left for what devices say
SWEEP_EVERY_S = 60.0


class ControlPlane:
    """One workspace on one transport. ``tell`` gets a line for everything worth one.

    ``packet_bytes``: the longest packet that the broker takes, None where it does not say. ``steady``: seconds of a
    clock that nobody sets, by which it is noticed that ``clock`` was; None takes ``clock`` at its word.
    """

    def __init__(
        self,
        workspace: Workspace,
        transport: Transport,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        packet_bytes: int | None = None,
        steady: Callable[[], float] | None = None,
    ) -> None:
        settings = workspace.settings
        report = settings.report
        self._workspace = workspace
        self._transport = transport
        self._tell = tell
        self._clock = clock
        self._steady = steady or clock
        self._jumps = JumpWatch(clock, self._steady)
        self._jumped: float | None = 0.0  # by which times in the registry have to be moved; None: no more
        self._listening_since: float | None = None  # None: the broker is away
        self._packet_bytes = packet_bytes
        self._writer = desired_writer(workspace, packet_bytes, clock)
        self._shelf = PlanShelf(workspace.blobs)
        self._manifests = Manifests(workspace.blobs)
        self._publisher = Publisher(
            settings.fleet, transport, workspace.blobs, packet_bytes, settings.rollout.chunk_grace_s
        )
        self._watch = DriftWatch(workspace.blobs, settings.drift.terms())
        self._errors = ErrorWatch(workspace.blobs, settings.drift.run_length)
        silence_s = max(SILENCE_S, 3 * report.interval_ms / 1000)
        self._answer = DriftAnswer(self._writer, settings.retrain, settings.capture, silence_s, self._shelf)
        self._retrains = RetrainWorker(workspace, tell, self._steady)
        self._troubles: dict[str, str] = {}
        self._marks: dict[int, Hashable] = {}  # per rollout, what its last step depended on
        self._new_connection = True
        self._swept_at = 0.0
        self._decided_at, self._rest = 0.0, 0.0  # by the steady clock
        self._noted_at: float | None = None  # that it is listened; None: not since it came back
        self._kept: list[Received] = []
        self._missed = self._more_is_old = (
            False  # what came was not all taken; what is old was not all deleted
        )

    def start(self, timeout: float = 10.0) -> None:
        """Connect and listen; raises ``BrokerUnreachable``."""
        with self._workspace.registry.session() as session:
            state_fact(session, BROKER, {"packet_bytes": self._packet_bytes})
        self._transport.connect(timeout)
        self._subscribe()

    def step(self, timeout: float) -> None:
        """One turn: take what came within ``timeout`` seconds, commit it, decide, publish."""
        self._look_at_clock(self._clock())  # before anything is noted with the time that it says
        self._take_what_came(timeout)
        began = self._steady()
        if abs(began - self._decided_at) < self._rest:
            return
        self._rest = DECIDE_EVERY_S
        try:
            self._decide(self._clock())
            self._trouble("decide")
            self._rest = min(max(DECIDE_EVERY_S, REST * (self._steady() - began)), REST_AT_MOST_S)
        except (StorageError, UnreachableError) as error:
            self._marks.clear()  # what was done is undone
            self._watch.forget()
            self._noted_at = None
            self._trouble("decide", f"{error.message}; nothing is decided until it can be")
        self._decided_at = self._steady()

    def close(self) -> None:
        """Stop the worker, say goodbye."""
        self._retrains.close()
        self._transport.close()

    def _trouble(self, where: str, line: str | None = None) -> None:
        """Tell once what would be told again at every turn for as long as it lasts; None when it is over."""
        if line is not None and self._troubles.get(where) != line:
            self._tell(line)
        self._troubles[where] = line or ""

    def _look_at_clock(self, now: float) -> None:
        jumped = self._jumps.jump()
        if jumped:
            self._tell(
                f"the clock was set by {jumped:+.0f} s: what rollouts and retrains wait for is moved with it"
            )
            self._jumped = (self._jumped or 0.0) + jumped
            if self._listening_since is not None:
                self._listening_since = min(self._listening_since + jumped, now)
            self._rest = self._swept_at = 0.0
            self._noted_at = self._noted_at and 0.0
        if self._jumped is None:
            return
        try:
            with self._workspace.registry.session() as session:
                shift_times(session, self._jumped, now)
                move_noted(session, self._jumped, now)
                shift_answers(session, self._jumped, now)
            self._jumped = None
        except (StorageError, UnreachableError) as error:
            self._trouble("clock", error.message)

    def _drain(self, timeout: float) -> list[Received]:
        batch: list[Received] = []
        while len(batch) < BATCH and (incoming := self._transport.receive(timeout)) is not None:
            timeout = 0.0
            if self._publisher.take(incoming):
                continue
            if isinstance(incoming, Received):
                batch.append(incoming)
            elif isinstance(incoming, ConnectionChanged):
                self._tell("broker: connected" if incoming.online else f"broker: away ({incoming.reason})")
                self._new_connection |= incoming.online
                self._listening_since = self._clock() if incoming.online else None
                self._noted_at = None
        return batch

    def _subscribe(self) -> None:
        for kind in LISTENED:
            self._transport.subscribe(topics.every_device(self._workspace.settings.fleet, kind))

    def _take_what_came(self, timeout: float) -> None:
        """Commit batch by batch what came, until nothing waits: who decides on a part finds devices silent."""
        began = self._steady()
        self._kept += self._drain(timeout)
        while self._kept and self._take(self._kept[:BATCH], self._clock()):
            del self._kept[:BATCH]
            if self._steady() - began >= TAKE_AT_MOST_S:
                return
            if len(self._kept) < BATCH:
                self._kept += self._drain(0.0)
        if self._kept:
            self._kept = worth_keeping(self._kept, BATCH, MAX_KEPT)
            self._missed = True

    def _take(self, batch: list[Received], now: float) -> bool:
        """Commit a batch, then receipt it. While the registry cannot be written it waits, unreceipted: False."""
        settings = self._workspace.settings
        fleet, taken = settings.fleet, Taken()
        try:
            with self._workspace.registry.session() as session:
                taken = take_batch(session, fleet, batch, now, settings.registry.labels_days, self._manifests)
        except (StorageError, UnreachableError) as error:
            self._trouble("take", f"{error.message}; messages wait")
            return False
        self._trouble("take")
        if self._missed:
            # Devices spoke meanwhile: nobody is silent for that, and what they retained is heard again.
            self._missed = False
            if self._listening_since is not None:
                self._listening_since = now
            self._subscribe()
        try:
            for device_id, receipt in taken.receipt_messages():
                self._publisher.receipt(device_id, receipt)
        except UnreachableError as error:
            # The devices send these reports again, and get their receipts then.
            self._trouble("take", error.message)
        return True

    def _decide(self, now: float) -> None:
        with self._workspace.registry.session() as session:
            if self._listening_since is not None:
                self._note_listening(session, now)
                standing = Standing(session)
                for rollout in active(session):
                    self._advance(session, rollout, standing, now)
            for line in self._watch.tick(session, now):
                self._tell(line)
            for line in self._errors.tick(session, now):
                self._tell(line)
            for line in self._answer.tick(session, now):
                self._tell(line)
            for line in after_retrains(session, self._workspace, self._writer, now):
                self._tell(line)
            for line in self._writer.refresh(session, self._workspace.blobs):
                self._tell(line)
        self._publish(now)
        self._retrains.turn(now)

    def _note_listening(self, session: Session, now: float) -> None:
        if self._noted_at is None:
            away = sit_out(session, now)
            if away >= TOLD_S:
                self._tell(f"nobody listened for {away:.0f} s: that counts for no soak")
        if self._noted_at is None or abs(now - self._noted_at) >= NOTE_EVERY_S:
            note_listening(session, now)
            self._noted_at = now

    def _publish(self, now: float) -> None:
        """Only what is committed is published: a generation that a device has seen must never be used again."""
        if self._new_connection:
            self._publisher.trust(self._workspace.trust[1])
            self._new_connection = False
        with self._workspace.registry.session() as session:
            self._publisher.desired(session, now)
            trouble = self._publisher.trouble  # a blob is missing, altered or too long: the others are out
            self._trouble("publish", trouble and f"not everything can be published: {trouble}")
            due = abs(now - self._swept_at) >= SWEEP_EVERY_S
            if due:
                self._swept_at = now
                self._publisher.sweep(session, now)
            if due or self._more_is_old:
                days = self._workspace.settings.registry.keep_days
                self._more_is_old = delete_old(session, days, now) >= MOST
                forget_held(session, now, self._workspace.settings.registry.labels_days)

    def _advance(self, session: Session, rollout: Rollout, standing: Standing, now: float) -> None:
        """One step of a rollout; one that cannot take it is held, and the others go on."""
        number = rollout.id or 0
        mark = standing.mark(rollout, session.get_one(ModelVersion, rollout.model_version_id).model)
        if mark is not None and mark == self._marks.get(number):
            return  # nothing has changed since the last step, which would do nothing again
        self._marks.pop(number, None)
        since = self._listening_since or 0.0
        outside = replace(
            outside_of(self._workspace, session, self._shelf, self._writer), listening_since=since
        )
        try:
            with session.begin_nested():
                moves = advance(session, rollout, outside, now, standing)
        except (StorageError, UnreachableError, OperationalError):
            raise
        except EdgeOpsError as error:
            self._hold(session, rollout, error.message, now)
            return
        except Exception as error:  # noqa: BLE001 - told and audited; one rollout must not end the control plane
            self._hold(session, rollout, f"{type(error).__name__}: {error}", now)
            return
        if mark is not None:
            self._marks[number] = mark
        self._trouble(subject(rollout))
        for move in moves:
            why = f": {move.reason}" if move.reason else ""
            self._tell(f"rollout {rollout.id}: {move.event}, stage {move.stage + 1}{why}")

    def _hold(self, session: Session, rollout: Rollout, why: str, now: float) -> None:
        self._trouble(subject(rollout), f"rollout {rollout.id}: {why}")
        if ROLLOUT.allows(rollout.state, "hold"):
            source, rollout.state = rollout.state, ROLLOUT.next(rollout.state, "hold")
            rollout.reason = why
            detail = {"from": source, "to": rollout.state, "stage": rollout.stage + 1}
            audit.record(session, now, audit.ENGINE, "hold", subject(rollout), why, detail)


def serve(plane: ControlPlane, stop: Callable[[], bool]) -> None:
    """Run until ``stop`` says so."""
    while not stop():
        plane.step(0.1)
