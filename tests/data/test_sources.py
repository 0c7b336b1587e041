"""Sources: what is read, what is set aside, and what every bad one gets."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgeops.core.errors import DataError, MissingExtra, NotFoundError
from edgeops.data.sources import read_source


def npz(folder: Path, **arrays: object) -> str:
    path = folder / "source.npz"
    np.savez(path, **{name: np.asarray(value) for name, value in arrays.items()})
    return str(path)


def images(n: int) -> np.ndarray:
    return np.arange(n * 4, dtype=np.float32).reshape(n, 2, 2)


def test_digits_are_what_scikit_learn_ships() -> None:
    items = read_source("sklearn:digits")
    assert items.inputs.shape == (1797, 8, 8)
    assert items.inputs.dtype == np.uint8
    assert items.inputs.max() == 16
    assert items.labels == tuple("0123456789")
    assert items.kind == "image"
    assert len(items.quarantined) == 0


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra) as caught:
        read_source("sklearn:digits")
    assert caught.value.fix == 'pip install "edgeops[demo]"'


def test_integer_targets_without_labels_are_named_by_their_values(tmp_path: Path) -> None:
    items = read_source(npz(tmp_path, x=images(4), y=[7, 3, 7, 3]))
    assert items.labels == ("3", "7")
    assert items.targets.tolist() == [1, 0, 1, 0]
    assert items.targets.dtype == np.int64


def test_text_targets_take_the_order_of_the_labels(tmp_path: Path) -> None:
    items = read_source(npz(tmp_path, x=images(3), y=["up", "down", "up"], labels=["up", "flat", "down"]))
    assert items.labels == ("up", "flat", "down")
    assert items.targets.tolist() == [0, 2, 0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.uint8, np.uint8), (np.int32, np.float32), (np.bool_, np.float32), (np.float64, np.float32)],
)
def test_dtypes(tmp_path: Path, given: type, kept: type) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(given)
    items = read_source(npz(tmp_path, x=x, y=[0, 1, 1]))
    assert items.inputs.dtype == kept
    assert items.kind == "table"
    assert items.inputs.tolist() == [[0, 1], [1, 0], [1, 1]]


def test_items_that_are_not_finite_are_set_aside(tmp_path: Path) -> None:
    x = images(10).astype(np.float64)
    x[3, 0, 0] = np.nan
    x[5, 1, 1] = 1e300  # beyond float32
    items = read_source(npz(tmp_path, x=x, y=[0, 1] * 5))
    assert [(bad.index, bad.reason) for bad in items.quarantined] == [(3, "not finite"), (5, "not finite")]
    assert len(items) == 8


def test_mostly_unusable_is_refused_with_the_counts(tmp_path: Path) -> None:
    x = images(10)
    x[:2] = np.nan
    x[4] = x[5]
    with pytest.raises(
        DataError, match=r"3 of 10 items are unusable \(1 duplicate, 2 not finite\)"
    ) as caught:
        read_source(npz(tmp_path, x=x, y=[0] * 10))
    assert "number 0" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": [1]}, "no array 'x'"),
        ({"x": images(2)}, "no array 'y'"),
        ({"x": images(3), "y": [1, 2]}, "x holds 3 items but y has shape"),
        ({"x": images(2), "y": [[1], [2]]}, "y has shape"),
        ({"x": np.zeros((0, 2, 2)), "y": np.zeros(0, int)}, "holds no items"),
        ({"x": np.zeros((3, 0)), "y": [1, 2, 3]}, "x has shape"),
        ({"x": [1.0, 2.0], "y": [1, 2]}, "x has shape"),
        ({"x": [["a"], ["b"]], "y": [1, 2]}, "x has dtype"),
        ({"x": images(2) * 1j, "y": [1, 2]}, "x has dtype"),
        ({"x": [[2**24 + 1], [3]], "y": [1, 2]}, "too large for float32"),
        ({"x": images(2), "y": [0.5, 1.5]}, "y has dtype"),
        ({"x": images(2), "y": [0, 2], "labels": ["a", "b"]}, "target 2 is not among its 2 labels"),
        ({"x": images(2), "y": [0, -1], "labels": ["a", "b"]}, "target -1 is not among"),
        ({"x": images(2), "y": ["a", "c"], "labels": ["a", "b"]}, "target c is not among"),
        ({"x": images(2), "y": [0, 1], "labels": ["a", "a"]}, "labels must be distinct"),
    ],
)
def test_a_bad_archive_gets_one_clear_line(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match="source.npz") as caught:
        read_source(npz(tmp_path, **arrays))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.fix


def test_what_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    whole = Path(npz(tmp_path, x=images(50), y=np.arange(50))).read_bytes()
    for number, content in enumerate([b"", b"text", whole[:100], whole[: len(whole) // 2]]):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            read_source(str(path))
    np.save(tmp_path / "single.npy", images(2))
    with pytest.raises(DataError, match="not an .npz"):
        read_source(str(tmp_path / "single.npy"))
    with pytest.raises(DataError, match="cannot be read"):
        read_source(str(tmp_path))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    path = tmp_path / "trap.npz"
    np.savez(path, x=np.array([Trap(), Trap()], dtype=object), y=np.array([0, 1]))
    with pytest.raises(DataError, match="array 'x' holds Python objects") as caught:
        read_source(str(path))
    assert "allow_pickle" not in caught.value.message
    assert not (tmp_path / "sprung").exists()


def test_a_missing_source_is_not_found(tmp_path: Path) -> None:
    for spec in (str(tmp_path / "none.npz"), "sklearn:diggits"):
        with pytest.raises(NotFoundError) as caught:
            read_source(spec)
        assert "sklearn:digits" in (caught.value.fix or "")
