"""The simulated fleet: who sees which image, when a camera drifts, and a ledger that nobody is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.packages import DEVICE, FLEET, LABELS, TEN_A_WINDOW, Bench, Control, build, enrol, image

from device_agent import simulate as simulation
from device_agent.agent import Agent
from device_agent.simulate import (
    Ledger,
    SimulatedDevice,
    is_evaluation,
    open_devices,
    pictures,
    run_devices,
    streams,
)
from device_agent.simulate_config import DevicePlan, SimulationPlan, load_plan, parse_shard
from device_agent.sources import Replay, load_replay
from device_agent.world import camera_of, see
from edgeops.core.errors import ConfigError, DataError, NotFoundError, StorageError, UsageError

IMAGES = np.stack([image(seed) for seed in range(80)])
TARGETS = tuple(index % len(LABELS) for index in range(len(IMAGES)))
REPLAY = Replay(IMAGES, TARGETS, LABELS)


def plan_of(folder: Path, devices: int = 6, **other: object) -> SimulationPlan:
    names = [f"cam-{n:02d}" for n in range(devices)]
    plans = tuple(
        DevicePlan(name, folder / name / "agent.toml", ("north", "south")[n % 2], n % 2 == 0)
        for n, name in enumerate(names)
    )
    plan = SimulationPlan(7, folder / "field", folder / "ledger", plans, drift_after_windows=3)
    return replace(plan, **other)  # type: ignore[arg-type]


# -- who sees what


def test_evaluation_images_are_chosen_by_content_alone() -> None:
    share = np.mean([is_evaluation(one, 0.4) for one in IMAGES])
    assert 0.25 < share < 0.55
    assert [is_evaluation(one, 0.4) for one in IMAGES[::-1]][::-1] == [
        is_evaluation(one, 0.4) for one in IMAGES
    ]
    assert not any(is_evaluation(one, 0.0) for one in IMAGES)
    assert all(is_evaluation(one, 1.0) for one in IMAGES)


def test_a_lap_has_every_evaluation_image_and_the_devices_own_share_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    laps = streams(plan, REPLAY)
    evaluation = {index for index, one in enumerate(IMAGES) if is_evaluation(one, plan.eval_share)}
    for site in ("north", "south"):
        own = [set(laps[device.name]) - evaluation for device in plan.devices if device.site == site]
        assert set.union(*own) == set(range(len(IMAGES))) - evaluation
        assert sum(map(len, own)) == len(set.union(*own))  # nobody at a site shares one
    for lap in laps.values():
        assert evaluation <= set(lap)
        assert len(lap) == len(set(lap))


def test_the_same_seed_gives_the_same_streams_whatever_the_shard(tmp_path: Path) -> None:
    assert streams(plan_of(tmp_path), REPLAY) == streams(plan_of(tmp_path), REPLAY)
    assert streams(plan_of(tmp_path), REPLAY) != streams(plan_of(tmp_path, seed=8), REPLAY)


def test_only_devices_that_drift_have_another_view(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    steady = pictures(plan, plan.devices[1], REPLAY, [0, 1])
    assert all(picture.drifted is picture.plain for picture in steady)
    turned = pictures(plan, plan.devices[0], REPLAY, [5])[0]
    np.testing.assert_array_equal(turned.drifted, see(camera_of(7, "cam-00"), IMAGES[5]))
    assert turned.truth == LABELS[TARGETS[5]]
    assert turned.evaluation == is_evaluation(IMAGES[5], plan.eval_share)


def test_a_field_without_truths_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs truths"):
        streams(plan_of(tmp_path), Replay(IMAGES, None, None))


# -- one device, turn by turn


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(enrol(tmp_path / DEVICE))


def device_on(bench: Bench, folder: Path, drift_after: int = 3, drifts: bool = True) -> SimulatedDevice:
    plan = DevicePlan(DEVICE, folder, "north", drifts)
    whole = SimulationPlan(7, folder, folder, (plan,))
    stream = pictures(whole, plan, REPLAY, streams(whole, REPLAY)[DEVICE])
    return SimulatedDevice(plan, bench.start(), stream, Ledger(folder / "ledger.jsonl"), drift_after)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def take_turns(device: SimulatedDevice, bench: Bench, predictions: int) -> None:
    done = 0
    for _ in range(10_000):
        bench.clock.sleep(0.02)
        done += device.turn()
        if done == predictions:
            return
    raise AssertionError(f"{done} predictions where {predictions} were wanted")


def test_without_a_model_the_stream_waits(bench: Bench, tmp_path: Path) -> None:
    device = device_on(bench, tmp_path)
    assert not device.turn()
    package = build()
    bench.control.publish(package)
    bench.control.desire(package)
    take_turns(device, bench, 1)
    assert device._at == 1


def test_the_drift_begins_at_a_window_and_after_so_many_whole_ones(bench: Bench, tmp_path: Path) -> None:
    package = build()  # five inferences of trial, then windows of ten
    bench.control.publish(package)
    bench.control.desire(package)
    device = device_on(bench, tmp_path)
    take_turns(device, bench, 5 + 60)
    device.close()
    found = lines(tmp_path / "ledger.jsonl")
    assert [line["trial"] for line in found] == [True] + [False] * 6
    assert [line["drifted"] for line in found] == [False] * 4 + [True] * 3
    assert [line["n"] for line in found] == [5] + [10] * 6


def test_a_device_that_does_not_drift_never_does(bench: Bench, tmp_path: Path) -> None:
    package = build()
    bench.control.publish(package)
    bench.control.desire(package)
    device = device_on(bench, tmp_path, drifts=False)
    take_turns(device, bench, 65)
    assert not device.drifted


def test_the_ledger_has_a_line_for_each_report_and_agrees_with_it(bench: Bench, tmp_path: Path) -> None:
    package = build()
    bench.control.publish(package)
    bench.control.desire(package)
    device = device_on(bench, tmp_path)
    take_turns(device, bench, 98)
    assert len(lines(tmp_path / "ledger.jsonl")) == 10  # written as windows close
    device.close()
    found, reports = lines(tmp_path / "ledger.jsonl"), bench.control.reports()
    assert [(line["boot"], line["sequence"], line["n"], line["trial"]) for line in found] == [
        (report.boot, report.sequence, report.counters.inferences, report.trial) for report in reports
    ]
    assert all(line["device"] == DEVICE and line["site"] == "north" for line in found)
    for line in found:
        assert 0 <= line["eval_correct"] <= line["eval_n"] <= line["n"]
        assert line["eval_correct"] <= line["correct"] <= line["n"]
    evaluation = sum(is_evaluation(one, EVAL_SHARE) for one in IMAGES)
    laps, rest = divmod(98, len(IMAGES))
    assert sum(line["eval_n"] for line in found) == laps * evaluation + sum(
        picture.evaluation for picture in device.stream[:rest]
    )


def test_truths_leave_only_when_the_policy_says_so(bench: Bench, tmp_path: Path) -> None:
    package = build()
    bench.control.publish(package)
    bench.control.desire(package)
    device = device_on(bench, tmp_path)
    take_turns(device, bench, 30)
    assert bench.control.labels() == []
    bench.control.desire(package, labels=True)
    take_turns(device, bench, 30)
    assert sum(len(batch.truths) for batch in bench.control.labels()) >= 20


# -- many devices in one thread


class Turning:
    """A stand-in for a simulated device: it only notes when it was served."""

    def __init__(self, clock: Callable[[], float], cost_s: float = 0.0) -> None:
        self.due = self.polled = 0.0
        self.turns: list[float] = []
        self.polls: list[float] = []
        self.agent = self
        self._clock, self._cost = clock, cost_s

    def turn(self) -> bool:
        self.turns.append(self._clock())
        self._clock.sleep(self._cost)  # type: ignore[attr-defined]
        return True

    def poll(self) -> None:
        self.polls.append(self._clock())


def serve(bench: Bench, devices: list[Turning], interval_s: float, seconds: float) -> None:
    end = bench.clock() + seconds
    run_devices(devices, interval_s, lambda: bench.clock() >= end, bench.clock, bench.clock.sleep)  # type: ignore[arg-type]


def test_every_device_has_its_own_times_and_is_polled_in_between(bench: Bench) -> None:
    devices = [Turning(bench.clock) for _ in range(4)]
    serve(bench, devices, 0.2, 2.0)
    for device in devices:
        np.testing.assert_allclose(np.diff(device.turns), 0.2, atol=1e-6)
        served = sorted(device.turns + device.polls)
        assert max(np.diff(served)) <= 0.05 + 1e-6
    assert len({device.turns[0] for device in devices}) == 4


def test_what_was_missed_is_not_made_up_for_in_a_burst(bench: Bench) -> None:
    slow, quick = Turning(bench.clock, cost_s=5.0), Turning(bench.clock)
    end = bench.clock() + 8.0
    run_devices([slow, quick], 0.1, lambda: bench.clock() >= end, bench.clock, bench.clock.sleep)  # type: ignore[list-item]
    assert len(quick.turns) < 40


# -- shards and files


def whole_fleet(folder: Path, control: Control) -> Callable[[Path, Callable[[str], None]], Agent]:
    def make(path: Path, log: Callable[[str], None]) -> Agent:
        return Bench(enrol(path.parent, path.parent.name), control).start()

    return make


def test_shards_split_the_devices_and_keep_their_streams(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, devices=5)
    field_folder(plan.field)
    seen: dict[str, list] = {}
    for shard in ((1, 2), (2, 2), (1, 1)):
        ledger = Ledger(plan.ledger / "x.jsonl")
        devices = open_devices(plan, shard, ledger, whole_fleet(tmp_path, Control()), lambda line: None)
        for device in devices:
            truths = [picture.truth for picture in device.stream]
            assert seen.setdefault(device.plan.name, truths) == truths
            device.close()
        assert len(devices) == {(1, 2): 3, (2, 2): 2, (1, 1): 5}[shard]
        ledger.close()
    assert len(seen) == 5


def test_a_whole_run_starts_says_so_and_closes_every_agent(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, devices=3, interval_ms=1.0)
    field_folder(plan.field)
    told: list[str] = []
    turns = iter(range(5))
    simulation.simulate(
        plan,
        stopped=lambda: next(turns, None) is None,
        log=told.append,
        make=whole_fleet(tmp_path, control := Control()),
    )
    assert told == ["3 agents started"]
    assert [presence.online for presence in control.presence()].count(False) == 3
    assert (plan.ledger / "shard-1-of-1.jsonl").exists()


def test_when_one_agent_does_not_start_the_others_are_closed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, devices=3)
    field_folder(plan.field)
    control = Control()
    good = whole_fleet(tmp_path, control)

    def make(path: Path, log: Callable[[str], None]) -> Agent:
        if path.parent.name == "cam-02":
            raise StorageError("no space left")
        return good(path, log)

    with pytest.raises(StorageError):
        simulation.simulate(plan, stopped=lambda: True, log=lambda line: None, make=make)
    assert [presence.online for presence in control.presence()] == [True, True, False, False]


def field_folder(folder: Path) -> None:
    folder.mkdir()
    np.save(folder / "inputs.npy", IMAGES)
    np.save(folder / "targets.npy", np.array(TARGETS))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    assert load_replay(folder).truth(1) == LABELS[1]


EVAL_SHARE = 0.3  # the default of a simulation

TOML = """
seed = 7
interval_ms = 20
window_inferences = 50
field = "field"
ledger = "ledger"
eval_share = 0.3
drift_after_windows = 22
[[device]]
agent = "cam-01/agent.toml"
site = "north"
drifts = true
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "cam-01").mkdir()
    agent = f'fleet = "{FLEET}"\ndevice = "cam-01"\nbroker = "mqtt://127.0.0.1:1"\n'
    (tmp_path / "cam-01" / "agent.toml").write_text(agent)
    path = tmp_path / "simulate.toml"
    path.write_text(TOML)
    return path


def test_the_plan_is_read_with_paths_beside_it(toml: Path) -> None:
    plan = load_plan(toml)
    device = DevicePlan("cam-01", toml.parent / "cam-01" / "agent.toml", "north", True)
    assert plan == SimulationPlan(
        7, toml.parent / "field", toml.parent / "ledger", (device,), 20, TEN_A_WINDOW.window_inferences * 5
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed", "sead", "unknown key 'sead'; did you mean 'seed'"),
        ("seed = 7", "", "key 'seed' is missing"),
        ("seed = 7", 'seed = "x"', "seed = 'x' is of the wrong type"),
        ("drifts = true", "drifts = 1", "drifts = 1 is of the wrong type"),
        ("drifts", "drift", "unknown key 'device.drift'"),
        ("eval_share = 0.3", "eval_share = 1.4", "eval_share = 1.4 is not between 0 and 1"),
        ("interval_ms = 20", "interval_ms = 0", "interval_ms = 0 is not between"),
        ("cam-01", "cam-02", "cam-02/agent.toml: no such file"),
        ("[[device]]", '[[device]]\nagent = "cam-01/agent.toml"\n[[device]]', "a device stands twice"),
        ("seed = 7", "seed =", "simulate.toml"),
    ],
)
def test_a_wrong_plan_names_file_and_key(toml: Path, old: str, new: str, says: str) -> None:
    toml.write_text(TOML.replace(old, new))
    with pytest.raises(ConfigError, match=says):
        load_plan(toml)


def test_a_plan_that_is_not_there_or_has_no_field_is_said(toml: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_plan(toml.parent / "other.toml")
    with pytest.raises(NotFoundError, match="no replay folder"):
        simulation.simulate(load_plan(toml), stopped=lambda: True, log=print)


def test_a_shard_is_k_of_n() -> None:
    assert parse_shard("2/3") == (2, 3)
    for text in ("", "0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"):
        with pytest.raises(UsageError, match="k/n"):
            parse_shard(text)
