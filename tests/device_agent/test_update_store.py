"""The update state on disk: read back as it was written, put aside where it is damaged, its counter never lower."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agent import update_store
from device_agent.update import UpdateState
from device_agent.update_store import DAMAGED, SECURITY_COUNTER, STATE, UpdateStore
from edgeops.core.codec import encode

STATE_OF_A_TRIAL = UpdateState("TRIAL", 4, b"1" * 32, None, b"2" * 32, 300, security_counter=7, trial_good=3)


class PowerCut(BaseException):
    """Nothing of ours catches this: as if the process were gone."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    UpdateStore(tmp_path).save(STATE_OF_A_TRIAL)
    return tmp_path


def test_the_state_comes_back_as_it_was_written(root: Path) -> None:
    assert UpdateStore(root).load() == (STATE_OF_A_TRIAL, None)
    assert UpdateStore(root / "empty").load() == (UpdateState(), None)


NO_STATE = [replace(STATE_OF_A_TRIAL, lifecycle="TRIAM"), replace(STATE_OF_A_TRIAL, candidate=None)]


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\xa1\x01\x00", bytes(5000), *map(encode, NO_STATE)], ids=len)
def test_a_damaged_state_is_put_aside_and_its_counter_is_kept(root: Path, raw: bytes) -> None:
    (root / STATE).write_bytes(raw)
    state, problem = UpdateStore(root).load()
    assert state == UpdateState(security_counter=7)
    assert problem is not None and problem.startswith("state.cbor is damaged")
    assert (root / DAMAGED).read_bytes() == raw
    assert not (root / STATE).exists()
    assert UpdateStore(root).load() == (UpdateState(security_counter=7), None)


@pytest.mark.parametrize("raw", [None, b"", b"6", b"6\n", b"x\n", b"9" * 40 + b"\n", b"-8\n"], ids=repr)
def test_the_counter_is_the_highest_that_either_file_knows(root: Path, raw: bytes | None) -> None:
    (root / SECURITY_COUNTER).unlink()
    if raw is not None:
        (root / SECURITY_COUNTER).write_bytes(raw)
    assert UpdateStore(root).load()[0].security_counter == 7
    (root / SECURITY_COUNTER).write_bytes(b"12\n")
    assert UpdateStore(root).load()[0].security_counter == 12


def test_what_is_lost_of_the_counter_is_written_again(root: Path) -> None:
    (root / SECURITY_COUNTER).unlink()
    store = UpdateStore(root)
    state, _ = store.load()
    store.save(replace(state, generation=5))
    (root / STATE).write_bytes(b"\xff")
    assert UpdateStore(root).load()[0].security_counter == 7


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_no_power_cut_leaves_a_lower_counter_even_if_it_spoils_the_state(
    root: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    real, left = update_store.write_atomic, [allowed]

    def write(path: Path, data: bytes) -> None:
        if not left[0]:
            raise PowerCut
        left[0] -= 1
        real(path, data)

    store = UpdateStore(root)
    store.load()
    confirmed = replace(STATE_OF_A_TRIAL, lifecycle="CONFIRMED", security_counter=9)
    with monkeypatch.context() as patched:
        patched.setattr(update_store, "write_atomic", write)
        try:
            store.save(confirmed)
        except PowerCut:
            assert allowed < 2
    state, _ = UpdateStore(root).load()
    assert state.security_counter == (9 if allowed else 7)
    assert state.lifecycle == ("CONFIRMED" if allowed == 2 else "TRIAL")
    (root / STATE).write_bytes(b"\xff")
    assert UpdateStore(root).load()[0].security_counter == state.security_counter
