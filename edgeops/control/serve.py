"""The control plane in one process: ingest, rollouts, drift watch, retrain worker.

``ControlPlane.step`` is one turn of the loop; it holds no state that the registry does not hold too, so that a
process that is killed anywhere goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from sqlmodel import Session, col, select

from edgeops.control.drift_answer import SILENCE_S, DriftAnswer
from edgeops.control.drift_watch import DriftWatch
from edgeops.control.plans import PlanShelf
from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.workspace import Workspace
from edgeops.core import topics
from edgeops.core.errors import (
    EdgeOpsError,
    NotFoundError,
    StorageError,
    TrustError,
    UnreachableError,
    UsageError,
)
from edgeops.core.lifecycle import RETRAIN, ROLLOUT
from edgeops.core.messages import ReportPolicy
from edgeops.core.signing import Role
from edgeops.core.topics import Kind
from edgeops.core.transport import ConnectionChanged, Received, Transport
from edgeops.drift.detect import Limits
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.ingest import Taken, take_batch
from edgeops.fleet.publisher import Publisher
from edgeops.fleet.rollouts import advance, start_rollout, unfinished
from edgeops.registry.tables import Alert, DesiredState, ModelVersion, Retrain, Rollout

LISTENED = (Kind.PRESENCE, Kind.STATE, Kind.EVENT, Kind.REPORT, Kind.LABEL, Kind.SAMPLE)
BATCH = 100  # the write lock is held for so many messages at most: others want it too
MAX_KEPT = 10_000  # messages that wait for a registry that cannot be written
RETRAIN_ATTEMPTS = 3
DECIDE_EVERY_S = 0.25


class ControlPlane:
    """One workspace on one transport. ``tell`` gets a line for everything worth one."""

    def __init__(
        self,
        workspace: Workspace,
        transport: Transport,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings = workspace.settings
        report = settings.report
        self._workspace = workspace
        self._transport = transport
        self._tell = tell
        self._clock = clock
        self._writer = DesiredWriter(
            settings.fleet,
            workspace.key(Role.DEPLOY),
            ReportPolicy(report.window_inferences, report.interval_ms, report.observe_permille),
        )
        self._publisher = Publisher(settings.fleet, transport, workspace.blobs)
        drift = settings.drift
        self._watch = DriftWatch(
            PlanShelf(workspace.blobs), Limits(drift.alpha, drift.distance, drift.min_inputs)
        )
        silence_s = max(SILENCE_S, 3 * report.interval_ms / 1000)
        self._answer = DriftAnswer(self._writer, settings.retrain, settings.capture, silence_s)
        self._worker: subprocess.Popen[bytes] | None = None
        self._worker_for: int | None = None  # the retrain that the worker was started for
        self._attempts: dict[int, int] = {}  # per retrain, how often its worker ended without an outcome
        self._troubles: dict[str, str] = {}
        self._stale = True
        self._decided_at = 0.0
        self._kept: list[Received] = []

    def start(self, timeout: float = 10.0) -> None:
        """Connect and listen; raises ``BrokerUnreachable``."""
        self._transport.connect(timeout)
        for kind in LISTENED:
            self._transport.subscribe(topics.every_device(self._workspace.settings.fleet, kind))
        self._republish()

    def step(self, timeout: float) -> None:
        """One turn: take what came within ``timeout`` seconds, commit it, decide, publish."""
        batch = self._kept + self._drain(timeout)
        now = self._clock()
        if batch:
            self._take(batch, now)
        if now - self._decided_at >= DECIDE_EVERY_S:
            self._decided_at = now
            try:
                self._decide(now)
                self._trouble("decide")
            except (StorageError, UnreachableError) as error:
                self._trouble("decide", f"{error.message}; nothing is decided until it can be")

    def close(self) -> None:
        """Stop the worker, say goodbye."""
        if self._worker is not None and self._worker.poll() is None:
            self._worker.terminate()
            try:
                self._worker.wait(10)
            except subprocess.TimeoutExpired:
                self._worker.kill()  # its retrain is taken up again by the next serve
                self._worker.wait()
        self._transport.close()

    def _trouble(self, where: str, line: str | None = None) -> None:
        """Tell once what would be told again at every turn for as long as it lasts; None when it is over."""
        if line is not None and self._troubles.get(where) != line:
            self._tell(line)
        self._troubles[where] = line or ""

    def _drain(self, timeout: float) -> list[Received]:
        batch: list[Received] = []
        while len(batch) < BATCH and (incoming := self._transport.receive(timeout)) is not None:
            timeout = 0.0
            if isinstance(incoming, Received):
                batch.append(incoming)
            elif isinstance(incoming, ConnectionChanged):
                self._tell("broker: connected" if incoming.online else f"broker: away ({incoming.reason})")
                if incoming.online:
                    self._republish()
        return batch

    def _take(self, batch: list[Received], now: float) -> None:
        """Commit a batch, then receipt it. While the registry cannot be written it waits, unreceipted."""
        fleet = self._workspace.settings.fleet
        taken = Taken()
        try:
            with self._workspace.registry.session() as session:
                taken = take_batch(session, fleet, batch, now)
                for device_id, report in taken.windows:
                    alert = self._watch.seen(session, device_id, report, now)
                    if alert is not None:
                        self._tell(f"alert {alert.id}: {device_id} drifted in window {report.sequence}")
        except (StorageError, UnreachableError) as error:
            self._trouble("take", f"{error.message}; messages wait")
            # Reports come again until they are receipted; nobody sends the others twice.
            later = [
                message for message in batch[BATCH:] if not message.topic.endswith(f"/{Kind.REPORT.value}")
            ]
            self._kept = (batch[:BATCH] + later)[:MAX_KEPT]
            self._watch.forget()  # it has seen windows that were not committed, and will see them again
            return
        self._kept = []
        self._trouble("take")
        try:
            for device_id, receipt in taken.receipt_messages():
                self._publisher.receipt(device_id, receipt)
        except UnreachableError as error:
            # The devices send these reports again, and get their receipts then.
            self._trouble("take", error.message)

    def _decide(self, now: float) -> None:
        with self._workspace.registry.session() as session:
            for rollout in unfinished(session):
                if rollout.state == "RUNNING":
                    self._advance(session, rollout, now)
            for line in self._answer.tick(session, now):
                self._tell(line)
            self._after_retrains(session, now)
            self._writer.refresh(session)
        self._publish()
        self._retrain()

    def _publish(self) -> None:
        """Only what is committed is published: a generation that a device has seen must never be used again."""
        if self._stale:
            self._publisher.forget()
            self._publisher.trust(self._workspace.trust[1])
        with self._workspace.registry.session() as session:
            if self._stale:
                for row in session.exec(select(DesiredState)).all():
                    row.published = False
            try:
                self._publisher.desired(session)
                self._trouble("publish")
            except (
                NotFoundError,
                TrustError,
            ) as error:  # a blob is missing or was altered: the others are out
                self._trouble("publish", f"not everything can be published: {error.message}")
        self._stale = False

    def _advance(self, session: Session, rollout: Rollout, now: float) -> None:
        """One step of a rollout; one that cannot take it is held, and the others go on."""
        try:
            with session.begin_nested():
                moves = advance(session, rollout, lambda d, v: self._offer(session, d, v), now)
        except (StorageError, UnreachableError):
            raise
        except EdgeOpsError as error:
            rollout.state = ROLLOUT.next(rollout.state, "too_many_failures")
            rollout.reason = error.message
            self._tell(f"rollout {rollout.id}: held: {error.message}")
            return
        for move in moves:
            why = f": {move.reason}" if move.reason else ""
            self._tell(f"rollout {rollout.id}: {move.event}, stage {move.stage + 1}{why}")

    def _offer(self, session: Session, device_id: str, version: ModelVersion) -> int:
        digest = version.manifest_sha256 or ""
        size = len(self._workspace.blobs.get(digest))
        return self._writer.change(session, device_id, version.model, manifest=digest, manifest_bytes=size)

    def _retrain(self) -> None:
        """At most one retrain at a time, as a process of its own: TensorFlow never loads into this one."""
        if self._worker is not None:
            if self._worker.poll() is None:
                return
            self._tell(f"retrain worker ended with status {self._worker.returncode}")
            self._worker = None
            self._never_started()
        self._take_up_abandoned()
        with self._workspace.registry.reading() as session:
            waiting = select(Retrain).where(Retrain.state == "READY").order_by(col(Retrain.id))
            ready = session.exec(waiting).first()
        if ready is not None:
            self._worker_for = ready.id
            root = str(self._workspace.root)
            arguments = ["retrain", "run", str(ready.alert_id), "--workspace", root, "--json"]
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "edgeops", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            self._tell(f"retrain {ready.id}: started, {ready.samples} labelled samples")

    def _never_started(self) -> None:
        """A worker that ended before it began (no settings, no room) is not started for ever, turn by turn."""
        with self._workspace.registry.session() as session:
            row = session.get(Retrain, self._worker_for)
            if row is not None and row.state == "READY" and not self._may_try_again(row):
                row.state = RETRAIN.next(RETRAIN.next(row.state, "started"), "failed")
                row.reason = "its worker ended before it began"
                self._tell(f"retrain {row.id}: failed: {row.reason}")

    def _may_try_again(self, retrain: Retrain) -> bool:
        number = retrain.id or 0
        self._attempts[number] = self._attempts.get(number, 0) + 1
        return self._attempts[number] < RETRAIN_ATTEMPTS

    def _take_up_abandoned(self) -> None:
        """A retrain whose worker died without an outcome is tried again, a few times."""
        with self._workspace.registry.reading() as session:
            training = session.exec(select(Retrain).where(Retrain.state == "TRAINING")).all()
        if not training:
            return
        try:
            with retrain_lock(self._workspace), self._workspace.registry.session() as session:
                for row in session.exec(select(Retrain).where(Retrain.state == "TRAINING")).all():
                    event = "interrupted" if self._may_try_again(row) else "failed"
                    row.state = RETRAIN.next(row.state, event)
                    self._tell(f"retrain {row.id}: {event}: its worker ended without an outcome")
        except UsageError:
            return  # somebody holds the lock: it is being trained right now, by hand or by an earlier worker

    def _after_retrains(self, session: Session, now: float) -> None:
        """A better version is rolled out; an answered alert is closed when the rollout is complete."""
        for retrain in session.exec(select(Retrain).where(Retrain.state == "REGISTERED")).all():
            version = session.get_one(ModelVersion, retrain.model_version_id)
            settings = self._workspace.settings
            alert = session.get_one(Alert, retrain.alert_id)
            if settings.retrain.automatic:
                stages = settings.rollout.stages
                rollout = start_rollout(session, version, {}, stages, settings.rollout.max_failed_share, now)
                retrain.state = RETRAIN.next(retrain.state, "rollout_started")
                alert.state = "answered"
                self._answer.stop_capture(session, alert)
                self._tell(
                    f"rollout {rollout.id}: {version.model}@{version.version} started by retrain {retrain.id}"
                )
        for alert in session.exec(select(Alert).where(Alert.state == "answered")).all():
            if self._answered(session, alert):
                alert.state, alert.closed_at = "closed", now

    @staticmethod
    def _answered(session: Session, alert: Alert) -> bool:
        query = (
            select(Rollout)
            .join(Retrain, Retrain.model_version_id == Rollout.model_version_id)  # type: ignore[arg-type]
            .where(Retrain.alert_id == alert.id, Rollout.state == "COMPLETED")
        )
        return session.exec(query).first() is not None

    def _republish(self) -> None:
        """A broker that restarted may have lost what was retained."""
        self._stale = True


def serve(plane: ControlPlane, stop: Callable[[], bool]) -> None:
    """Run until ``stop`` says so."""
    while not stop():
        plane.step(0.1)
