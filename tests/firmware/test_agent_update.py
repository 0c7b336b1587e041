"""The update machine in C takes the same steps as ``device_agent.update``, from the same table."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from device_agent.update import (
    Action,
    Begin,
    Closed,
    Damaged,
    DropCandidate,
    Inferred,
    Offer,
    Progressed,
    Refused,
    Restarted,
    RetryDue,
    RetryIn,
    Shadowed,
    Transition,
    UpdateEvent,
    UpdateState,
    Waited,
    step,
)
from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import UPDATE
from edgeops.core.manifest import Trial

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_stubs"
DIGESTS = "ABC"
PROGRESS = ("accepted", "complete", "damaged", "verified", "shadow", "activated", "restored")
REASONS = (
    "the disk is full",
    "x" * 300,
    "x" + "ä" * 120,  # its limit lies within a letter
    "x" * 110 + "ä" * 20,  # and so does that of a reason with an ending
)


def test_the_table_in_c_is_the_table() -> None:
    """What is committed is what the script writes today."""
    script = FIRMWARE / "tools" / "generate_lifecycle.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_messages_of_the_c_tests_are_current() -> None:
    """What ``tests/vectors/generate_update.py`` writes today; in a process of its own: its folder is no package."""
    vectors = FIRMWARE.parent / "tests" / "vectors"
    code = "import generate_update as g; raise SystemExit(g.FILE.read_bytes() != g.content())"
    folders = os.pathsep.join(map(str, (FIRMWARE.parent, FIRMWARE.parent / "tests", vectors)))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": folders})


def test_every_row_is_in_the_header_and_no_other() -> None:
    """Read independently of the script that wrote it."""
    header = (FIRMWARE / "src" / "agent" / "lifecycle_table.h").read_text()
    rows = header.split("ROWS(X)")[1].replace("\\", "").split("#endif")[0]
    found = {tuple(row.strip(" X()").split(", ")) for row in rows.strip().splitlines()}
    assert found == {(state, event, target) for (state, event), target in UPDATE.transitions.items()}


class Driver:
    """Makes up events that a device may meet, most of them sensible, and writes them as the tool reads them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.attempt = 0
        self.generation = 0

    def event(self, state: UpdateState) -> tuple[UpdateEvent, str]:
        """The next event, for the Python machine and as a line."""
        made = self.random.random()
        if made < 0.22:
            return self._offer()
        if made < 0.62:
            return self._likely(state)
        if made < 0.70:
            name = self.random.choice(PROGRESS)
            return Progressed(name), f"progressed {name}"
        if made < 0.80:
            name = self.random.choice(("failed", "failed", "rejected", "unhealthy"))
            reason = self.random.choice(REASONS)
            return Refused(name, reason), f"refused {name} {reason}"
        if made < 0.86:
            digest = self.random.choice(DIGESTS)
            return Damaged(_digest(digest) or b""), f"damaged {digest}"
        return self.random.choice(
            [(Restarted(), "restarted"), (Closed(), "closed"), (RetryDue(), "retry_due")]
        )

    def _offer(self) -> tuple[UpdateEvent, str]:
        self.generation += 1
        self.attempt += self.random.random() < 0.2
        name = self.random.choice(DIGESTS + "-")
        size, shadow = self.random.randrange(2000), self.random.choice((0, 0, 3))
        offer = Offer(_digest(name), size, self.generation, self.attempt, shadow)
        return offer, f"offer {name} {size} {self.generation} {self.attempt} {shadow}"

    def _likely(self, state: UpdateState) -> tuple[UpdateEvent, str]:
        following = {
            "OFFERED": "restored" if state.restoring else "accepted",
            "DOWNLOADING": "complete",
            "VERIFYING": "verified",
            "STAGED": "shadow" if state.shadow else "activated",
        }
        if state.lifecycle in following:
            return Progressed(following[state.lifecycle]), f"progressed {following[state.lifecycle]}"
        if state.lifecycle == "SHADOWING":
            seen, errors = self.random.randrange(5), self.random.randrange(4)
            return Shadowed(seen, errors, 2), f"shadowed {seen} {errors} 2"
        ok, elapsed = self.random.random() < 0.8, self.random.choice((0, 4000, 5000))
        trial, counter = (
            Trial(self.random.randrange(4), 1, self.random.choice((0, 5))),
            self.random.randrange(9),
        )
        numbers = f"{trial.inferences} {trial.max_errors} {trial.seconds} {counter} {elapsed}"
        if self.random.random() < 0.7:
            return Inferred(ok, trial, counter, elapsed), f"inferred {int(ok)} {numbers}"
        return Waited(trial, counter, elapsed), f"waited 0 {numbers}"


def _digest(letter: str) -> bytes | None:
    return None if letter == "-" else letter.encode() * 32


def _letter(digest: bytes | None) -> str:
    return "-" if digest is None else chr(digest[0])


def _shown(state: UpdateState, actions: list[Action], refused: bool) -> str:
    s = state
    digests = " ".join(map(_letter, (s.confirmed, s.previous, s.candidate, s.refused)))
    numbers = (
        *(s.candidate_bytes, s.security_counter, s.trial_good, s.trial_errors, s.trial_boots),
        *(s.attempts, int(s.retry), s.shadow, s.attempt),
    )
    parts = [
        f"{'refused' if refused else s.lifecycle} {s.generation} {digests} {' '.join(map(str, numbers))}"
    ]
    parts.append(f"[{s.reason or ''}]")
    for action in actions:
        match action:
            case Transition(source, event, target, manifest, reason):
                parts.append(f"{source}/{event}/{target}/{_letter(manifest)}/{reason or ''}")
            case Begin(lifecycle):
                parts.append(f"begin:{lifecycle}")
            case DropCandidate():
                parts.append("drop")
            case RetryIn(milliseconds):
                parts.append(f"retry:{milliseconds}")
    return " ".join(parts)


@pytest.mark.parametrize("seed", range(4))
def test_random_lives_go_the_same_way(host_build: Path, seed: int) -> None:
    """Five hundred devices, sixty events each: states, actions and refusals are the same, to the letter."""
    driver = Driver(seed)
    lines: list[str] = []
    expected: list[str] = []
    seen: set[str] = set()
    for _ in range(125):
        state = UpdateState()
        driver.attempt = driver.generation = 0
        lines.append("begin")
        for _ in range(60):
            event, line = driver.event(state)
            lines.append(line)
            try:
                state, actions = step(state, event)
                expected.append(_shown(state, actions, refused=False))
            except LifecycleError:
                expected.append(_shown(state, [], refused=True))
            seen.add(state.lifecycle)
    done = subprocess.run(
        [host_build / "run_update"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True
    )
    found = done.stdout.splitlines()
    events = [line for line in lines if line != "begin"]
    assert len(found) == len(expected)
    for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        assert mine == theirs, f"after {events[max(0, number - 8) : number + 1]}"
    assert seen == UPDATE.states  # nothing was left out
