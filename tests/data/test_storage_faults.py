"""Writing a version while the power fails, the disk fills up or another process writes: whole, or not there."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sources import images, tar

from edgeops.core.errors import DataError, EdgeOpsError, StorageError
from edgeops.data import storage
from edgeops.data.dataset import Dataset, load, new_dataset, save
from edgeops.data.ingest import ingest
from edgeops.data.items import Items, item_digest, item_digests
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Request
from edgeops.data.readers.tree import FileTree
from edgeops.data.spool import Spool

LIMIT = 64 << 10

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from edgeops.data import storage
from edgeops.data.dataset import new_dataset, save
from edgeops.data.items import Items
folder, step, nth = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0
def killed(*args, **kwargs):
    global calls
    calls += 1
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
owner = os if step in ("rename", "fsync") else storage
real = getattr(owner, step)
setattr(owner, step, killed)
inputs = np.arange(30 * 16, dtype=np.float32).reshape(30, 4, 4)
save(new_dataset("d", Items(inputs, np.arange(30) % 3, ("a", "b", "c"), (), "image")), folder)
"""


def numbered(seed: int = 0, count: int = 30) -> Dataset:
    inputs = np.random.default_rng(seed).normal(size=(count, 4, 4)).astype(np.float32)
    return new_dataset("d", Items(inputs, np.arange(count) % 3, ("a", "b", "c"), (), "image"))


def kill(folder: Path, step: str, nth: int = 1) -> None:
    command = [sys.executable, "-c", KILLED, str(folder), step, str(nth)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("step", "nth"),
    [("_write_values", 1), ("fsync", 1), ("_arrays_of", 1), ("fsync", 2), ("_description", 1), ("rename", 1)],
)
def test_killed_anywhere_there_is_no_half_version_and_the_next_writer_cleans_up(
    tmp_path: Path, step: str, nth: int
) -> None:
    kill(tmp_path / "1", step, nth)
    assert [name for name in left(tmp_path) if not name.startswith(".")] == []
    save(numbered(), tmp_path / "1")
    assert left(tmp_path) == ["1"]
    assert load(tmp_path / "1").sha256 == numbered().sha256


@pytest.mark.parametrize("nth", [1, 2])
def test_killed_while_it_replaces_the_version_that_was_there_comes_back(tmp_path: Path, nth: int) -> None:
    save(numbered(1), tmp_path / "1")
    kill(tmp_path / "1", "rename", nth)
    save(numbered(2), tmp_path / "2")
    assert left(tmp_path) == ["1", "2"]
    assert load(tmp_path / "1").sha256 == numbered(1).sha256


def test_what_another_process_is_writing_is_not_taken_for_a_leftover(tmp_path: Path) -> None:
    inner = numbered(2)

    def items() -> object:
        for number, item in enumerate(numbered(1).inputs):
            if number == 10:
                save(inner, tmp_path / "2")
            yield item

    storage.write_version(numbered(1).index, items(), tmp_path / "1")  # type: ignore[arg-type]
    assert left(tmp_path) == ["1", "2"]
    assert load(tmp_path / "1").sha256 == numbered(1).sha256


def test_where_the_new_one_cannot_be_put_in_place_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(numbered(1), tmp_path / "1")
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if str(source).endswith(".part"):
            raise OSError(errno.EIO, "input/output error")
        real(source, target)

    with monkeypatch.context() as patched, pytest.raises(StorageError, match="input/output error"):
        patched.setattr(os, "rename", rename)
        save(numbered(2), tmp_path / "1")
    assert left(tmp_path) == ["1"]
    assert load(tmp_path / "1").sha256 == numbered(1).sha256


class TestAFullDisk:
    @pytest.fixture(autouse=True)
    def full(self) -> object:
        """No file may grow beyond a size: the system's own refusal, in the middle of a write."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    @pytest.mark.parametrize("size", [1000, 50_000])
    def test_what_is_gathered_says_so_and_nothing_else(self, tmp_path: Path, size: int) -> None:
        item = np.zeros(size, np.uint8)
        with pytest.raises(StorageError, match="cannot write in .*large") as caught, Spool(tmp_path) as spool:
            for _ in range(100):
                spool.add(item)
        assert "free disk space" in str(caught.value.fix)
        assert left(tmp_path) == []

    def test_what_is_noticed_late_says_so_too(self, tmp_path: Path) -> None:
        """The last of it is in a buffer, and is written when something is read."""
        with pytest.raises(StorageError), Spool(tmp_path) as spool:
            spool.add(np.zeros(LIMIT - 100, np.uint8))
            place = spool.add(np.zeros(200, np.uint8))
            spool.read(place, (200,), np.dtype(np.uint8))

    def test_a_version_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="cannot write"):
            save(numbered(count=2000), tmp_path / "1")
        assert left(tmp_path) == []

    def test_an_archive_that_cannot_be_unpacked_is_not_to_blame(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "a").mkdir(parents=True)
        (tmp_path / "in" / "a" / "x.bin").write_bytes(bytes(LIMIT - 1000))
        (tmp_path / "in" / "a" / "y.bin").write_bytes(bytes(LIMIT - 1000))
        source = tar(tmp_path / "in.tar.gz", tmp_path / "in")
        with pytest.raises(StorageError, match="cannot unpack into") as caught:
            FileTree(source)
        assert "TMPDIR" in str(caught.value.fix)

    def test_nor_is_what_was_to_be_ingested(self, tmp_path: Path) -> None:
        root = images(tmp_path / "in")
        reader, _ = open_source(str(root), Request(size=(64, 64)))
        with pytest.raises(StorageError):
            ingest(reader, tmp_path / "set" / "1", "set", 1)
        assert left(tmp_path) == ["in"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("d") / "1"
    save(numbered(), folder)
    return folder


@settings(max_examples=150)
@given(data=st.data(), value=JSON)
def test_a_description_that_was_edited_is_one_clear_error(
    stored: Path, data: st.DataObject, value: object
) -> None:
    path = stored / "dataset.json"
    whole = path.read_text()
    description = json.loads(whole)
    description[data.draw(st.sampled_from(sorted(description)))] = value
    path.write_text(json.dumps(description))
    try:
        load(stored)
    except EdgeOpsError as error:
        assert str(stored) in error.message or "dataset" in error.message
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"version": 1e400}', '{"format": "edgeops-dataset-2"}'])
def test_so_is_one_that_is_not_a_description(stored: Path, content: str) -> None:
    path = stored / "dataset.json"
    whole = path.read_text()
    path.write_text(content)
    try:
        with pytest.raises(EdgeOpsError):
            load(stored)
    finally:
        path.write_text(whole)


def test_an_array_that_was_cut_off_names_the_folder_and_the_way_out(tmp_path: Path) -> None:
    save(numbered(), tmp_path / "1")
    values = tmp_path / "1" / "values.npy"
    values.write_bytes(values.read_bytes()[:-100])
    with pytest.raises(DataError, match="was altered") as caught:
        load(tmp_path / "1")
    assert "add the source again" in str(caught.value.fix)


def test_a_long_recording_has_the_digest_that_a_whole_one_has() -> None:
    """It is hashed a piece at a time; ``item_digests`` does it at once."""
    long = np.random.default_rng(0).normal(size=(1, 3_000_000)).astype(np.float32)
    long[0, ::7] = -0.0
    assert [item_digest(long[0])] == item_digests(long)
    image = long.reshape(1, 1000, 3000, 1)
    assert [item_digest(image[0])] == item_digests(image)
    assert item_digest(np.float32(3).reshape(())) == item_digests(np.array([3], np.float32))[0]
