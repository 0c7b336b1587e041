"""Tables of features: one item a row; labels, groups and slices are columns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import text

from edgeops.core.errors import DataError, NotFoundError
from edgeops.data.dataset import Dataset, extend, load
from edgeops.data.ingest import ingest
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Item, Reader, Request, SetAside
from edgeops.data.splitting import Part

IRIS = "length,width,site,label\n1,2,nord,a\n3,4,sud,b\n5,6,nord,a\n"


def read(path: Path, **asked: object) -> tuple[list[Item], dict[str, str], Reader]:
    reader, aside = open_source(str(path), Request(**{"kind": "table", **asked}))  # type: ignore[arg-type]
    entries = [*aside, *reader]
    items = [entry for entry in entries if isinstance(entry, Item)]
    return items, {e.file: e.reason for e in entries if isinstance(e, SetAside)}, reader


def test_numbers_are_features_and_texts_are_slices(tmp_path: Path) -> None:
    items, aside, reader = read(text(tmp_path / "iris.csv", IRIS))
    assert [item.values.tolist() for item in items] == [[1, 2], [3, 4], [5, 6]]
    assert items[0].values.dtype == np.float32
    assert [(item.file, item.label, item.slices["site"]) for item in items] == [
        ("iris.csv:1", "a", "nord"), ("iris.csv:2", "b", "sud"), ("iris.csv:3", "a", "nord")
    ]  # fmt: skip
    assert (aside, reader.notes) == ({}, ["features: length, width"])
    assert reader.columns == ("length", "width")


def test_a_dataset_knows_the_names_of_its_columns_and_keeps_their_order(tmp_path: Path) -> None:
    table = text(tmp_path / "iris.csv", IRIS)
    first, second = (tmp_path / "1", tmp_path / "2")
    open_and_ingest(table, first, 1)
    base = load(first)
    assert base.columns == base.index.columns == ("length", "width")
    assert dataclasses.replace(base, columns=()).sha256 == base.sha256
    added = extend(base, np.ones((1, 2), np.float32), np.array([0]), ["captured:d"], np.array([0], np.uint8))
    assert added.columns == ("length", "width")
    swapped = text(tmp_path / "swapped.csv", "width,length,site,label\n2,7,nord,a\n")
    with pytest.raises(DataError, match="columns of the new items are width, length; those of iris@1") as no:
        open_and_ingest(swapped, second, 2, base)
    assert "order" in (no.value.fix or "")


def open_and_ingest(table: Path, folder: Path, version: int, base: Dataset | None = None) -> None:
    reader, aside = open_source(str(table), Request(kind="table"))
    ingest(reader, folder, "iris", version, aside=aside, base=base)


def test_any_column_can_be_label_group_or_slice(tmp_path: Path) -> None:
    path = text(tmp_path / "t.csv", "x,fault,machine,load\n1,0,7,1.5\n2,1,8,2.0\n")
    items, _, reader = read(path, label="fault", group="machine", slices=("load",))
    assert [item.label for item in items] == ["0", "1"]
    assert items[1].slices == {"machine": "8", "load": "2.0"}
    assert reader.notes == ["features: x"]


def test_parquet_is_as_csv(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2], "y": [0.5, None], "class": [3, 4], "when": ["mon", "tue"]})
    pq.write_table(table, tmp_path / "t.parquet")
    items, _, _ = read(tmp_path / "t.parquet")
    assert [(item.label, item.slices) for item in items] == [("3", {"when": "mon"}), ("4", {"when": "tue"})]
    assert np.isnan(items[1].values[1])  # the ingest sets it aside


def test_rows_that_cannot_be_read_are_set_aside_alone(tmp_path: Path) -> None:
    rows = "".join(f"{number},1,a\n" for number in range(20))
    items, aside, _ = read(text(tmp_path / "t.csv", f"x,y,label\n{rows}oops,2,a\n4,5,\n"))
    assert len(items) == 20
    assert aside == {"t.csv:21": "x is 'oops', not a number", "t.csv:22": "no label"}


def test_files_called_train_and_test_are_parts(tmp_path: Path) -> None:
    text(tmp_path / "train.csv", IRIS)
    text(tmp_path / "test.csv", IRIS.replace("1,", "9,"))
    assert {(item.file[:5], item.part) for item in read(tmp_path)[0]} == {
        ("train", Part.TRAIN), ("test.", Part.TEST)
    }  # fmt: skip
    (tmp_path / "test.csv").rename(tmp_path / "more.csv")
    assert {item.part for item in read(tmp_path)[0]} == {None}


def test_folders_called_train_and_test_are_parts(tmp_path: Path) -> None:
    text(tmp_path / "train" / "a.csv", IRIS)
    text(tmp_path / "test" / "a.csv", IRIS)
    assert {(item.file[:5], item.part) for item in read(tmp_path)[0]} == {
        ("train", Part.TRAIN), ("test/", Part.TEST)
    }  # fmt: skip


def test_a_file_with_other_columns_is_set_aside(tmp_path: Path) -> None:
    text(tmp_path / "1.csv", IRIS)
    text(tmp_path / "2.csv", "length,label\n1,a\n")
    text(tmp_path / "3.csv", "length,width,depth,label\n1,2,3,a\n")
    text(tmp_path / "4.csv", "width,length,label\n2,1,a\n")
    text(tmp_path / "5.csv", "who,label\nann,a\n")
    items, aside, _ = read(tmp_path)
    assert items[-1].values.tolist() == [1, 2]  # in the order of the first file
    assert aside == {
        "2.csv": "its columns are not those of 1.csv: it lacks 'width'",
        "3.csv": "its columns are not those of 1.csv: it has 'depth' besides",
        "5.csv": "its columns are not those of 1.csv: it lacks 'length'",
    }


def test_a_table_without_a_label_is_refused_with_its_columns(tmp_path: Path) -> None:
    path = text(tmp_path / "t.csv", "x,fault\n1,a\n")
    with pytest.raises(
        DataError, match=r"t\.csv has no column 'label' for the label: it has x, fault"
    ) as caught:
        read(path)
    assert "--label" in (caught.value.fix or "")
    with pytest.raises(DataError, match="no column 'faults'"):
        read(path, label="faults")


class TestKinds:
    @pytest.mark.parametrize(
        ("names", "kind"),
        [
            (["a/1.png", "b/2.jpeg", "b/notes.csv"], "image"),
            (["a/1.wav", "b/2.WAV"], "audio"),
            (["a/1.npz", "b/2.npz"], "series"),
            (["a/1.csv", "b/2.csv"], "series"),
            (["a/1.parquet", "a/2.parquet"], "table"),
            (["1.csv"], "table"),
        ],
    )
    def test_are_guessed_from_the_files_and_said(self, tmp_path: Path, names: list[str], kind: str) -> None:
        for name in names:
            text(tmp_path / "in" / name, "x")
        reader, _ = open_source(str(tmp_path / "in"), Request())
        assert reader.kind == kind
        assert reader.notes[0].startswith(f"kind {kind}: guessed from ")

    def test_nothing_that_is_read_is_refused_with_what_is_there(self, tmp_path: Path) -> None:
        for number in range(3):
            text(tmp_path / f"{number}.mp4", "x")
        with pytest.raises(DataError, match=r"holds nothing that is read: 3 \.mp4") as caught:
            open_source(str(tmp_path), Request())
        assert caught.value.fix
        (tmp_path / "none").mkdir()
        with pytest.raises(DataError, match="holds nothing that is read: nothing"):
            open_source(str(tmp_path / "none"), Request())

    def test_an_unknown_kind_names_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="'video' is no kind") as caught:
            open_source(str(tmp_path), Request(kind="video"))
        assert "image, audio, series, table" in (caught.value.fix or "")

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        for name in ("none", "none.npz", "none.tar.gz", "none.csv"):
            with pytest.raises(NotFoundError):
                open_source(str(tmp_path / name), Request())
