"""A dataset in figures, the difference of two, and what a page shows of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.data.dataset import Dataset, Part, extend, new_dataset
from edgeops.data.describe import describe, remarks
from edgeops.data.diff import compare
from edgeops.data.items import Items, item_digest, item_digests
from edgeops.data.recordings import Recordings
from edgeops.data.samples import samples
from edgeops.data.splitting import SHARES


def sounds(rate: float = 100.0, tail: tuple[int, ...] = ()) -> Dataset:
    items = [np.full((length, *tail), number, np.int16) for number, length in enumerate((100, 50, 200, 50))]
    items.sort(key=item_digest)
    targets = np.array([int(item.flat[0] >= 2) for item in items])
    return Dataset(
        "sounds", 1, Recordings.of(items), targets, ("low", "high"), np.array([0, 0, 2, 2], np.uint8),
        ("source",) * 4, "audio", groups=("a", "a", "b", ""), slices={"take": ("0", "1", "0", "")}, sample_rate_hz=rate,
        files=tuple(f"{item.flat[0]}.wav" for item in items),
    )  # fmt: skip


def table(values: np.ndarray, targets: np.ndarray, name: str = "t", parts: int | None = None) -> Dataset:
    made = new_dataset(name, Items(values, targets, ("a", "b", "c"), (), "table"))
    if parts is None:
        return made
    return Dataset(
        name,
        2,
        made.inputs,
        made.targets,
        made.labels,
        np.full(len(made), parts, np.uint8),
        made.origins,
        "table",
    )


class TestDescribe:
    def test_recordings(self) -> None:
        facts = describe(sounds())
        assert facts["durations"] == {
            "minimum": 0.5, "median": 0.75, "maximum": 2.0, "total": 4.0, "unit": "s",
            "by_class": {"low": 1.5, "high": 2.5},
        }  # fmt: skip
        assert facts["values"]["minimum"] == 0
        assert facts["values"]["maximum"] == 3
        assert facts["values"]["mean"] == pytest.approx((50 + 400 + 150) / 400)
        assert (facts["shape"], facts["dtype"]) == (["samples"], "int16")
        assert facts["slices"] == {"take": {"": 1, "0": 2, "1": 1}}
        assert facts["groups"] == {"train": 1, "test": 1}
        assert set(facts["class_balance_by_part"]) == {"train", "test"}
        assert describe(sounds(0.0))["durations"]["unit"] == "samples"

    def test_channels_and_features_have_ranges_of_their_own(self) -> None:
        values = np.array([[1, 10], [3, -20], [2, 0]], np.float32)
        facts = describe(table(values, np.array([0, 1, 2])))
        assert facts["values"] == {
            "minimum": -20.0, "maximum": 10.0, "mean": pytest.approx(-4 / 6),
            "by_column": [
                {"minimum": 1.0, "maximum": 3.0, "mean": 2.0},
                {"minimum": -20.0, "maximum": 10.0, "mean": pytest.approx(-10 / 3)},
            ],
        }  # fmt: skip
        assert len(describe(sounds(tail=(3,)))["values"]["by_column"]) == 3
        assert "by_column" not in describe(sounds())["values"]

    def test_many_values_of_a_slice_are_counted_only(self) -> None:
        values = np.arange(60, dtype=np.float32)[:, np.newaxis]
        plain = table(values, np.zeros(60, np.int64))
        many = Dataset(
            "t", 1, plain.inputs, plain.targets, plain.labels, plain.parts, plain.origins, "table",
            slices={"id": tuple(map(str, range(60)))},
        )  # fmt: skip
        assert describe(many)["slices"] == {"id": 60}

    def test_captured_items_are_counted(self) -> None:
        plain = table(np.zeros((1, 2), np.float32), np.array([0]))
        grown = extend(
            plain, np.ones((1, 2), np.float32), np.array([1]), ["captured:d"], np.array([0], np.uint8)
        )
        assert describe(grown)["captured"] == 1


class TestRemarks:
    def test_a_fair_split_needs_none(self) -> None:
        values = np.arange(80, dtype=np.float32)[:, np.newaxis]
        assert remarks(table(values, np.arange(80) % 3).index, SHARES) == []

    def test_parts_that_groups_make_and_classes_that_a_part_lacks(self) -> None:
        dataset = sounds()
        assert remarks(dataset.index, SHARES) == [
            "2 groups make parts of 50/0/50/0 percent instead of 50/10/20/20"
        ]
        lonely = table(np.arange(40, dtype=np.float32)[:, np.newaxis], (np.arange(40) == 7).astype(np.int64))
        assert remarks(lonely.index, SHARES) == ["'b' (1 item) is not in validation, test, field"]
        assert remarks(lonely.index, {Part.TRAIN: 1.0}) == []


class TestDiff:
    @given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30), min_size=1))
    def test_what_came_and_what_went(self, before: set[int], after: set[int]) -> None:
        old, new = (
            table(
                np.array([[n, 1] for n in sorted(numbers)], np.float32),
                np.zeros(len(numbers), np.int64),
                parts=0,
            )
            for numbers in (before, after)
        )
        found = compare(old.index, new.index)
        back = compare(new.index, old.index)
        assert len(found["came"]) == len(after - before)
        assert len(found["went"]) == len(before - after)
        assert found["kept"] == len(before & after)
        assert found["came"] == back["went"]
        assert found["moved"] == found["relabelled"] == found["redescribed"] == []
        assert found["schema"] == {}

    def test_moved_relabelled_and_described_anew(self) -> None:
        old = sounds()
        rows = {file: row for row, file in enumerate(old.files)}
        parts, targets = old.parts.copy(), old.targets.copy()
        parts[rows["0.wav"]] = Part.VALIDATION
        targets[rows["1.wav"]] = 1
        takes = list(old.slices["take"])
        takes[rows["2.wav"]] = "7"
        new = Dataset(
            "sounds", 2, old.inputs, targets, old.labels, parts, old.origins, "audio", groups=old.groups,
            slices={"take": tuple(takes), "room": ("",) * 4}, sample_rate_hz=old.sample_rate_hz, files=old.files,
        )  # fmt: skip
        found = compare(old.index, new.index)
        was = Part(int(old.parts[rows["0.wav"]])).label
        assert found["moved"] == [{"item": "0.wav", "label": "low", "from": was, "to": "validation"}]
        assert found["relabelled"] == [{"item": "1.wav", "from": "low", "to": "high"}]
        assert found["redescribed"] == [{"item": "2.wav", "label": "high"}]
        assert found["schema"] == {"slices": [["take"], ["room", "take"]]}

    def test_other_numbers_of_the_same_labels_are_no_change(self) -> None:
        old = sounds()
        new = Dataset(
            "other", 1, old.inputs, 1 - old.targets, old.labels[::-1], old.parts, old.origins, "audio",
            groups=old.groups, slices=old.slices, sample_rate_hz=16000.0,
        )  # fmt: skip
        found = compare(old.index, new.index)
        assert found["relabelled"] == []
        assert found["schema"] == {
            "labels": [["low", "high"], ["high", "low"]],
            "sample_rate_hz": [100.0, 16000.0],
        }

    def test_an_item_without_a_file_is_called_by_its_digest(self) -> None:
        old = table(np.zeros((1, 2), np.float32), np.array([0]))
        new = table(np.ones((1, 2), np.float32), np.array([1]))
        assert compare(old.index, new.index)["came"] == [
            {"item": item_digests(new.inputs)[0].hex()[:12], "label": "b", "part": "train"}
        ]


class TestSamples:
    def test_a_few_of_each_class(self) -> None:
        rng = np.random.default_rng(0)
        values = rng.integers(0, 256, (40, 5, 4, 3)).astype(np.uint8)
        dataset = new_dataset("i", Items(values, np.arange(40) % 4, ("a", "b", "c", "d"), (), "image"))
        found = samples(dataset, 3)
        assert [sample.label for sample in found] == sorted("abcd" * 3)
        for sample in found:
            assert sample.pixels is not None
            assert any((sample.pixels == image).all() for image in values)

    @pytest.mark.parametrize(
        ("shape", "dtype", "pixels"),
        [((8, 8), np.uint8, (8, 8)), ((8, 8, 1), np.float32, (8, 8)), ((300, 200, 3), np.uint8, (75, 50, 3))],
    )
    def test_images_become_bytes_of_a_size_to_look_at(
        self, shape: tuple[int, ...], dtype: type, pixels: tuple[int, ...]
    ) -> None:
        values = (np.arange(np.prod(shape)) % 17).astype(dtype).reshape(1, *shape)
        dataset = new_dataset("i", Items(values, np.array([0]), ("a",), (), "image"))
        (sample,) = samples(dataset, 1)
        assert sample.pixels is not None
        assert (sample.pixels.shape, sample.pixels.dtype) == (pixels, np.uint8)
        assert (int(sample.pixels.min()), int(sample.pixels.max())) == (0, 255)

    @given(st.integers(1, 2000), st.integers(1, 8))
    def test_an_envelope_holds_the_extremes(self, length: int, channels: int) -> None:
        values = np.random.default_rng(length).normal(size=(length, channels)).astype(np.float32)
        dataset = Dataset(
            "s",
            1,
            Recordings.of([values]),
            np.array([0]),
            ("a",),
            np.zeros(1, np.uint8),
            ("source",),
            "series",
        )
        (sample,) = samples(dataset, 1)
        assert sample.low is not None and sample.high is not None
        assert sample.low.shape == sample.high.shape == (min(channels, 6), min(length, 240))
        assert (sample.low.min(axis=1) == values.min(axis=0)[:6]).all()
        assert (sample.high.max(axis=1) == values.max(axis=0)[:6]).all()
        assert (sample.low <= sample.high).all()
