"""A real agent, SIGKILLed at every state of its updates and at random moments, against a real Mosquitto.

After each kill the disk is judged, and after each start the agent: a model that ran before or a confirmed new one,
never a half slot, never a lower security counter.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.killed_agent import CRASH, START, Ended, Harness, Order, RealBroker
from support.packages import MODEL, TFLITE, Control, Package, build, enrol, self_test

from device_agent.running_model import open_tested, read_manifest
from device_agent.slots import MANIFEST, SlotStore
from device_agent.update import UpdateState
from device_agent.update_store import UpdateStore
from edgeops.control.broker import PrivateBroker
from edgeops.core.manifest import Trial
from edgeops.core.messages import DesiredModel

pytest.importorskip("ai_edge_litert")
pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.e2e]

MOMENTS = {
    **{
        START: 12,
        "OFFERED": 12,
        "DOWNLOADING": 30,
        "VERIFYING": 25,
        "STAGED": 4,
        "SHADOWING": 8,
        "TRIAL": 10,
    },
    **{"CONFIRMED": 25, "REJECTED": 6, "SUPERSEDED": 4},
}
"""States in which a run is cut, and up to which moment of each."""


@dataclass
class Lab:
    """A device on a real broker, and what its disk must say after each cut."""

    folder: Path
    url: str
    harness: Harness
    broker: RealBroker = field(init=False)
    before: UpdateState = field(init=False)
    wanted: Package = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is wanted and nothing runs yet."""
        enrol(self.folder)
        self.broker = RealBroker(self.url)
        self.control = Control(self.broker)  # type: ignore[arg-type]
        self.root = self.folder / "data" / "models" / MODEL
        self.before = UpdateState()
        self.versions: dict[bytes, Package] = {}

    def want(self, package: Package, shadow: int = 0, spoilt: bool = False) -> None:
        """Publish a package and desire it; a spoilt one must never run."""
        self.versions[package.digest] = self.wanted = package
        self.spoilt = spoilt
        self.control.publish(package)
        wanted = DesiredModel(package.digest, len(package.envelope), shadow_inferences=shadow)
        self.control.desire(package, models={MODEL: wanted})
        self.broker.settle()

    def run(self, kill_after_s: float | None = None, **order: object) -> Ended:
        """One life of the agent, and the judgement of what it left."""
        given = Order(str(self.folder), self.url, self.control.generation, **order)  # type: ignore[arg-type]
        ended = self.harness.run(given, kill_after_s)
        self.judge(ended)
        return ended

    def judge(self, ended: Ended) -> None:
        """What ran before or a confirmed new one; no half slot; no lower counter."""
        assert ended.status in (0, -signal.SIGKILL)
        before, wanted = self.before, self.wanted.digest
        if ended.answered and before.confirmed is not None:
            allowed = {self.version(before.confirmed)}
            if not self.spoilt and before.refused != wanted:
                allowed.add(self.version(wanted))  # restored at once, or in its trial
            assert ended.version in allowed
        after, problem = UpdateStore(self.root).load()
        assert problem is None
        assert after.confirmed == before.confirmed or (after.confirmed == wanted and not self.spoilt)
        assert after.confirmed is not None or before.confirmed is None
        assert before.security_counter <= after.security_counter
        counter = self.wanted.manifest.security_counter
        assert after.security_counter <= max(before.security_counter, counter)
        if after.confirmed is not None:
            assert open_tested(SlotStore(self.root), after.confirmed, "linux", None)
            assert after.security_counter >= self.versions[after.confirmed].manifest.security_counter
        self.judge_slots()
        self.before = after

    def judge_slots(self) -> None:
        """A slot that names a version holds all of it."""
        store = SlotStore(self.root)
        for digest in self.versions:
            slot = store.slot_of(digest)
            if slot is not None:
                manifest = read_manifest(store, digest)
                refs = (manifest.artifacts[0].blob, manifest.observe, manifest.vectors)
                assert store.holds(digest, [ref.hex for ref in refs]), f"{slot.name} is half a slot"
        for slot in self.root.glob(f"slot-*/{MANIFEST}"):
            assert any(slot.read_bytes() == package.envelope for package in self.versions.values())

    def version(self, digest: bytes) -> int:
        return self.versions[digest].manifest.version

    @property
    def settled(self) -> bool:
        """Whether the device has taken what is wanted, or refuses it."""
        return self.wanted.digest in (self.before.confirmed, self.before.refused)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with PrivateBroker(kind="mosquitto") as broker:
        yield broker.url


@pytest.fixture
def lab(tmp_path: Path, url: str) -> Iterator[Lab]:
    with Harness() as harness:
        lab = Lab(tmp_path / "device", url, harness)
        yield lab
        lab.broker.close()


def version(number: int, seed: random.Random, **options: object) -> Package:
    """A version with bytes of its own; three in a row share a security counter."""
    tflite = TFLITE + seed.randbytes(6_000)
    return build(number, tflite=tflite, security_counter=number // 3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("runs", "seed"), [(40, 4), pytest.param(500, 7, marks=pytest.mark.soak)], ids=["40", "500"]
)
def test_a_kill_at_any_moment_of_an_update_leaves_a_model_that_ran_before_or_a_confirmed_new_one(
    lab: Lab, runs: int, seed: int
) -> None:
    chance, number = random.Random(seed), 1
    lab.want(version(number, chance))
    lab.run(end=True)
    cut_in: set[str] = set()
    for run in range(runs):
        if run == 0 or lab.settled:
            back = lab.before.previous
            if back is not None and chance.random() < 0.3:
                lab.want(lab.versions[back])  # a rollback on command
            else:
                number += 1
                spoilt = chance.random() < 0.15
                vectors = self_test(flip=spoilt)
                lab.want(version(number, chance, vectors=vectors), chance.choice([0, 4]), spoilt)
        state = [*MOMENTS, None][run % (len(MOMENTS) + 1)]
        if state is None:
            lab.run(kill_after_s=chance.uniform(0, 0.4))
        else:
            lab.run(state=state, moment=chance.randrange(MOMENTS[state]))
        cut_in.add(lab.before.lifecycle)
        if state in ("OFFERED", "DOWNLOADING") and not lab.settled:
            cut_in.add(state)  # not written down: the desired state tells it again
    assert {"OFFERED", "DOWNLOADING", "VERIFYING", "TRIAL", "CONFIRMED"} <= cut_in
    for _ in range(4):
        if not lab.settled:  # what was wanted last is on disk, and is still gone back to first
            lab.run(end=True)
    lab.want(version(number + 3, chance))
    for _ in range(3):
        lab.run(end=True)
    assert (lab.before.lifecycle, lab.before.confirmed) == ("CONFIRMED", lab.wanted.digest)


@pytest.mark.parametrize(
    ("crash_at", "shadow", "target", "reason"),
    [
        # Four inferences are the self-test's.
        (1, 0, "REJECTED", "the agent did not survive opening it"),
        (7, 0, "ROLLED_BACK", "the agent did not survive its trial"),
        (7, 20, "ROLLED_BACK", "the agent did not survive its run beside the active model"),
    ],
    ids=["self-test", "trial", "shadow"],
)
def test_a_model_that_takes_the_process_with_it_is_given_up_after_a_few_starts(
    lab: Lab, crash_at: int, shadow: int, target: str, reason: str
) -> None:
    lab.want(first := build(1))
    lab.run(end=True)
    assert lab.before.confirmed == first.digest
    lab.want(build(2, tflite=TFLITE + CRASH, trial=Trial(inferences=20, max_errors=1)), shadow)
    lives = [lab.run(end=True, crash_at=crash_at).status]
    while lives[-1] != 0:
        assert len(lives) < 6
        lives.append(lab.run(end=True, crash_at=crash_at).status)
    assert set(lives[:-1]) == {-signal.SIGKILL}
    assert (lab.before.lifecycle, lab.before.reason) == (target, reason)
    assert (lab.before.confirmed, lab.before.refused) == (first.digest, lab.wanted.digest)
    ended = lab.run(end=True, crash_at=crash_at)
    assert (ended.status, ended.version) == (0, 1)
