"""Datasets: versions, storage, replay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import DataError, NotFoundError, StorageError
from edgeops.data.dataset import Dataset, Part, export_replay, extend, load, new_dataset, save
from edgeops.data.items import Items, item_digests


def digits(n: int = 30, seed: int = 0, dtype: type = np.uint8) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 17, (n, 4, 4)).astype(dtype)
    return new_dataset("digits", Items(inputs, rng.integers(0, 3, n), ("a", "b", "c"), (), "image"))


def captured(n: int = 5, seed: int = 9) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.random((n, 4, 4)).astype(np.float32) * 16
    return (
        inputs,
        rng.integers(0, 3, n),
        [f"captured:d{i}" for i in range(n)],
        np.full(n, Part.TRAIN, np.uint8),
    )


@given(st.integers(1, 60), st.integers(0, 1000), st.sampled_from([np.uint8, np.float32]))
def test_saved_and_loaded_it_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, dtype: type
) -> None:
    folder = tmp_path_factory.mktemp("d")
    dataset = digits(n, seed, dtype)
    save(dataset, folder)
    again = load(folder)
    assert again.sha256 == dataset.sha256
    for field in ("inputs", "targets", "parts"):
        assert (getattr(again, field) == getattr(dataset, field)).all()
        assert getattr(again, field).dtype == getattr(dataset, field).dtype
    for field in ("name", "version", "labels", "origins", "kind"):
        assert getattr(again, field) == getattr(dataset, field)
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "dataset.npz"]


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_an_altered_file_is_refused(tmp_path_factory: pytest.TempPathFactory, where: int, flip: int) -> None:
    """Any byte of the arrays: the archive's own checksum or the content hash sees it, or nothing changed."""
    folder = tmp_path_factory.mktemp("d")
    dataset = digits()
    save(dataset, folder)
    path = folder / "dataset.npz"
    content = bytearray(path.read_bytes())
    content[where % len(content)] ^= flip
    path.write_bytes(content)
    try:
        again = load(folder)
    except DataError as error:
        assert any(words in error.message for words in ("was altered", "does not decode", "cannot be read"))
    else:
        assert again.sha256 == dataset.sha256  # a time stamp in the archive is no content


@pytest.mark.parametrize("key", ["labels", "sha256", "kind"])
def test_an_altered_description_is_refused(tmp_path: Path, key: str) -> None:
    save(digits(), tmp_path)
    path = tmp_path / "dataset.json"
    description = json.loads(path.read_text())
    description[key] = ["a", "b", "x"] if key == "labels" else "other"
    path.write_text(json.dumps(description))
    with pytest.raises(DataError, match="altered"):
        load(tmp_path)
    del description[key]
    path.write_text(json.dumps(description))
    with pytest.raises(DataError, match="does not decode"):
        load(tmp_path)


def test_a_missing_or_unfinished_dataset_is_not_found(tmp_path: Path) -> None:
    save(digits(), tmp_path)
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(NotFoundError, match="dataset.json"):
        load(tmp_path)


def test_a_folder_that_takes_no_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        save(digits(), tmp_path / "file")


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        digits().inputs[0] = 0


@pytest.mark.parametrize("name", ["", "Digits", "a b", "../x", "x" * 65, "digits\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    dataset = digits()
    with pytest.raises(DataError, match="not a dataset name"):
        new_dataset(name, Items(dataset.inputs, dataset.targets, dataset.labels, (), "image"))


def test_parts_and_counts() -> None:
    dataset = digits(200)
    counts = dataset.counts()
    assert set(counts) == {"train", "validation", "test", "field", "capture_holdout"}
    assert sum(counts.values()) == 200
    for name, count in counts.items():
        inputs, targets = dataset.part(name)
        assert len(inputs) == len(targets) == count
    assert sum(dataset.class_balance().values()) == 200
    assert list(dataset.class_balance()) == ["a", "b", "c"]


def test_extending_keeps_what_was_there() -> None:
    dataset = digits()
    before = dataset.sha256
    longer = extend(dataset, *captured())
    assert (longer.version, len(longer)) == (2, len(dataset) + 5)
    assert longer.inputs.dtype == np.float32
    assert dataset.sha256 == before
    assert dataset.inputs.dtype == np.uint8
    place = {digest: index for index, digest in enumerate(item_digests(longer.inputs))}
    for index, digest in enumerate(item_digests(dataset.inputs)):
        there = place[digest]
        assert (longer.inputs[there] == dataset.inputs[index]).all()
        assert (longer.targets[there], longer.parts[there]) == (dataset.targets[index], dataset.parts[index])
    assert sorted(set(longer.origins)) == [
        "captured:d0",
        "captured:d1",
        "captured:d2",
        "captured:d3",
        "captured:d4",
        "source",
    ]


def test_extending_does_not_depend_on_the_order_of_arrival_and_takes_a_channel() -> None:
    inputs, targets, origins, parts = captured()
    back = (inputs[::-1][..., np.newaxis], targets[::-1], origins[::-1], parts[::-1])
    assert extend(digits(), inputs, targets, origins, parts).sha256 == extend(digits(), *back).sha256


def test_what_is_there_already_is_dropped() -> None:
    dataset = digits()
    inputs, targets, origins, parts = captured()
    longer = extend(dataset, inputs, targets, origins, parts)
    with pytest.raises(DataError, match="nothing new"):
        extend(longer, inputs, targets, origins, parts)
    # a captured image that is a test image stays a test image
    test_inputs, test_targets = dataset.part("test")
    mixed = extend(
        dataset,
        np.concatenate([inputs, test_inputs]),
        np.concatenate([targets, test_targets]),
        [*origins, *["captured:x"] * len(test_inputs)],
        np.zeros(5 + len(test_inputs), np.uint8),
    )
    assert len(mixed) == len(dataset) + 5
    assert mixed.counts()["test"] == dataset.counts()["test"]


def test_bad_additions_are_refused() -> None:
    inputs, targets, origins, parts = captured()
    spoilt = inputs.copy()
    spoilt[0, 0, 0] = np.nan
    bad = {
        "have shape": (inputs[:, :3], targets, origins, parts),
        "have dtype": (inputs.astype(np.float64), targets, origins, parts),
        "NaN": (spoilt, targets, origins, parts),
        "beyond its 3 labels": (inputs, targets + 3, origins, parts),
        "5 inputs came with 4": (inputs, targets[:4], origins, parts),
        "part that is not known": (inputs, targets, origins, parts + 9),
    }
    for message, arguments in bad.items():
        with pytest.raises(DataError, match=message):
            extend(digits(), *arguments)


def test_a_replay_is_what_agents_read(tmp_path: Path) -> None:
    dataset = digits(200)
    export_replay(dataset, "field", tmp_path / "replay")
    inputs, targets = dataset.part(Part.FIELD)
    assert (np.load(tmp_path / "replay" / "inputs.npy", allow_pickle=False) == inputs).all()
    assert (np.load(tmp_path / "replay" / "targets.npy", allow_pickle=False) == targets).all()
    assert json.loads((tmp_path / "replay" / "labels.json").read_text()) == ["a", "b", "c"]
    with pytest.raises(DataError, match="is empty"):
        export_replay(dataset, "capture_holdout", tmp_path)
