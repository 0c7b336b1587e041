"""The control plane, killed between any two of its writes: after a restart the outcome is the one without the kill.

A write is a commit of the registry or a message to the broker; the crash points are named by the write that they stand
before or behind, in the order in which an undisturbed run makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlmodel import Session
from support.scripted_fleet import Behaviour, ScriptedFleet

from edgeops.core.transport import MemoryTransport

TURNS = 12
EVERY = 5  # the short form looks at each fifth crash point; the soak at all of them


class Killed(BaseException):
    """Nothing may catch this."""


@dataclass
class Killer:
    """Ends the process, as far as its writes go, at one of them."""

    at: int = 0
    behind: bool = False
    armed: bool = False
    writes: int = 0

    def write(self, make: Callable[[], None]) -> None:
        if not self.armed:
            make()
            return
        self.writes += 1
        if self.writes != self.at:
            make()
            return
        if self.behind:
            make()
        self.armed = False
        raise Killed


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Killer]:
    made = Killer()
    commit, publish = Session.commit, MemoryTransport.publish

    def killing_commit(self: Session) -> None:
        writing = bool(self.new or self.dirty or self.deleted) or self.in_transaction()
        if writing:
            made.write(lambda: commit(self))
        else:
            commit(self)

    def killing_publish(self: MemoryTransport, topic: str, payload: bytes, *, retain: bool = False) -> None:
        made.write(lambda: publish(self, topic, payload, retain=retain))

    monkeypatch.setattr(Session, "commit", killing_commit)
    monkeypatch.setattr(MemoryTransport, "publish", killing_publish)
    yield made


def live(fleet: ScriptedFleet, killer: Killer) -> None:
    """Turns, with the control plane armed; where it is killed, another one takes its place."""
    for _ in range(TURNS):
        fleet.clock.sleep(1.0)
        for device in fleet.devices.values():
            device.turn()
        try:
            killer.armed = killer.at > 0
            fleet.plane.step(0.0)
        except Killed:
            killer.at = 0
            fleet.plane._transport.close()
            fleet.plane = fleet.start_plane()
        finally:
            killer.armed = False


def outcome(fleet: ScriptedFleet, rollout: int) -> dict[str, object]:
    """What must not depend on the kill: states, what each device was made to do, the audit trail."""
    return {
        "state": fleet.state(rollout),
        "deployments": Counter(fleet.deployments(rollout).values()),
        "tried": {
            name: [fleet.packages[manifest].manifest.version for manifest in device.seen]
            for name, device in fleet.devices.items()
        },
        "runs": {version: len(fleet.runs(version)) for version in fleet.behaviours},
        "audit": [(entry.actor, entry.action) for entry in fleet.audit(rollout)],
    }


def play(folder: Path, killer: Killer, bad: bool, at: int, behind: bool) -> tuple[dict[str, object], int]:
    """A rollout of a second version, good or bad, with one kill; its outcome and how many writes there were."""
    killer.at, killer.armed = 0, False
    fleet = ScriptedFleet(folder, 3)
    quiet = Behaviour(falls_silent=True)  # its reports would only add writes
    fleet.release(1, quiet)
    fleet.run(1)
    fleet.release(2, Behaviour("ROLLED_BACK", "no") if bad else quiet)
    number = fleet.start(2, stages="1,100%", gates=["rollbacks=0:roll_back"])
    killer.at, killer.behind, killer.writes = at, behind, 0
    if not at:
        killer.at = 10**9  # only count
    live(fleet, killer)
    found = outcome(fleet, number)
    fleet.close()
    return found, killer.writes


def every_crash_point(tmp_path: Path, killer: Killer, bad: bool, step: int) -> None:
    undisturbed, writes = play(tmp_path / "undisturbed", killer, bad, 0, False)
    assert undisturbed["state"] == ("ROLLED_BACK" if bad else "COMPLETED")
    assert writes > 20
    for at in range(1, writes + 1, step):
        for behind in (False, True):
            found, _ = play(tmp_path / f"{at}-{behind}", killer, bad, at, behind)
            where = f"killed {'behind' if behind else 'before'} write {at} of {writes}"
            assert found == undisturbed, where


@pytest.mark.parametrize("bad", [False, True], ids=["a good version", "a bad version"])
def test_a_kill_between_two_writes_changes_nothing(tmp_path: Path, killer: Killer, bad: bool) -> None:
    every_crash_point(tmp_path, killer, bad, EVERY)


@pytest.mark.soak
@pytest.mark.parametrize("bad", [False, True], ids=["a good version", "a bad version"])
def test_a_kill_between_any_two_writes_changes_nothing(tmp_path: Path, killer: Killer, bad: bool) -> None:
    every_crash_point(tmp_path, killer, bad, 1)


def test_the_killer_ends_a_plane(tmp_path: Path, killer: Killer) -> None:
    fleet = ScriptedFleet(tmp_path / "fleet", 1)
    fleet.release(1)
    fleet.start(1)
    killer.at, killer.armed = 1, True
    with pytest.raises(Killed):
        fleet.plane.step(0.0)
    fleet.close()
