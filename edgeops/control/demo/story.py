"""The demo, step by step. What it waits for stands in the registry; what it tells goes to ``Stage``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlmodel import Session, col, func, select

from edgeops.control.broker import PrivateBroker
from edgeops.control.datasets import add_dataset, load_dataset
from edgeops.control.demo.figures import read_ledger, summarise
from edgeops.control.demo.scene import (
    QUIET_WINDOWS,
    SHARDS,
    Processes,
    enroll_fleet,
    make_workspace,
    run_command,
)
from edgeops.control.drift_records import DRIFT, QUALITY
from edgeops.control.fleet_report import health_rows, write_report
from edgeops.control.rollout_orders import plan_of, start_in_workspace
from edgeops.control.workspace import Workspace
from edgeops.core.errors import CheckFailed
from edgeops.data.dataset import export_replay
from edgeops.files import write_atomic
from edgeops.registry.names import find_model
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    Deployment,
    Device,
    ModelVersion,
    ReportWindow,
    Retrain,
    Rollout,
)

STEPS = 10
RECOVERY_WINDOWS = 8
PATIENCE_S = 300.0  # a training on a loaded machine takes minutes


class Stage(Protocol):
    """Where the demo is seen."""

    def step(self, number: int, title: str, text: str) -> None:
        """One step is done."""

    def fleet(self, rows: list[dict[str, Any]]) -> None:
        """The fleet as it is, one row a site."""

    def waiting(self, title: str, total: int) -> Any:
        """A context manager with ``update(done, note)``."""


class Demo:
    """One run in one workspace."""

    def __init__(self, root: Path, devices: int, seed: int, broker: str | None, stage: Stage) -> None:
        self._root, self._devices, self._seed, self._stage = root, devices, seed, stage
        self._broker = broker
        self._seconds: dict[str, float] = {}
        self._workspace: Workspace
        self._processes: Processes

    def run(self) -> dict[str, Any]:
        """Play it; returns the summary that also stands in ``summary.json``.

        Raises ``CheckFailed`` when a step does not come about in time. Whatever happens, what was started is
        stopped.
        """
        began = time.monotonic()
        with ExitStack() as stack:
            url, kind = self._broker, "given broker"
            if url is None:
                private = stack.enter_context(PrivateBroker())
                url, kind = private.url, str(private.kind)
            self._workspace = make_workspace(self._root, self._devices, self._seed, url)
            self._processes = Processes(self._root)
            stack.callback(self._processes.stop)
            self._stage.step(1, "workspace", f"{self._root}   registry, blob store, signing keys")
            self._data()
            self._train()
            self._start(url, kind)
            first = self._roll_out("digits@1", "rollout_1")
            self._quiet(first)
            self._drift(first)
            second = self._retrain()
            self._await_rollout(second, "rollout_2", 9)
            self._recover(second)
            self._seconds["total"] = time.monotonic() - began
            return self._finish(first, second)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began

    def _data(self) -> None:
        with self._phase("data"):
            row, _ = add_dataset(self._workspace, "sklearn:digits", "digits")
            dataset, _ = load_dataset(self._workspace, "digits@1")
            export_replay(dataset, "field", self._root / "field")
        parts = "/".join(str(row.parts[part]) for part in ("train", "validation", "test", "field"))
        text = f"digits@1   {sum(row.parts.values()):,} images   {len(row.labels)} classes   {parts}"
        self._stage.step(2, "data", f"{text} train/validation/test/field")

    def _train(self) -> None:
        with self._phase("train"):
            document = run_command(
                ["train", "digits", "--seed", str(self._seed), "--workspace", str(self._root)]
            )
        metrics, artifact = document["metrics"], document["artifact"]
        self._stage.step(
            3,
            "train",
            f"digits@1   float {metrics['float']['accuracy']:.3f}   int8 {metrics['int8']['accuracy']:.3f}   "
            f"{artifact['bytes'] / 1024:.0f} KiB   gates OK   {self._seconds['train']:.0f} s",
        )

    def _start(self, url: str, kind: str) -> None:
        with self._phase("start"):
            self._processes.start(
                "serve", "edgeops", ["serve", "--workspace", str(self._root), "--broker", url]
            )
            enroll_fleet(self._workspace, self._devices, self._seed)
            config = str(self._root / "simulate.toml")
            for shard in range(1, SHARDS + 1):
                arguments = ["simulate", "--config", config, "--shard", f"{shard}/{SHARDS}"]
                self._processes.start(f"agents-{shard}", "device_agent", arguments)
            self._wait("births", self._devices, lambda s: (_online(s), "devices online"))
        self._stage.step(4, "fleet", f"{self._devices} agents in {SHARDS} processes online   {kind} at {url}")

    def _roll_out(self, model: str, phase: str) -> ModelVersion:
        facts = start_in_workspace(self._workspace, model, plan_of(self._workspace))
        with self._workspace.registry.reading() as session:
            version = find_model(session, facts["model"])
        self._await_rollout(version, phase, 5)
        return version

    def _await_rollout(self, version: ModelVersion, phase: str, number: int) -> None:
        with self._phase(phase):
            self._wait("rollout", self._devices, lambda s: _rollout_progress(s, version))
        stages = ", ".join(self._workspace.settings.rollout.stages)
        self._stage.step(
            number,
            "rollout",
            f"{version.model}@{version.version}   confirmed by {self._devices} of {self._devices} devices   "
            f"stages {stages}   {self._seconds[phase]:.0f} s",
        )

    def _quiet(self, version: ModelVersion) -> None:
        with self._phase("quiet"):
            target = QUIET_WINDOWS * self._devices
            self._wait("windows", target, lambda s: (_windows(s, version, QUIET_WINDOWS), "quiet windows"))
        self._stage.step(
            6,
            "observe",
            f"{QUIET_WINDOWS} windows per device without labels   drift alarms {self._alarms()}{self._faults()}",
        )
        self._stage.fleet(health_rows(self._workspace))

    def _drift(self, version: ModelVersion) -> None:
        drifting = -(-self._devices // 2)
        with self._phase("drift"):
            self._wait("drift", drifting, lambda s: (_drifted(s, version), "devices in alarm"))
        with self._workspace.registry.reading() as session:
            query = select(AlertDevice).join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
            rows = session.exec(query.where(Alert.kind == DRIFT)).all()
        top: dict[str, int] = {}
        for row in rows:
            top[row.shifts[0]["signal"]] = top.get(row.shifts[0]["signal"], 0) + 1
        moved = ", ".join(f"{name} on {count}" for name, count in sorted(top.items(), key=lambda kv: -kv[1]))
        self._stage.step(
            7, "drift", f"cameras of site north changed   moved most: {moved} of {len(rows)} devices"
        )

    def _retrain(self) -> ModelVersion:
        with self._phase("capture"):
            self._wait("capture", 1, _retrain_wanted)
        self._stage.fleet(health_rows(self._workspace))
        with self._phase("retrain"):
            self._wait("retrain", 1, _retrain_done)
        with self._workspace.registry.reading() as session:
            retrain = session.exec(select(Retrain).order_by(col(Retrain.id).desc())).one()
            if retrain.model_version_id is None or retrain.state not in ("REGISTERED", "DEPLOYED"):
                gates = [g["name"] for g in retrain.gates if not g["passed"]]
                raise CheckFailed(f"the retrain is {retrain.state}: {', '.join(gates) or retrain.reason}")
            version = session.get_one(ModelVersion, retrain.model_version_id)
        values = {gate["name"]: gate for gate in retrain.gates}
        captured, test = values["beats_old_on_captured"], values["no_worse_on_test"]
        self._stage.step(
            8,
            "retrain",
            f"{version.model}@{version.version}   {retrain.samples} samples   captured {captured['limit']:.3f} -> "
            f"{captured['value']:.3f}   test {test['value']:.3f} (at least {test['limit']:.3f})   "
            f"{self._seconds['retrain']:.0f} s",
        )
        return version

    def _recover(self, version: ModelVersion) -> None:
        with self._phase("recovery"):
            target = RECOVERY_WINDOWS * self._devices
            self._wait("recovery", target, lambda s: (_windows(s, version, RECOVERY_WINDOWS), "windows"))
        self._stage.fleet(health_rows(self._workspace))

    def _finish(self, first: ModelVersion, second: ModelVersion) -> dict[str, Any]:
        entries = read_ledger(self._root / "ledger")
        with self._workspace.registry.reading() as session:
            summary = summarise(session, entries, first, second, self._seconds)
        summary = {"seed": self._seed, "devices": self._devices, **summary}
        write_atomic(self._root / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        write_report(self._workspace, self._root / "report.html", summary=summary, ledger=entries)
        self._stage.step(
            10, "report", f"{self._root / 'report.html'}   figures in {self._root / 'summary.json'}"
        )
        return summary

    def _wait(self, title: str, total: int, look: Callable[[Session], tuple[int, str]]) -> None:
        """Wait until ``look`` counts ``total``; raises ``CheckFailed`` when nothing moves for long."""
        moved_at, last = time.monotonic(), -1
        with self._stage.waiting(title, total) as bar:
            while last < total:
                with self._workspace.registry.reading() as session:
                    done, note = look(session)
                bar.update(min(done, total), note)
                if done != last:
                    moved_at, last = time.monotonic(), done
                self._processes.check()
                if time.monotonic() - moved_at > PATIENCE_S:
                    raise CheckFailed(
                        f"{title}: {done} of {total}, and nothing moved for {PATIENCE_S:.0f} s",
                        fix=f"read {self._root}/serve.log and {self._root}/agents-1.log",
                    )
                if last < total:
                    time.sleep(0.25)

    def _alarms(self) -> int:
        with self._workspace.registry.reading() as session:
            query = (
                select(func.count())
                .select_from(AlertDevice)
                .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
            )
            return session.exec(query.where(Alert.kind == DRIFT)).one()

    def _faults(self) -> str:
        """The devices whose sensors were found at fault."""
        with self._workspace.registry.reading() as session:
            query = select(AlertDevice, Alert).join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
            rows = session.exec(query.where(Alert.kind == QUALITY)).all()
        found = [f"{row.device_id} {row.shifts[0]['signal']}, {alert.state}" for row, alert in rows]
        return f"   sensor at fault: {'; '.join(found)}, no retrain" if found else ""


def _online(session: Session) -> int:
    return session.exec(
        select(func.count()).select_from(Device).where(col(Device.online), Device.boot > 0)
    ).one()


def _rollout_progress(session: Session, version: ModelVersion) -> tuple[int, str]:
    rollout = session.exec(select(Rollout).where(Rollout.model_version_id == version.id)).first()
    if rollout is None:
        return 0, "waiting for the control plane"
    if rollout.state == "HELD":
        raise CheckFailed(f"rollout {rollout.id} is held: {rollout.reason}")
    states = session.exec(select(Deployment.state).where(Deployment.rollout_id == rollout.id)).all()
    confirmed = states.count("confirmed")
    done = confirmed if rollout.state == "COMPLETED" else min(confirmed, len(states) - 1)
    return done, f"stage {rollout.stage + 1}, {confirmed} confirmed"


def _windows(session: Session, version: ModelVersion, each: int) -> int:
    """Whole windows of the version, each device counted up to ``each``."""
    rows = session.exec(
        select(ReportWindow.device_id, func.count())
        .where(ReportWindow.manifest == version.manifest_sha256, col(ReportWindow.trial).is_(False))
        .group_by(ReportWindow.device_id)
    ).all()
    return sum(min(count, each) for _, count in rows)


def _drifted(session: Session, version: ModelVersion) -> int:
    return session.exec(
        select(func.count())
        .select_from(AlertDevice)
        .join(Alert, col(Alert.id) == col(AlertDevice.alert_id))
        .where(Alert.model_version_id == version.id, Alert.kind == DRIFT)
    ).one()


def _retrain_wanted(session: Session) -> tuple[int, str]:
    alert = session.exec(select(Alert).where(Alert.kind == DRIFT).order_by(col(Alert.id))).first()
    wanted = session.exec(select(Retrain)).first()
    return (1 if wanted else 0), (alert.reason or "" if alert else "")


def _retrain_done(session: Session) -> tuple[int, str]:
    retrain = session.exec(select(Retrain).order_by(col(Retrain.id).desc())).first()
    if retrain is None or retrain.state in ("READY", "TRAINING"):
        return 0, "training"
    return 1, retrain.state
