"""The slots on disk: whatever is interrupted, the confirmed model stays whole."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from support.packages import Package, build

from device_agent import slots
from device_agent.running_model import open_model
from device_agent.slots import MANIFEST, SlotStore
from device_agent.update import UpdateState
from edgeops.core.errors import StorageError


class PowerCut(BaseException):
    """Nothing of ours catches this: as if the process were gone."""


FIRST, SECOND, THIRD = build(1), build(2), build(3)


def stage(store: SlotStore, package: Package, keep: bytes | None) -> Path:
    return store.stage(package.envelope, package.blobs, keep)


def opens(store: SlotStore, package: Package) -> bool:
    try:
        return open_model(store, package.digest, "linux", None).manifest == package.manifest
    except StorageError:
        return False


@pytest.fixture
def store(tmp_path: Path) -> SlotStore:
    store = SlotStore(tmp_path / "tiny")
    stage(store, FIRST, None)
    stage(store, SECOND, FIRST.digest)
    return store


def test_two_models_lie_side_by_side(store: SlotStore) -> None:
    assert opens(store, FIRST)
    assert opens(store, SECOND)
    assert store.slot_of(FIRST.digest) != store.slot_of(SECOND.digest)
    assert store.slot_of(THIRD.digest) is None
    assert store.manifest(SECOND.digest) == SECOND.envelope


@pytest.mark.parametrize(("keep", "gone"), [(FIRST, SECOND), (SECOND, FIRST)], ids=["first", "second"])
def test_a_third_takes_the_place_of_the_one_that_is_not_kept(
    store: SlotStore, keep: Package, gone: Package
) -> None:
    slot = stage(store, THIRD, keep.digest)
    assert opens(store, THIRD)
    assert opens(store, keep)
    assert not opens(store, gone)
    assert {path.name for path in slot.iterdir()} == {MANIFEST, *THIRD.blobs}


@pytest.mark.parametrize("keep", [FIRST, SECOND], ids=["first", "second"])
def test_a_power_cut_between_any_two_file_operations_leaves_the_kept_model_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Package
) -> None:
    for allowed in range(20):
        root = tmp_path / str(allowed)
        store = SlotStore(root)
        stage(store, FIRST, None)
        stage(store, SECOND, FIRST.digest)
        with monkeypatch.context() as patched:
            interrupted = cut_after(allowed, patched)
            try:
                stage(store, THIRD, keep.digest)
            except PowerCut:
                pass
        again = SlotStore(root)
        assert opens(again, keep), f"cut after {allowed} operations"
        assert again.slot_of(THIRD.digest) is None or opens(again, THIRD)
        # and the next start can do it all again
        stage(again, THIRD, keep.digest)
        assert opens(again, THIRD)
        assert opens(again, keep)
        if not interrupted():
            assert allowed > 3  # every step was cut at least once
            return
        shutil.rmtree(root)
    raise AssertionError("staging never ended")


def cut_after(allowed: int, patched: pytest.MonkeyPatch):
    """Let so many file operations through, then cut the power before the next."""
    done = 0
    cut = False

    def counted(operation):
        def wrapper(*args, **kwargs):
            nonlocal done, cut
            if done >= allowed:
                cut = True
                raise PowerCut
            done += 1
            return operation(*args, **kwargs)

        return wrapper

    patched.setattr(slots, "write_atomic", counted(slots.write_atomic))
    patched.setattr(Path, "unlink", counted(Path.unlink))
    return lambda: cut


def test_a_file_that_was_altered_is_not_believed(store: SlotStore) -> None:
    slot = store.slot_of(FIRST.digest)
    assert slot is not None
    blob = FIRST.manifest.artifacts[0].blob
    (slot / blob.hex).write_bytes(b"junk")
    assert not store.holds(FIRST.digest, FIRST.blobs)
    assert store.blob(blob) is not None  # the other slot has the same bytes
    other = store.slot_of(SECOND.digest)
    assert other is not None
    (other / blob.hex).write_bytes(b"junk")
    assert store.blob(blob) is None
    (slot / MANIFEST).write_bytes(FIRST.envelope[:-1])
    assert store.slot_of(FIRST.digest) is None


def test_the_state_comes_back_as_it_was_written(store: SlotStore) -> None:
    assert store.load_state() == UpdateState()
    state = UpdateState("TRIAL", 4, FIRST.digest, None, SECOND.digest, 300, trial_good=3)
    store.save_state(state)
    assert store.load_state() == state


def test_a_damaged_state_is_named_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "state.cbor").write_bytes(b"\xff")
    with pytest.raises(StorageError, match=r"state\.cbor is damaged") as caught:
        SlotStore(tmp_path).load_state()
    assert caught.value.fix is not None


def test_what_a_power_cut_left_half_written_is_swept(store: SlotStore, tmp_path: Path) -> None:
    torn = tmp_path / "tiny" / "incoming" / "abc" / ".x.part"
    torn.parent.mkdir(parents=True)
    torn.touch()
    store.load_state()
    assert not torn.exists()
    assert opens(store, FIRST)


def test_chunks_wait_until_they_are_dropped(store: SlotStore) -> None:
    (name, index), data = next(iter(FIRST.chunks.items()))
    digest = hashlib.sha256(data).digest()
    store.store_chunk(name, index, data)
    assert store.chunk(name, index, digest) == data
    assert store.chunk(name, index, bytes(32)) is None
    store.drop_incoming()
    assert store.chunk(name, index, digest) is None
