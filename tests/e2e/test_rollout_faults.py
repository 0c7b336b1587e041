"""Rollouts of real agents through everything that networks, brokers and disks do, against a real Mosquitto.

Whatever happens, an update ends CONFIRMED, and no slot ever holds a byte that no digest vouches for.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select, text
from support.mqtt_proxy import Faults, MqttProxy
from support.packages import MODEL
from support.real_fleet import RealFleet, padded

from edgeops.control.broker import PrivateBroker
from edgeops.registry.tables import ReportWindow

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.e2e]

DAY = 86_400.0
FLAKY = 0.01
BAD_NETWORK = Faults(delay_s=0.002, cut=0.004, twice=0.2, swap=0.2, corrupt=0.03, enlarge=0.03)


@pytest.fixture
def broker() -> Iterator[PrivateBroker]:
    with PrivateBroker(kind="mosquitto") as private:
        yield private


@pytest.fixture
def proxy(broker: PrivateBroker) -> Iterator[MqttProxy]:
    with MqttProxy(broker.port) as between:
        yield between


@pytest.fixture
def start(tmp_path: Path, broker: PrivateBroker) -> Iterator[Callable[..., RealFleet]]:
    fleets: list[RealFleet] = []

    def started(devices: int, **options: object) -> RealFleet:
        fleets.append(RealFleet(tmp_path / "fleet", broker.url, devices, **options))  # type: ignore[arg-type]
        return fleets[-1]

    yield started
    for fleet in fleets:
        fleet.close()


def under_way(fleet: RealFleet) -> bool:
    """Whether some agent has some chunks of its blob, and not all."""
    for agent in fleet.agents.values():
        if MODEL in agent._models:
            download = agent._models[MODEL].host.fetching._download
            if download is not None and 0 < download.progress()[0] < download.progress()[1]:
                return True
    return False


class TestBroker:
    @pytest.mark.parametrize("keeps", [True, False], ids=["that keeps its store", "that forgets everything"])
    def test_a_broker_that_is_killed_in_the_middle_of_a_transfer(
        self, start: Callable[..., RealFleet], broker: PrivateBroker, proxy: MqttProxy, keeps: bool
    ) -> None:
        proxy.faults = Faults(delay_s=0.01)  # so that the transfer has a middle
        fleet = start(4, device_url=proxy.url)
        package = fleet.release(1, padded())
        number = fleet.roll_out(1)
        fleet.until(lambda: under_way(fleet))
        assert broker.pid is not None

        def stores() -> list[Path]:
            return list(broker.folder.glob("*.db"))

        if keeps:
            os.kill(broker.pid, signal.SIGUSR1)  # Mosquitto writes its store down
            fleet.until(lambda: bool(stores()))
        os.kill(broker.pid, signal.SIGKILL)
        broker.stop()
        if not keeps:
            for stored in stores():
                stored.unlink()
        for _ in range(20):
            fleet.turn()
        assert fleet.state(number) == "RUNNING"
        broker.start()
        fleet.until(lambda: fleet.state(number) == "COMPLETED")
        assert fleet.confirmed(package) == set(fleet.names)
        assert package.manifest.artifacts[0].blob.hex in fleet.chunks()
        fleet.check_slots()

    def test_chunks_go_after_the_grace_period_and_come_again_when_they_are_wanted(
        self, start: Callable[..., RealFleet]
    ) -> None:
        fleet = start(2, chunk_grace_s=0.5)
        first, second = fleet.release(1, padded(seed=1)), fleet.release(2, padded(seed=2))
        fleet.complete(1, to=f"device = {fleet.names[0]}")
        fleet.complete(2)
        blobs = [package.manifest.artifacts[0].blob.hex for package in (first, second)]
        fleet.plane._swept_at = 0.0

        def swept() -> bool:
            fleet.plane._swept_at = 0.0  # due at every turn
            return blobs[0] not in fleet.chunks()

        fleet.until(swept)
        assert blobs[1] in fleet.chunks()
        other = fleet.names[1]  # it never had the first version, and no slot to go back to
        fleet.complete(1, to=f"device = {other}")
        assert fleet.confirmed(first) == {other}
        assert blobs[0] in fleet.chunks()


class TestNetwork:
    def test_delays_cuts_duplicates_disorder_and_altered_chunks(
        self, start: Callable[..., RealFleet], proxy: MqttProxy
    ) -> None:
        fleet = start(6, device_url=proxy.url)
        proxy.faults = BAD_NETWORK
        for version in (1, 2):
            package = fleet.release(version, padded(seed=version))
            number = fleet.roll_out(version, stages="1,50%,100%", gates=["install=off"])
            fleet.until(lambda: under_way(fleet))
            proxy.cut()
            fleet.until(lambda number=number: fleet.state(number) == "COMPLETED")
            # One to which a chunk came altered three times has failed, and tries again by itself.
            fleet.until(lambda package=package: fleet.confirmed(package) == set(fleet.names))
            fleet.check_slots()
        did = {what for what, count in proxy.done.items() if count}
        assert did == {"cut", "twice", "swap", "corrupt", "enlarge"}

    def test_a_report_that_comes_twice_counts_once(
        self, start: Callable[..., RealFleet], proxy: MqttProxy
    ) -> None:
        fleet = start(1, device_url=proxy.url)
        proxy.faults = Faults(twice=1.0)
        fleet.release(1)
        fleet.complete(1)
        for _ in range(20):
            fleet.turn()
        assert proxy.done["twice"] > 20
        with fleet.workspace.registry.reading() as session:
            windows = session.exec(select(ReportWindow)).all()
        keys = [(w.device_id, w.model, w.boot, w.sequence) for w in windows]
        assert len(keys) == len(set(keys)) > 3

    def test_flaky_devices_hold_no_rollout_up(
        self, start: Callable[..., RealFleet], proxy: MqttProxy
    ) -> None:
        flaky(start(30, device_url=proxy.url), proxy, versions=1)

    @pytest.mark.soak
    def test_a_hundred_flaky_devices_hold_no_rollout_up(
        self, start: Callable[..., RealFleet], proxy: MqttProxy
    ) -> None:
        flaky(start(100, device_url=proxy.url), proxy, versions=5)

    def test_a_device_that_was_away_for_weeks_takes_the_newest_only(
        self, start: Callable[..., RealFleet]
    ) -> None:
        fleet = start(3, chunk_grace_s=DAY)
        away = fleet.names[0]
        packages = {1: fleet.release(1, padded(seed=1))}
        fleet.complete(1)
        fleet.stop(away)
        for version in (2, 3, 4):
            fleet.clock.offset += 7 * DAY
            packages[version] = fleet.release(version, padded(seed=version))
            number = fleet.roll_out(version, patience="1s")
            fleet.until(lambda number=number: fleet.state(number) == "COMPLETED")
        known = {row.id for row in fleet.events(away)}

        def news() -> list:
            return [row for row in fleet.events(away) if row.id not in known]

        fleet.start(away)
        fleet.until(lambda: fleet.confirmed(packages[4]) == set(fleet.names))
        fleet.until(lambda: any(row.target == "CONFIRMED" for row in news()))
        assert {row.manifest for row in news() if row.manifest} == {packages[4].digest.hex()}
        assert fleet.ever_ran(2) == fleet.ever_ran(3) == {*fleet.names} - {away}


def flaky(fleet: RealFleet, proxy: MqttProxy, versions: int) -> None:
    """Roll versions out while at each turn a share of the connections is cut."""
    for version in range(1, versions + 1):
        package = fleet.release(version, padded(seed=version, size=20_000))
        number = fleet.roll_out(version, stages="1,20%,100%")

        def done(number: int = number) -> bool:
            proxy.cut(FLAKY)
            return fleet.state(number) == "COMPLETED"

        fleet.until(done)
        fleet.until(lambda package=package: fleet.confirmed(package) == set(fleet.names))
    assert proxy.done["cut"]
    fleet.check_slots()


class FullDisk:
    """Below one folder there is no room, as the kernel says it, while ``full``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self.refused = False, 0
        for name in ("fsync", "pwrite", "posix_fallocate"):
            monkeypatch.setattr(os, name, self._guarded(folder, getattr(os, name)))

    def _guarded(self, folder: Path, call: Callable) -> Callable:
        def guarded(handle: int, *rest: object) -> object:
            if self.full and os.readlink(f"/proc/self/fd/{handle}").startswith(f"{folder}/"):
                self.refused += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(handle, *rest)

        return guarded


class TestFullDisk:
    def test_of_a_device(self, start: Callable[..., RealFleet], monkeypatch: pytest.MonkeyPatch) -> None:
        fleet = start(2)
        old = fleet.release(1, padded(seed=1))
        fleet.complete(1)
        victim = fleet.names[0]
        disk = FullDisk(fleet.paths[victim].parent, monkeypatch)
        disk.full = True
        new = fleet.release(2, padded(seed=2))
        number = fleet.roll_out(2, gates=["install=off"])
        fleet.until(lambda: fleet.confirmed(new) == {fleet.names[1]})
        for _ in range(20):
            fleet.turn()
        assert disk.refused
        assert fleet.confirmed(old) == {victim}
        assert fleet.agents[victim].ready()
        disk.full = False
        fleet.until(lambda: fleet.state(number) == "COMPLETED" and fleet.confirmed(new) == set(fleet.names))
        fleet.check_slots()

    def test_of_the_control_plane(self, start: Callable[..., RealFleet]) -> None:
        fleet = start(2)
        fleet.release(1)
        fleet.complete(1)
        package = fleet.release(2, padded())
        engine = fleet.workspace.registry._engine
        full = True

        def limit(connection: Any, record: object, proxy: object) -> None:
            pages = 1 if full else 1 << 30  # SQLite takes a limit below the present size as the present size
            connection.execute(f"PRAGMA max_page_count = {pages}")

        def complaints() -> list[str]:
            return [line for line in fleet.told if "full" in line]

        engine.dispose()
        event.listen(engine, "checkout", limit)
        fleet.until(lambda: bool(complaints()))
        for _ in range(50):
            fleet.turn()
        assert len(complaints()) < 10  # once for each trouble, not at every turn
        full = False
        engine.dispose()
        number = fleet.roll_out(2)
        fleet.until(lambda: fleet.state(number) == "COMPLETED")
        assert fleet.confirmed(package) == set(fleet.names)
        with fleet.workspace.registry.reading() as session:
            assert session.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            windows = session.exec(select(ReportWindow)).all()
        for name in fleet.names:  # what waited for the disk has come
            numbers = sorted(w.sequence for w in windows if w.device_id == name)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
