"""The slots on disk: whatever is interrupted, the confirmed model stays whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.packages import TFLITE, Package, build

from device_agent import slots
from device_agent.running_model import open_model
from device_agent.slots import MANIFEST, SlotStore
from edgeops.core.errors import StorageError
from edgeops.core.manifest import blob_ref


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


def test_a_power_cut_while_a_slot_is_cleared_leaves_no_half_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest goes first: a slot that has one has all its blobs."""
    first, second, third = (build(n, tflite=TFLITE + bytes(n)) for n in (1, 2, 3))
    for allowed in range(20):
        store = SlotStore(tmp_path / str(allowed))
        stage(store, first, None)
        stage(store, second, first.digest)
        with monkeypatch.context() as patched:
            interrupted = cut_after(allowed, patched)
            try:
                stage(store, third, first.digest)
            except PowerCut:
                pass
        for package in (second, third):
            assert store.slot_of(package.digest) is None or opens(store, package), f"cut after {allowed}"
        if not interrupted():
            return
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

    patched.setattr(slots, "replace_file", counted(slots.replace_file))
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


def test_what_a_power_cut_left_half_written_is_swept(store: SlotStore, tmp_path: Path) -> None:
    torn = tmp_path / "tiny" / "incoming" / "abc" / ".x.part"
    torn.parent.mkdir(parents=True)
    torn.touch()
    store.sweep()
    assert not torn.exists()
    assert opens(store, FIRST)


def test_what_came_waits_until_it_is_dropped(store: SlotStore) -> None:
    store.keep(THIRD.digest.hex(), THIRD.envelope)
    store.keep("ab" * 32, b"other")
    assert store.manifest(THIRD.digest) == THIRD.envelope
    store.drop_incoming({THIRD.digest.hex()})
    assert store.manifest(THIRD.digest) == THIRD.envelope
    assert not store.incoming("ab" * 32).exists()
    store.drop_incoming()
    assert store.manifest(THIRD.digest) is None


def test_a_manifest_that_was_spoilt_on_its_way_is_not_believed(store: SlotStore) -> None:
    store.keep(THIRD.digest.hex(), THIRD.envelope[:-1])
    assert store.manifest(THIRD.digest) is None


def test_a_blob_that_was_fetched_moves_into_its_slot_and_one_of_the_other_slot_is_copied(
    store: SlotStore,
) -> None:
    model, plan = FIRST.manifest.artifacts[0].blob, FIRST.manifest.observe
    held = store.find(plan.sha256)
    assert held is not None
    came = store.keep(model.hex, FIRST.blobs[model.hex])
    vectors = FIRST.manifest.vectors.hex
    paths = {model.hex: came, plan.hex: held, vectors: FIRST.blobs[vectors]}
    slot = store.stage(THIRD.envelope, paths, FIRST.digest)
    assert not came.exists()
    assert (slot / model.hex).read_bytes() == FIRST.blobs[model.hex]
    (slot / plan.hex).write_bytes(b"junk")  # a copy: the kept model has its own
    assert opens(store, FIRST)


def test_what_staging_needs_of_the_disk_is_each_blob_once_less_what_it_has_taken(store: SlotStore) -> None:
    big, _ = blob_ref(bytes(1000), 256)
    small, _ = blob_ref(b"x" * 100, 256)
    assert store.needed_bytes([big, small, small]) == 1000 + 4 * 32 + 100
    store.keep(small.hex, b"x" * 100)
    assert store.needed_bytes([big, small]) == 1000 + 4 * 32
