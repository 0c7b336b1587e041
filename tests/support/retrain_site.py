"""A workspace with one version on four devices that drift, capture and label: what they say is written as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import select

from edgeops.control.drift_answer import DriftAnswer
from edgeops.control.retrain_outcomes import after_retrains
from edgeops.control.settings import CaptureSettings, RetrainSettings, Settings
from edgeops.control.workers import Ended, OwnProcess
from edgeops.control.workspace import init_workspace
from edgeops.core.messages import ReportPolicy
from edgeops.core.signing import Role
from edgeops.fleet.desired import DesiredWriter
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    CapturedSample,
    DesiredState,
    DeviceModel,
    LabelTruth,
    ReportWindow,
    Retrain,
    Run,
)
from support.packages import FLEET, MODEL, build
from support.registry import add_devices, add_version
from support.trained import write_recipe

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0
QUICK = RetrainSettings(settle_windows=0, capture_windows=1, min_samples=5)


class RetrainSite:
    """A workspace with one version on four devices; what they say is written as rows."""

    def __init__(self, root: Path, retrain: RetrainSettings = QUICK) -> None:
        self.workspace = init_workspace(root, Settings(FLEET, retrain=retrain))
        self.now = NOON
        self.package = build(1, keys=[self.workspace.key(Role.RELEASE)])
        self.put(self.package)
        self.writer = DesiredWriter(FLEET, self.workspace.key(Role.DEPLOY), ReportPolicy(10, 0, 1000))
        self.answer = DriftAnswer(self.writer, retrain, CaptureSettings())
        self.windows, self.samples = 0, 0
        with self.session() as session:
            add_devices(session, *"abcd")
            self.version = add_version(session, self.package).manifest_sha256 or ""
            for name in "abcd":
                session.add(self.running(name))
                self.writer.change(session, name, MODEL, manifest=self.version, manifest_bytes=1000)

    def put(self, package) -> None:
        for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
            self.workspace.blobs.put(blob)

    def session(self):
        return self.workspace.registry.session()

    def running(self, name: str) -> DeviceModel:
        return DeviceModel(
            device_id=name,
            model=MODEL,
            lifecycle="CONFIRMED",
            generation=1,
            confirmed=self.version,
            updated_at=self.now,
        )

    def drifts(self, *names: str, kind: str = "data") -> int:
        with self.session() as session:
            alert = Alert(model_version_id=1, state="open", opened_at=self.now)
            session.add(alert)
            session.flush()
            for name in names:
                shift = {
                    "kind": kind,
                    "signal": "level",
                    "distance": 0.3,
                    "direction": "up",
                    "p_value": 1e-9,
                    "n": 9,
                }
                session.add(
                    AlertDevice(
                        alert_id=alert.id or 0,
                        device_id=name,
                        boot=1,
                        sequence=0,
                        windows_seen=1,
                        shifts=[shift],
                        raised_at=self.now,
                    )
                )
            return alert.id or 0

    def window(self, *names: str) -> None:
        """A window of each device under what is desired of it now."""
        self.windows += 1
        with self.session() as session:
            for name in names:
                session.add(
                    ReportWindow(
                        device_id=name,
                        model=MODEL,
                        manifest=self.version,
                        boot=1,
                        sequence=self.windows,
                        generation=session.get_one(DesiredState, name).generation,
                        trial=False,
                        inferences=10,
                        errors=0,
                        rejected_inputs=0,
                        dropped=0,
                        counters=b"",
                        received_at=self.now,
                    )
                )

    def label(self, count: int) -> None:
        with self.session() as session:
            for _ in range(count):
                self.samples += 1
                prediction = f"p{self.samples}"
                session.add(
                    CapturedSample(
                        prediction=prediction,
                        device_id="a",
                        model=MODEL,
                        manifest=self.version,
                        tensor=prediction.encode(),
                        received_at=self.now,
                    )
                )
                session.add(
                    LabelTruth(
                        prediction=prediction,
                        device_id="a",
                        model=MODEL,
                        manifest_prefix=self.version[:16],
                        boot=1,
                        sequence=1,
                        predicted=0,
                        truth=1,
                        received_at=self.now,
                    )
                )

    def tick(self, seconds: float = 1.0) -> list[str]:
        self.now += seconds
        with self.session() as session:
            return self.answer.tick(session, self.now)

    def after(self) -> list[str]:
        with self.session() as session:
            return list(after_retrains(session, self.workspace, self.writer, self.now))

    def retrains(self) -> list[Retrain]:
        with self.workspace.registry.reading() as session:
            return list(session.exec(select(Retrain)))

    def decision(self) -> str:
        with self.workspace.registry.reading() as session:
            return session.get_one(Alert, 1).decision

    def ready(self) -> Retrain:
        """Two devices drift and send samples: what the policy answers with."""
        self.drifts("a", "b")
        self.tick()
        self.window("a", "b")
        self.label(5)
        self.tick()
        (retrain,) = self.retrains()
        return retrain

    def end(self, state: str) -> None:
        with self.session() as session:
            for retrain in session.exec(select(Retrain)):
                retrain.state, retrain.finished_at = state, self.now

    def recipe(self, text: str) -> Path:
        folder = self.workspace.root / "recipes" / "tiny"
        path = write_recipe(folder)
        path.write_text(f"{path.read_text()}\n{text}")
        with self.session() as session:
            session.get_one(Run, 1).recipe = str(path)
        return path


class Started(OwnProcess):
    """What would be started, and how it would end."""

    def __init__(self, *ends: Ended | BaseException) -> None:
        super().__init__()
        self.jobs: list[int] = []
        self.ends = list(ends)
        self.at_work = False

    def submit(self, root: Path, retrain_id: int, dask: str) -> None:
        self.jobs.append(retrain_id)
        self.at_work = True

    def ended(self) -> Ended | BaseException | None:
        at_work, self.at_work = self.at_work, False
        return self.ends.pop(0) if at_work and self.ends else None
