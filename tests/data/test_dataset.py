"""Datasets: versions, extension, replay. Storage has a file of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgeops.core.errors import DataError
from edgeops.data import dataset as dataset_module
from edgeops.data.dataset import Dataset, Part, export_replay, extend, load, new_dataset, save
from edgeops.data.items import Items, item_digest, item_digests
from edgeops.data.recordings import Recordings


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


def sounds(lengths: tuple[int, ...] = (5, 3, 4, 6, 3, 8)) -> Dataset:
    rng = np.random.default_rng(3)
    items = [rng.integers(-99, 99, length).astype(np.int16) for length in lengths]
    items.sort(key=item_digest)
    n = len(items)
    return Dataset(
        "sounds", 1, Recordings.of(items), np.arange(n) % 2, ("a", "b"), np.array([0, 0, 1, 2, 3, 3], np.uint8),
        ("source",) * n, "audio", groups=("g", "h") * (n // 2), slices={"load": ("0", "1", "2") * (n // 3)},
        sample_rate_hz=8000.0, files=tuple(f"{i}.wav" for i in range(n)),
    )  # fmt: skip


def test_a_part_of_recordings_is_recordings() -> None:
    dataset = sounds()
    inputs, targets = dataset.part("field")
    assert isinstance(inputs, Recordings)
    assert len(inputs) == len(targets) == 2
    assert dataset.item_shape == (-1,)
    assert digits().item_shape == (4, 4)


def test_groups_slices_and_rate_are_content_and_files_are_not() -> None:
    dataset = sounds()
    hashes = {
        dataclasses.replace(dataset, **change).sha256
        for change in (
            {},
            {"groups": ("g",) * 6},
            {"groups": ()},
            {"slices": {}},
            {"slices": {"load": ("0",) * 6}},
            {"slices": {"hp": dataset.slices["load"]}},
            {"sample_rate_hz": 16000.0},
            {"sample_rate_hz": 0.0},
        )
    }
    assert len(hashes) == 8
    assert dataclasses.replace(dataset, files=()).sha256 == dataset.sha256
    assert dataclasses.replace(dataset, name="other", version=7).sha256 == dataset.sha256


def test_captured_recordings_join_with_nothing_known_about_them(tmp_path: Path) -> None:
    dataset = sounds()
    window = np.linspace(0, 1, 4, dtype=np.float32)[np.newaxis]
    longer = extend(dataset, window, np.array([1]), ["captured:d"], np.array([Part.TRAIN], np.uint8))
    row = longer.origins.index("captured:d")
    assert (longer.groups[row], longer.slices["load"][row], longer.files[row]) == ("", "", "")
    assert (longer.inputs[row] == window[0]).all()
    assert longer.inputs.dtype == np.float32
    assert {digest: longer.groups[i] for i, digest in enumerate(longer.index.digests) if i != row} == dict(
        zip(dataset.index.digests, dataset.groups, strict=True)
    )
    save(longer, tmp_path / "d")
    assert load(tmp_path / "d").sha256 == longer.sha256
    assert list(longer.index.digests) == sorted(item_digests(longer.inputs))


def test_large_versions_are_extended_outside_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = extend(digits(), *captured())
    monkeypatch.setattr(dataset_module, "_IN_MEMORY_BYTES", 0)
    mapped = extend(digits(), *captured())
    assert isinstance(mapped.inputs.base, np.memmap)
    assert mapped.sha256 == in_memory.sha256
    assert (mapped.inputs == in_memory.inputs).all()


def test_recordings_replay_where_they_have_one_length(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"recordings of \d to \d samples"):
        export_replay(sounds((3, 4, 5, 6, 7, 3)), Part.TRAIN, tmp_path)
    export_replay(sounds((4,) * 6), "field", tmp_path)
    assert np.load(tmp_path / "inputs.npy").shape == (2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ("g",)}, "differ in length"),
        ({"slices": {"load": ("1",)}}, "differ in length"),
        ({"files": ("a",)}, "differ in length"),
        ({"sample_rate_hz": -1.0}, "sample rate of -1"),
        ({"inputs": np.zeros((6, 2))}, "inputs of float64, not uint8, int16, float32"),
    ],
)
def test_what_no_dataset_may_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataclasses.replace(sounds(), **change)
