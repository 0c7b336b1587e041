"""Storage: what is saved is what is loaded, whole or not at all, and never in memory at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.core.errors import DataError, NotFoundError, StorageError
from edgeops.data import storage
from edgeops.data.dataset import Dataset, load, new_dataset, save
from edgeops.data.items import Items, item_digest
from edgeops.data.recordings import Recordings

FIELDS = ("name", "version", "labels", "origins", "kind", "groups", "slices", "sample_rate_hz", "files")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def uniform(n: int = 30, seed: int = 0, dtype: type = np.uint8) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 17, (n, 4, 4)).astype(dtype)
    return new_dataset("digits", Items(inputs, rng.integers(0, 3, n), ("a", "b", "c"), (), "image"))


def ragged(
    lengths: list[int], words: list[str], dtype: type = np.int16, tail: tuple[int, ...] = ()
) -> Dataset:
    rng = np.random.default_rng(len(lengths))
    items = sorted((rng.integers(-99, 99, (n, *tail)).astype(dtype) for n in lengths), key=item_digest)
    column = tuple(words[i % len(words)] for i in range(len(items)))
    return Dataset(
        "sounds", 3, Recordings.of(items), np.zeros(len(items), np.int64), ("a",), np.zeros(len(items), np.uint8),
        ("source",) * len(items), "audio", column, {"load": column, "a b/ä": column[::-1]}, 8000.0, column,
    )  # fmt: skip


@settings(max_examples=25)
@given(st.integers(1, 60), st.integers(0, 1000), st.sampled_from([np.uint8, np.int16, np.float32]))
def test_saved_and_loaded_it_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, dtype: type
) -> None:
    folder = tmp_path_factory.mktemp("d")
    dataset = uniform(n, seed, dtype)
    save(dataset, folder)
    again = load(folder)
    assert again.sha256 == dataset.sha256
    assert isinstance(again.inputs, np.memmap)
    for field in ("inputs", "targets", "parts"):
        assert (getattr(again, field) == getattr(dataset, field)).all()
        assert getattr(again, field).dtype == getattr(dataset, field).dtype
    for field in FIELDS:
        assert getattr(again, field) == getattr(dataset, field)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "index.npz", "values.npy"]
    assert list(folder.parent.glob(".dataset-*")) == []


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8), st.lists(TEXT, min_size=1, max_size=4),
    st.sampled_from([np.uint8, np.int16, np.float32]), st.sampled_from([(), (3,)]),
)  # fmt: skip
def test_so_are_recordings_with_all_that_is_known_of_them(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    words: list[str],
    dtype: type,
    tail: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("d") / "new" / "3"
    dataset = ragged(lengths, words, dtype, tail)
    save(dataset, folder)
    again = load(folder)
    assert again.sha256 == dataset.sha256
    assert isinstance(again.inputs, Recordings)
    assert [item.tolist() for item in again.inputs] == [item.tolist() for item in dataset.inputs]
    assert (again.inputs.dtype, again.item_shape) == (dtype, (-1, *tail))
    for field in FIELDS:
        assert getattr(again, field) == getattr(dataset, field)


@settings(max_examples=40)
@given(st.sampled_from(["values.npy", "index.npz"]), st.integers(0, 10**6), st.integers(1, 255))
def test_any_altered_byte_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, where: int, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("d")
    save(ragged([3, 4], ["x"]), folder)
    path = folder / name
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    with pytest.raises(DataError, match="was altered") as caught:
        load(folder)
    assert "data add" in (caught.value.fix or "")


@pytest.mark.parametrize("key", ["labels", "sha256", "kind", "sample_rate_hz"])
def test_an_altered_description_is_refused(tmp_path: Path, key: str) -> None:
    save(uniform(), tmp_path)
    path = tmp_path / "dataset.json"
    description = json.loads(path.read_text())
    description[key] = {"labels": ["a", "b", "x"], "sample_rate_hz": 16000}.get(key, "other")
    path.write_text(json.dumps(description))
    with pytest.raises(DataError, match="altered"):
        load(tmp_path)
    del description[key]
    path.write_text(json.dumps(description))
    with pytest.raises(DataError, match="does not decode"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_description_is_refused(tmp_path: Path, content: bytes) -> None:
    save(uniform(), tmp_path)
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(DataError, match="does not decode"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["dataset.json", "index.npz", "values.npy"])
def test_a_missing_file_is_not_found(tmp_path: Path, name: str) -> None:
    save(uniform(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NotFoundError, match=name):
        load(tmp_path)


def test_what_the_first_release_wrote_still_loads(tmp_path: Path) -> None:
    """``dataset.npz`` beside ``dataset.json``; its content hash is what it was."""
    dataset = uniform()
    np.savez(
        tmp_path / "dataset.npz",
        inputs=dataset.inputs, targets=dataset.targets, parts=dataset.parts, origins=np.array(dataset.origins),
    )  # fmt: skip
    description = {
        "format": "edgeops-dataset-1", "name": "digits", "version": 1, "kind": "image", "labels": ["a", "b", "c"],
        "sha256": dataset.sha256, "counts": dataset.counts(),
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    again = load(tmp_path)
    assert again.sha256 == dataset.sha256
    assert (again.inputs == dataset.inputs).all()
    description["sha256"] = "0" * 64
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="altered"):
        load(tmp_path)


def test_content_hashes_stay_what_they_are_across_releases() -> None:
    """Datasets are named by these: a change here orphans them."""
    inputs = np.arange(2 * 4, dtype=np.uint8).reshape(2, 2, 2)
    items = Items(inputs, np.array([0, 1]), ("a", "b"), (), "image")
    dataset = new_dataset("d", items)
    same_parts = Dataset(
        "d",
        1,
        dataset.inputs,
        dataset.targets,
        dataset.labels,
        np.zeros(2, np.uint8),
        dataset.origins,
        "image",
    )
    assert same_parts.sha256 == "2413d15eb1e9cd17fbd39c0f5a6bf69381298536d51815f2c0d80ecee5f73ecb"


class TestWriting:
    @pytest.mark.parametrize("step", ["_write_values", "_arrays_of", "_description", "_put_in_place"])
    def test_interrupted_anywhere_it_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        def cut(*args: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(storage, step, cut)
            save(uniform(), tmp_path / "set" / "1")
        assert list((tmp_path / "set").iterdir()) == []
        save(uniform(), tmp_path / "set" / "1")
        assert load(tmp_path / "set" / "1").sha256 == uniform().sha256

    def test_an_interrupted_one_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save(uniform(seed=1), tmp_path / "1")

        def cut(*args: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(storage, "_arrays_of", cut)
            save(uniform(seed=2), tmp_path / "1")
        assert load(tmp_path / "1").sha256 == uniform(seed=1).sha256
        save(uniform(seed=2), tmp_path / "1")
        assert load(tmp_path / "1").sha256 == uniform(seed=2).sha256

    def test_a_file_in_the_way_stays(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StorageError, match="cannot write"):
                save(uniform(), folder)
        assert (tmp_path / "file").read_text() == "in the way"

    def test_a_folder_with_other_things_stays(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("do not delete")
        with pytest.raises(StorageError, match=r"holds 'thesis\.txt'"):
            save(uniform(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_values_that_the_index_does_not_describe_are_refused(self, tmp_path: Path) -> None:
        dataset = uniform(4)
        for values in ([np.zeros((4, 4))] * 3, [np.zeros((4, 5))] * 4):
            with pytest.raises(DataError, match="has shape|values were given"):
                storage.write_version(dataset.index, values, tmp_path / "d")
        assert not (tmp_path / "d").exists()


INGEST = """
import resource, sys
from pathlib import Path
import numpy as np
from edgeops.data.ingest import ingest
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Request
source, folder, spare, whole = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
reader, aside = open_source(source, Request())
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + spare
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.ones(whole // 4, np.float32)
except MemoryError:
    print("cannot hold all")
done = ingest(reader, folder, "big", 1)
print(done.came)
"""


def test_more_than_fits_into_memory_is_ingested(tmp_path: Path) -> None:
    """72 MiB of recordings in a process that may take 40 MiB more than it began with."""
    spare, count, samples = 40 << 20, 24, 786_432
    rng = np.random.default_rng(0)
    for number in range(count):
        signal = rng.integers(0, 2**16, samples).astype(np.float32)
        (tmp_path / "in" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / "in" / str(number % 2) / f"{number}.npz", signal=signal)
    sizes = [str(spare), str(4 * samples * count)]
    command = [sys.executable, "-c", INGEST, str(tmp_path / "in"), str(tmp_path / "out"), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines() == ["cannot hold all", str(count)], done.stderr
    stored = load(tmp_path / "out")
    assert stored.inputs.lengths.tolist() == [samples] * count  # type: ignore[union-attr]
