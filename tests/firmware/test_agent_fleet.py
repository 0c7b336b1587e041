"""A C agent in the same fleet as a Python agent: a real Mosquitto, the real control plane, ordinary rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firmware.c_device import CHUNK_BYTES, CDevice, release
from support.mqtt_proxy import Faults, MqttProxy
from support.packages import LABELS
from support.real_fleet import RealFleet, inputs

from edgeops.control.broker import PrivateBroker
from edgeops.registry.tables import Device

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.e2e]

SLOW = Faults(delay_s=0.02)
BAD = Faults(delay_s=0.001, cut=0.004, twice=0.2, swap=0.2, corrupt=0.03, enlarge=0.03)


@pytest.fixture
def broker() -> Iterator[PrivateBroker]:
    with PrivateBroker(kind="mosquitto") as private:
        yield private


@pytest.fixture
def fleet(tmp_path: Path, broker: PrivateBroker) -> Iterator[RealFleet]:
    """One Python agent, and room for others."""
    made = RealFleet(tmp_path / "fleet", broker.url, 1, labels=False)
    yield made
    made.close()


@pytest.fixture
def start(host_build: Path, fleet: RealFleet) -> Iterator[Callable[..., CDevice]]:
    program = host_build / "edgeops_agent"
    assert program.exists(), "edgeops_agent was not built. Fix: sudo apt-get install libmosquitto-dev"
    started: list[CDevice] = []

    def start(name: str = "mcu-01", broker: str | None = None) -> CDevice:
        started.append(CDevice(program, fleet, name, broker))
        started[-1].start()
        return started[-1]

    yield start
    for device in started:
        device.kill()


def test_it_is_updated_beside_a_python_agent_and_reports(
    fleet: RealFleet, start: Callable[..., CDevice]
) -> None:
    """Version 1, then 2, by rollouts that know nothing of languages; both devices confirm, both are counted."""
    device = start()
    first, second = release(fleet, 1), release(fleet, 2)
    fleet.complete(1)
    assert device.runs(first)
    assert fleet.confirmed(first) == {"cam-00"}
    fleet.complete(2)
    assert device.runs(second)

    with fleet.workspace.registry.reading() as session:
        row = session.get_one(Device, device.name)
        assert (row.online, row.runtime, row.target) == (True, "plan", "cortex-m")
    steps = [(event.source, event.target) for event in device.events()]
    once = [("OFFERED", "DOWNLOADING"), ("DOWNLOADING", "VERIFYING"), ("VERIFYING", "STAGED")]
    assert steps == [
        *[("IDLE", "OFFERED"), *once, ("STAGED", "TRIAL"), ("TRIAL", "CONFIRMED")],
        *[("CONFIRMED", "OFFERED"), *once, ("STAGED", "TRIAL"), ("TRIAL", "CONFIRMED")],
    ]

    fleet.until(lambda: device.counted() >= 200)
    windows = device.windows()
    assert {window.sequence for window in windows} == set(range(1, len(windows) + 1))
    assert {window.manifest for window in windows} == {first.digest[:8], second.digest[:8]}
    assert {window.trial for window in windows} == {True, False}
    assert all(sum(window.counters.classes) == window.counters.inferences for window in windows)


def test_it_counts_as_the_python_agent_does(fleet: RealFleet, start: Callable[..., CDevice]) -> None:
    """The same inputs in the same order: shares of classes agree within what two interpreters differ."""
    device = start()
    release(fleet, 1)
    fleet.complete(1)
    fleet.until(lambda: device.counted() >= 640)
    whole = [window.counters for window in device.windows()]
    total = sum(whole[1:], whole[0])
    shares = [count / total.inferences for count in total.classes]
    expected = [sum(label == name for _, label in inputs()) / len(inputs()) for name in LABELS]
    assert shares == pytest.approx(expected, abs=0.1)


def test_a_version_that_fails_its_self_test_is_not_run(
    fleet: RealFleet, start: Callable[..., CDevice]
) -> None:
    """It stays on version 1, and says why; the rollout does not complete."""
    device = start()
    first = release(fleet, 1)
    fleet.complete(1)
    release(fleet, 2, flip=True)
    fleet.roll_out(2)
    fleet.until(lambda: (said := device.said()) is not None and said.lifecycle == "REJECTED")
    said = device.said()
    assert said is not None
    assert said.confirmed == first.digest.hex()
    assert "self-test vector 0" in (said.reason or "")


def test_killed_in_mid_download_it_goes_on_where_it_was(
    fleet: RealFleet, start: Callable[..., CDevice], broker: PrivateBroker
) -> None:
    """What lies in the flash is not fetched again: each start lacks fewer chunks than the one before."""
    with MqttProxy(broker.port) as proxy:
        device = start(broker=proxy.url)
        release(fleet, 1, seed=1)
        fleet.complete(1)
        second = release(fleet, 2, seed=2)
        artifact = second.manifest.artifact("plan", "any")
        assert artifact is not None
        plan = second.blobs[artifact.blob.hex]
        pieces = [plan[at : at + 64] for at in range(CHUNK_BYTES, len(plan), CHUNK_BYTES)]  # what is padded
        proxy.faults = SLOW
        fleet.roll_out(2)
        for share in (0.2, 0.5):
            wanted = int(share * len(pieces))

            def so_many(wanted: int = wanted) -> bool:
                flash = device.flash.read_bytes()
                return sum(piece in flash for piece in pieces) >= wanted

            fleet.until(so_many)
            device.kill()
            kept = device.flash.read_bytes()
            assert 0 < sum(piece in kept for piece in pieces) < len(pieces)
            device.start()
        fleet.until(lambda: device.runs(second))
        assert device.log.count("VERIFYING: complete") == 2  # once for each version
        with fleet.workspace.registry.reading() as session:
            received = session.get_one(Device, device.name).received_bytes
        assert received < 0.8 * len(plan)  # since the last start


def test_a_bad_network_delays_an_update_and_no_more(
    fleet: RealFleet, start: Callable[..., CDevice], broker: PrivateBroker
) -> None:
    """Connections that are cut, packets that come twice, in another order, altered or longer."""
    with MqttProxy(broker.port) as proxy:
        device = start(broker=proxy.url)
        release(fleet, 1, seed=1)
        fleet.complete(1)
        second = release(fleet, 2, seed=2)
        proxy.faults = BAD
        fleet.roll_out(2)
        fleet.until(lambda: device.runs(second), seconds=120)
        assert {"cut", "twice", "swap", "corrupt"} <= set(proxy.done)


def test_stopped_in_order_it_is_offline_and_nothing_is_lost(
    fleet: RealFleet, start: Callable[..., CDevice]
) -> None:
    """SIGTERM: what was counted is sent, and the goodbye."""
    device = start()
    release(fleet, 1)
    fleet.complete(1)
    fleet.until(lambda: len(device.windows()) >= 3)
    assert device.stop() == 0

    def offline() -> bool:
        with fleet.workspace.registry.reading() as session:
            return not session.get_one(Device, device.name).online

    fleet.until(offline)
