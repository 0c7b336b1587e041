"""The control plane in one process: ingest, rollouts, drift watch, retrain worker.

``ControlPlane.step`` is one turn of the loop; it holds no state that the registry does not hold too, so that a
process that is killed anywhere goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from sqlmodel import Session, select

from edgeops.control.drift_answer import DriftAnswer
from edgeops.control.drift_watch import DriftWatch
from edgeops.control.plans import PlanShelf
from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.workspace import Workspace
from edgeops.core import topics
from edgeops.core.errors import StorageError, UsageError
from edgeops.core.lifecycle import RETRAIN
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
        self._answer = DriftAnswer(self._writer, settings.retrain, settings.capture)
        self._worker: subprocess.Popen[bytes] | None = None
        self._attempts = 0
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
            except StorageError as error:
                self._tell(f"{error.message}; nothing is decided until it can be")

    def close(self) -> None:
        """Stop the worker, say goodbye."""
        if self._worker is not None and self._worker.poll() is None:
            self._worker.terminate()
            self._worker.wait(10)
        self._transport.close()

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
        """Commit a batch, then receipt it. A full disk keeps the batch for the next turn, unreceipted."""
        fleet = self._workspace.settings.fleet
        taken = Taken()
        try:
            with self._workspace.registry.session() as session:
                taken = take_batch(session, fleet, batch, now)
                for device_id, report in taken.windows:
                    alert = self._watch.seen(session, device_id, report, now)
                    if alert is not None:
                        self._tell(f"alert {alert.id}: {device_id} drifted in window {report.sequence}")
        except StorageError as error:
            self._tell(f"{error.message}; {len(batch)} messages wait")
            self._kept = batch[:BATCH]
            self._watch.forget()  # it has seen windows that were not committed, and will see them again
            return
        self._kept = []
        for device_id, receipt in taken.receipt_messages():
            self._publisher.receipt(device_id, receipt)

    def _decide(self, now: float) -> None:
        with self._workspace.registry.session() as session:
            for rollout in unfinished(session):
                if rollout.state == "RUNNING":
                    for move in advance(session, rollout, lambda d, v: self._offer(session, d, v), now):
                        why = f": {move.reason}" if move.reason else ""
                        self._tell(f"rollout {rollout.id}: {move.event}, stage {move.stage + 1}{why}")
            for line in self._answer.tick(session, now):
                self._tell(line)
            self._after_retrains(session, now)
        # Only what is committed is published: a generation that a device has seen must never be used again.
        with self._workspace.registry.session() as session:
            if self._stale:
                for row in session.exec(select(DesiredState)).all():
                    row.published = False
                self._stale = False
            self._publisher.desired(session)
        self._retrain()

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
        self._take_up_abandoned()
        with self._workspace.registry.reading() as session:
            ready = session.exec(select(Retrain).where(Retrain.state == "READY")).first()
        if ready is not None:
            root = str(self._workspace.root)
            arguments = ["retrain", "run", str(ready.alert_id), "--workspace", root, "--json"]
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "edgeops", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            self._tell(f"retrain {ready.id}: started, {ready.samples} labelled samples")

    def _take_up_abandoned(self) -> None:
        """A retrain whose worker died without an outcome is tried again, a few times."""
        with self._workspace.registry.reading() as session:
            training = session.exec(select(Retrain).where(Retrain.state == "TRAINING")).all()
        if not training:
            return
        try:
            with retrain_lock(self._workspace), self._workspace.registry.session() as session:
                for row in session.exec(select(Retrain).where(Retrain.state == "TRAINING")).all():
                    self._attempts += 1
                    event = "interrupted" if self._attempts < RETRAIN_ATTEMPTS else "failed"
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
        self._publisher.forget()
        self._publisher.trust(self._workspace.trust[1])
        self._stale = True


def serve(plane: ControlPlane, stop: Callable[[], bool]) -> None:
    """Run until ``stop`` says so."""
    while not stop():
        plane.step(0.1)
