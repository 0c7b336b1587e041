"""Several agents in one thread, each a real agent with a simulated camera in front of it.

``simulate.toml`` says which devices, which images, and when whose camera drifts. Beside the agents runs a
ledger of what an omniscient observer would know (how many predictions were right, device by device and
window by window); nothing of it is sent.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from device_agent.agent import Agent, Prediction, agent_from_file
from device_agent.simulate_config import DevicePlan, SimulationPlan
from device_agent.sources import Replay, load_replay
from device_agent.world import camera_of, see, seeded
from edgeops.core.errors import DataError, InferenceFailed, NoModel, StorageError
from edgeops.core.messages import PredictionId

POLL_S = 0.04  # an agent is polled at least every 50 ms
MAX_BEHIND_S = 1.0


def is_evaluation(image: NDArray[np.generic], share: float) -> bool:
    """Whether this image never may leave a device: decided by its content, the same whoever asks."""
    digest = hashlib.sha256(b"consent" + np.ascontiguousarray(image).tobytes()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


@dataclass(frozen=True, slots=True)
class Picture:
    """One step of a device's stream: the image, the same through its drifted camera, and the truth."""

    plain: NDArray[np.generic]
    drifted: NDArray[np.generic]
    truth: str | int
    evaluation: bool


def streams(plan: SimulationPlan, replay: Replay) -> dict[str, list[int]]:
    """The lap of every device of the plan, as indices: all evaluation images and its own capturable ones.

    Within a site nobody shares a capturable image; across sites they may.
    """
    if replay.targets is None:
        raise DataError(
            f"{plan.field} has no targets.npy, and a simulation needs truths", path=str(plan.field)
        )
    evaluation = [i for i, image in enumerate(replay.inputs) if is_evaluation(image, plan.eval_share)]
    capturable = sorted(set(range(len(replay.inputs))) - set(evaluation))
    laps: dict[str, list[int]] = {}
    for site in dict.fromkeys(device.site for device in plan.devices):
        names = [device.name for device in plan.devices if device.site == site]
        order = seeded(plan.seed, "site", site).permutation(len(capturable))
        for place, name in enumerate(names):
            own = [capturable[i] for i in order[place :: len(names)]]
            lap = [*evaluation, *own]
            if not lap:
                raise DataError(f"{plan.field} has no image for device {name}", path=str(plan.field))
            laps[name] = [lap[i] for i in seeded(plan.seed, "stream", name).permutation(len(lap))]
    return laps


def pictures(plan: SimulationPlan, device: DevicePlan, replay: Replay, lap: Sequence[int]) -> list[Picture]:
    """The stream of one device with its camera's view worked out beforehand."""
    camera = camera_of(plan.seed, device.name)
    result = []
    for index in lap:
        image, truth = replay.inputs[index], replay.truth(index)
        assert truth is not None  # ``streams`` has refused a folder without targets
        drifted = see(camera, image) if device.drifts else image
        result.append(Picture(image, drifted, truth, is_evaluation(image, plan.eval_share)))
    return result


@dataclass(slots=True)
class LedgerLine:
    """What was true of one window of one device."""

    device: str
    site: str
    sequence: int
    boot: int
    version: int
    trial: bool
    drifted: bool
    frozen: bool = False
    n: int = 0
    correct: int = 0
    eval_n: int = 0
    eval_correct: int = 0

    def count(self, right: bool, evaluation: bool) -> None:
        """Count one prediction."""
        self.n += 1
        self.correct += right
        self.eval_n += evaluation
        self.eval_correct += evaluation and right


class Ledger:
    """One JSON line for each closed window, flushed at once."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a")
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}", path=str(path)) from error

    def write(self, line: LedgerLine) -> None:
        """Write the line of a closed window."""
        self._file.write(json.dumps(asdict(line)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(slots=True)
class SimulatedDevice:
    """An agent, its stream, and when its camera drifts or freezes."""

    plan: DevicePlan
    agent: Agent
    stream: Sequence[Picture]
    ledger: Ledger
    drift_after_windows: int
    due: float = 0.0
    polled: float = 0.0
    drifted: bool = False
    _at: int = 0
    _drift_at: int | None = None
    _confirmed_at: int | None = None
    _frozen: Picture | None = None
    _line: LedgerLine | None = field(default=None)

    def turn(self) -> bool:
        """Predict once, if there is a model; returns whether there was."""
        self.agent.poll()
        if not self.agent.ready():
            return False
        try:
            if self._drift_at is not None and self.agent.sequence() >= self._drift_at:
                self.drifted = True
            picture = self.stream[self._at]
            self._freeze(picture)
            shown = self._frozen or picture
            prediction = self.agent.predict(
                shown.drifted if self.drifted else shown.plain, consent=not shown.evaluation
            )
        except (NoModel, InferenceFailed):
            return False  # the agent has counted what failed; the stream waits
        self._at = (self._at + 1) % len(self.stream)
        self._note(picture, prediction)
        self.agent.feedback(prediction.id, picture.truth)
        return True

    def _freeze(self, picture: Picture) -> None:
        """Hold the picture while the camera is frozen."""
        if self.plan.frozen is None or self._confirmed_at is None:
            return
        start, end = (self._confirmed_at + window for window in self.plan.frozen)
        if start <= self.agent.sequence() < end:
            self._frozen = self._frozen or picture
        else:
            self._frozen = None

    def close(self) -> None:
        """Close the agent, which closes its window."""
        self.agent.close()
        self._write()

    def _note(self, picture: Picture, prediction: Prediction) -> None:
        id = PredictionId.unpack(bytes.fromhex(prediction.id.rpartition(":")[2]))
        if self._line is None or (self._line.boot, self._line.sequence) != (id.boot, id.sequence):
            self._write()
            self._line = LedgerLine(
                self.plan.name,
                self.plan.site,
                id.sequence,
                id.boot,
                prediction.model_version,
                prediction.trial,
                self.drifted,
                self._frozen is not None,
            )
        right = picture.truth in (prediction.label, prediction.index)
        self._line.count(right, picture.evaluation)
        if self._confirmed_at is None and not prediction.trial:
            self._confirmed_at = id.sequence
        if self._drift_at is None and self.plan.drifts and not prediction.trial:
            self._drift_at = id.sequence + self.drift_after_windows
        if self.agent.sequence() != id.sequence:
            self._write()

    def _write(self) -> None:
        if self._line is not None:
            self.ledger.write(self._line)
            self._line = None


def open_devices(
    plan: SimulationPlan,
    shard: tuple[int, int],
    ledger: Ledger,
    make: Callable[[Path, Callable[[str], None]], Agent],
    log: Callable[[str], None],
) -> list[SimulatedDevice]:
    """Start the agents of one shard; closes those that started when a later one does not."""
    replay = load_replay(plan.field)
    laps = streams(plan, replay)
    started: list[SimulatedDevice] = []
    try:
        for device in plan.devices[shard[0] - 1 :: shard[1]]:
            agent = make(device.agent, _named(device.name, log))
            stream = pictures(plan, device, replay, laps[device.name])
            started.append(SimulatedDevice(device, agent, stream, ledger, plan.drift_after_windows))
    except BaseException:
        for running in started:
            running.close()
        raise
    return started


def run_devices(
    devices: Sequence[SimulatedDevice],
    interval_s: float,
    stopped: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """One prediction a device and turn, each at its own time, until ``stopped``."""
    start = clock()
    for place, device in enumerate(devices):
        device.due = start + interval_s * place / len(devices)
        device.polled = start
    while not stopped():
        for device in devices:
            now = clock()
            if now >= device.due:
                device.turn()
                device.polled = now
                # What could not be done in time is left out, not made up for in a burst.
                device.due = max(device.due + interval_s, now - MAX_BEHIND_S)
            elif now - device.polled >= POLL_S:
                device.agent.poll()
                device.polled = now
        next_due = min(min(device.due, device.polled + POLL_S) for device in devices)
        if (idle := next_due - clock()) > 0:
            sleep(idle)


def simulate(
    plan: SimulationPlan,
    shard: tuple[int, int] = (1, 1),
    *,
    stopped: Callable[[], bool],
    log: Callable[[str], None],
    make: Callable[[Path, Callable[[str], None]], Agent] = agent_from_file,
) -> None:
    """Run one shard of the plan until ``stopped`` says so; every agent is closed cleanly."""
    ledger = Ledger(plan.ledger / f"shard-{shard[0]}-of-{shard[1]}.jsonl")
    try:
        devices = open_devices(plan, shard, ledger, make, log)
        log(f"{len(devices)} agents started")
        try:
            run_devices(devices, plan.interval_ms / 1000, stopped)
        finally:
            for device in devices:
                device.close()
    finally:
        ledger.close()


def _named(device: str, log: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: log(f"{device}: {line}")
