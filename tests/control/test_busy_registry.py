"""A registry that cannot be written for a while, and a fleet that says more than one batch holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_fleet import ScriptedFleet

from edgeops.control import serve
from edgeops.control.unwritten import worth_keeping
from edgeops.core import topics
from edgeops.core.errors import StorageError
from edgeops.core.topics import RETAINED_BY_DEVICE, Kind
from edgeops.core.transport import Received
from edgeops.registry.store import Registry

MINUTE = 60


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    def refuse(self: Registry) -> None:
        raise StorageError("disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(Registry, "session", refuse)
        yield disk


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serve, "BATCH", 10)
    made = ScriptedFleet(tmp_path / "fleet", 30)
    made.release(1)
    made.run(1)
    made.release(2)
    yield made
    made.close()


class TestFullDisk:
    """While nothing can be written devices go on speaking, and their silence is not theirs."""

    def test_nobody_counts_as_silent_for_it(
        self, fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = fleet.start(2, stages="15,100%", soak="1h", patience="60s")
        fleet.turn(6)
        assert fleet.state(number) == "SOAKING"
        with full_disk(monkeypatch) as disk:
            disk.setattr(serve, "BATCH", 40)
            disk.setattr(serve, "MAX_KEPT", 10)
            fleet.turn(2 * MINUTE)
        fleet.clock.sleep(1)
        fleet.plane.step(0.0)  # before most of them have said anything again
        fleet.turn(3)
        assert (fleet.state(number), fleet.row(number).reason) == ("SOAKING", None)
        for name in fleet.runs(2):  # and who is silent from then on is still found
            fleet.devices[name].online = False
        fleet.turn(2 * MINUTE)
        assert fleet.state(number) == "HELD"

    def test_states_that_had_no_room_are_heard_again(
        self, fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(serve, "MAX_KEPT", 20)
        number = fleet.start(2, stages="100%", soak="1s", patience="60s")
        fleet.clock.sleep(1)
        fleet.plane.step(0.0)
        fleet.plane.step(0.0)
        with full_disk(monkeypatch):
            fleet.turn(20)
        fleet.turn(10)
        assert (fleet.state(number), set(fleet.deployments(number).values())) == ("COMPLETED", {"confirmed"})

    @given(
        kinds=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(serve.LISTENED)), max_size=30),
        first=st.integers(0, 10),
        most=st.integers(0, 40),
    )
    def test_what_waits_is_what_nobody_sends_twice(
        self, kinds: list[tuple[str, Kind]], first: int, most: int
    ) -> None:
        came = [
            Received(topics.device("farm", device, kind), bytes([number]))
            for number, (device, kind) in enumerate(kinds)
        ]
        kept = worth_keeping(came, first, most)
        assert len(kept) <= most
        assert kept == [message for message in came if message in kept]  # in their order
        retained = {topics.device("farm", d, kind) for d in "ab" for kind in RETAINED_BY_DEVICE}
        newest = {message.topic: message for message in came}
        assert all(newest[message.topic] is message for message in kept if message.topic in retained)
        if most >= len(came):
            others = [m for m in came if m.topic not in retained and not m.topic.endswith("/report")]
            assert [m for m in others if m not in kept] == []
            assert {m.topic for m in kept} >= retained & newest.keys()
            assert all(m in kept for m in came[:first] if m.topic.endswith("/report"))


class TestManyMessages:
    """A decision comes after all that was said, and leaves time for what is said next."""

    def test_all_batches_are_taken_before_anything_is_decided(
        self, fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        take = fleet.plane._take
        monkeypatch.setattr(
            fleet.plane, "_take", lambda batch, now: sizes.append(len(batch)) or take(batch, now)
        )
        monkeypatch.setattr(fleet.plane, "_decide", lambda now: sizes.append(0))
        for device in fleet.devices.values():
            device.say_state()
        fleet.clock.sleep(1)
        fleet.plane.step(0.0)
        assert sizes == [10, 10, 10, 0]

    def test_a_flood_that_does_not_end_does_not_keep_it_from_deciding(
        self, fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decided: list[float] = []
        take = fleet.plane._take

        def endless(batch: list[Received], now: float) -> bool:
            fleet.clock.sleep(1)
            for device in fleet.devices.values():
                device.say_state()
            return take(batch, now)

        monkeypatch.setattr(fleet.plane, "_take", endless)
        monkeypatch.setattr(fleet.plane, "_decide", decided.append)
        fleet.devices["cam-00"].say_state()
        fleet.plane.step(0.0)
        fleet.plane.step(0.0)
        assert len(decided) == 2

    @pytest.mark.parametrize(("takes", "rests"), [(0.0, 0.25), (2.0, 10.0), (9.0, 30.0)])
    def test_it_rests_five_times_as_long_as_a_decision_took(
        self, fleet: ScriptedFleet, monkeypatch: pytest.MonkeyPatch, takes: float, rests: float
    ) -> None:
        decided: list[float] = []

        def slow(now: float) -> None:
            decided.append(now)
            fleet.clock.sleep(takes)

        monkeypatch.setattr(fleet.plane, "_decide", slow)
        while len(decided) < 3:
            fleet.plane.step(0.0)
            fleet.clock.sleep(0.05)
        gaps = [later - earlier for earlier, later in pairwise(decided)]
        assert gaps == pytest.approx([takes + rests] * 2, abs=0.11)
