"""Recordings of sensors: NPZ, CSV and Parquet, one a file, with what stands beside the samples."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import recording, text, zipped

from edgeops.core.errors import DataError, MissingExtra
from edgeops.data import archives
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Item, Reader, Request, SetAside


def read(root: Path, **asked: object) -> tuple[dict[str, Item], dict[str, str], Reader]:
    reader, aside = open_source(str(root), Request(kind="series", **asked))  # type: ignore[arg-type]
    entries = [*aside, *reader]
    items = {entry.file: entry for entry in entries if isinstance(entry, Item)}
    return items, {e.file: e.reason for e in entries if isinstance(e, SetAside)}, reader


def parquet(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


class TestNpz:
    def test_the_signal_and_the_scalars_beside_it(self, tmp_path: Path) -> None:
        """As in bearing data: label in the folder and in the file, load and speed as scalars."""
        for number in range(2):
            recording(
                tmp_path / "cwru" / "ball" / f"{number}.npz", number, load_hp=np.int32(number), rpm=np.float64(1797),
                label="ball", site=b"nord",
            )  # fmt: skip
        recording(tmp_path / "cwru" / "normal" / "2.npz", 2, load_hp=np.array([[7]]))
        items, aside, reader = read(tmp_path / "cwru")
        item = items["ball/1.npz"]
        assert (item.values.shape, item.values.dtype) == ((300, 1), np.float32)
        assert (item.label, item.slices) == ("ball", {"load_hp": "1", "rpm": "1797", "site": "nord"})
        assert items["normal/2.npz"].slices == {"load_hp": "7"}
        assert (reader.sample_rate_hz, aside, reader.notes) == (12000.0, {}, [])

    def test_channels_stand_behind_samples(self, tmp_path: Path) -> None:
        recording(tmp_path / "a" / "1.npz", channels=3)
        np.savez(tmp_path / "a" / "2.npz", acceleration=np.ones((4, 3), np.int16), sample_rate_hz=12000)
        items, _, _ = read(tmp_path)
        assert items["a/1.npz"].values.shape == (300, 3)
        assert items["a/2.npz"].values.tolist() == [[1.0] * 3] * 4

    def test_a_label_in_the_file_serves_where_no_folder_says_it(self, tmp_path: Path) -> None:
        recording(tmp_path / "1.npz", label="ball")
        recording(tmp_path / "2.npz", fault="inner")
        items, aside, _ = read(tmp_path)
        assert items["1.npz"].label == "ball"
        assert aside == {"2.npz": "no label: in no class folder, and without a field 'label'"}
        items, aside, _ = read(tmp_path, label="fault")
        assert items["2.npz"].label == "inner"
        assert aside == {"1.npz": "no field or column 'fault' for the label"}

    def test_every_bad_file_has_its_reason(self, tmp_path: Path) -> None:
        whole = recording(tmp_path / "a" / "ok.npz").read_bytes()
        for name, content in (("empty", b""), ("text", b"text"), ("half", whole[: len(whole) // 2])):
            (tmp_path / "a" / f"{name}.npz").write_bytes(content)
        recording(tmp_path / "a" / "short.npz", samples=0)
        for name, arrays in {
            "nan": {"signal": np.array([1, np.nan])},
            "inf": {"signal": np.array([1, 1e300])},
            "cube": {"signal": np.zeros((3, 3, 3))},
            "turned": {"signal": np.zeros((3, 12000))},
            "complex": {"signal": np.zeros(5, complex)},
            "words": {"signal": np.array(["a", "b"])},
            "two": {"left": np.zeros(5), "right": np.zeros(5)},
            "objects": {"signal": np.array([{}, {}], dtype=object)},
            "rate": {"signal": np.zeros(5), "fs": np.float64(-1)},
        }.items():
            np.savez(tmp_path / "a" / f"{name}.npz", **arrays)
        items, aside, _ = read(tmp_path)
        assert list(items) == ["a/ok.npz"]
        found = {name.removeprefix("a/").removesuffix(".npz"): reason for name, reason in aside.items()}
        assert found.pop("two") == "no array called signal (found: left (5,), right (5,))"
        assert found.pop("complex").startswith("no array called signal (found: signal (5,)")
        assert found.pop("words").startswith("no array called signal")
        assert found == {
            "empty": "empty file",
            "text": "unreadable: not an .npz archive, or one that was cut off",
            "half": "unreadable: not an .npz archive, or one that was cut off",
            "short": "empty: no samples",
            "nan": "not finite",
            "inf": "not finite",
            "cube": "shape (3, 3, 3): samples, then 1 to 256 channels of numbers are needed",
            "turned": "shape (3, 12000): samples, then 1 to 256 channels of numbers are needed",
            "objects": "unreadable: array 'signal' holds Python objects, not numbers or text",
            "rate": "its sample rate is '-1'",
        }

    def test_one_that_expands_beyond_reason_is_not_unpacked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").mkdir()
        zipped(tmp_path / "a" / "bomb.npz", {"signal.npy": bytes(1 << 20)})
        monkeypatch.setattr(archives, "_MOST_BYTES", 1 << 19)
        assert read(tmp_path)[1] == {"a/bomb.npz": "unreadable: it expands to more than 1 GiB"}


class TestRates:
    def test_two_rates_are_refused_with_the_option_and_resampled_with_it(self, tmp_path: Path) -> None:
        recording(tmp_path / "a" / "1.npz", 1)
        recording(tmp_path / "a" / "2.npz", 2, samples=800, channels=2, sample_rate_hz=48000)
        with pytest.raises(DataError, match=r"a/2\.npz has 48000 Hz, a/1\.npz 12000 Hz") as caught:
            read(tmp_path)
        assert "--sample-rate 12000" in (caught.value.fix or "")
        items, _, reader = read(tmp_path, sample_rate_hz=12000.0)
        assert items["a/2.npz"].values.shape == (200, 2)
        assert reader.notes == ["1 file resampled to 12000 Hz"]

    def test_files_without_a_rate_believe_the_option(self, tmp_path: Path) -> None:
        text(tmp_path / "a" / "1.csv", "x\n1\n2\n")
        assert read(tmp_path)[2].sample_rate_hz == 0
        items, _, reader = read(tmp_path, sample_rate_hz=100.0)
        assert items["a/1.csv"].values.tolist() == [[1.0], [2.0]]
        assert reader.notes == ["1 file without a sample rate: 100 Hz is believed"]
        recording(tmp_path / "a" / "2.npz")
        with pytest.raises(DataError, match=r"a/2\.npz has 12000 Hz, a/1\.csv no sample rate"):
            read(tmp_path)


class TestColumns:
    def test_numbers_are_channels_and_one_text_is_metadata(self, tmp_path: Path) -> None:
        text(
            tmp_path / "walk" / "1.csv",
            "time,ax,ay,subject,sample_rate_hz\n0.00,1,2.5,ann,50\n0.02,3,-4e-1,ann,50\n",
        )
        text(
            tmp_path / "run" / "2.csv",
            "\ufefftime;ax;ay;subject;sample_rate_hz\n0,5,6,bob,50\n".replace(",", ";"),
        )
        items, aside, reader = read(tmp_path)
        assert items["walk/1.csv"].values.tolist() == [[1.0, 2.5], [3.0, np.float32(-0.4)]]
        assert items["run/2.csv"].values.tolist() == [[5.0, 6.0]]
        assert items["run/2.csv"].slices == {"subject": "bob"}
        assert (reader.sample_rate_hz, aside) == (50.0, {})
        assert reader.notes == ["left out as time: time"]

    def test_without_a_header(self, tmp_path: Path) -> None:
        text(tmp_path / "a" / "1.csv", "1,2\n3,4\n5,6\n")
        assert read(tmp_path)[0]["a/1.csv"].values.tolist() == [[1, 2], [3, 4], [5, 6]]

    def test_the_label_is_a_column(self, tmp_path: Path) -> None:
        text(tmp_path / "1.csv", "x,activity,machine\n1,walk,7\n2,walk,7\n")
        text(tmp_path / "2.csv", "x,activity,machine\n3,run,8\n")
        items, _, _ = read(tmp_path, label="activity", group="machine")
        assert {file: item.label for file, item in items.items()} == {"1.csv": "walk", "2.csv": "run"}
        assert items["2.csv"].values.tolist() == [[3.0]]
        assert items["2.csv"].slices == {"machine": "8"}

    def test_parquet_is_as_csv(self, tmp_path: Path) -> None:
        parquet(
            tmp_path / "a" / "1.parquet", ax=np.array([1, 2], np.int16), ay=np.array([0.5, 1.5]),
            subject=["ann", "ann"], machine=[3, 3], ok=[True, False],
        )  # fmt: skip
        items, aside, _ = read(tmp_path, slices=("machine",))
        assert items["a/1.parquet"].values.tolist() == [[1.0, 0.5, 1.0], [2.0, 1.5, 0.0]]
        assert items["a/1.parquet"].slices == {"subject": "ann", "machine": "3"}
        assert aside == {}

    def test_many_rows_come_in_batches(self, tmp_path: Path) -> None:
        rows = np.arange(200_000) % 1000
        text(tmp_path / "a" / "1.csv", "x,who\n" + "".join(f"{value}.25,ann\n" for value in rows))
        parquet(tmp_path / "a" / "2.parquet", x=rows + 0.25, who=["ann"] * len(rows))
        items, aside, _ = read(tmp_path)
        assert aside == {}
        for item in items.values():
            assert (item.values[:, 0] == rows + 0.25).all()
            assert item.slices == {"who": "ann"}

    def test_every_bad_file_has_its_reason(self, tmp_path: Path) -> None:
        good = parquet(tmp_path / "a" / "ok.parquet", x=[1.0, 2.0]).read_bytes()
        for name, content in {
            "empty.csv": "",
            "blank.csv": "\n\n",
            "header.csv": "x,y\n",
            "ragged.csv": "x,y\n1,2\n3\n",
            "word.csv": "x,y\n1,2\n3,oops\n5,6\n",
            "missing.csv": "x,y\n1,2\n,4\n",
            "people.csv": "x,who\n1,ann\n2,bob\n",
            "twice.csv": "x,x\n1,2\n",
            "words.csv": "who\nann\nann\n",
        }.items():
            text(tmp_path / "a" / name, content)
        (tmp_path / "a" / "bytes.csv").write_bytes(b"x,y\n\xff\xfe\x00,1\n")
        (tmp_path / "a" / "half.parquet").write_bytes(good[: len(good) // 2])
        (tmp_path / "a" / "text.parquet").write_bytes(b"hello hello hello")
        parquet(tmp_path / "a" / "lists.parquet", x=[[1, 2], [3]])
        items, aside, _ = read(tmp_path)
        assert list(items) == ["a/ok.parquet"]
        assert aside.pop("a/ragged.csv") == "row 2: 1 column, not 2"
        for name in ("bytes.csv", "half.parquet", "text.parquet"):
            reason = aside.pop(f"a/{name}")
            assert reason.startswith("unreadable: ")
            assert "\n" not in reason
        assert aside == {
            "a/empty.csv": "empty file",
            "a/blank.csv": "empty: its first line is blank",
            "a/header.csv": "empty: no rows",
            "a/word.csv": "row 2: y is 'oops', not a number",
            "a/missing.csv": "not finite",
            "a/people.csv": "column 'who' is neither of numbers nor one text throughout",
            "a/twice.csv": "its header has a column twice, or one without a name",
            "a/words.csv": "shape (2, 0): samples, then 1 to 256 channels of numbers are needed",
            "a/lists.parquet": "column 'x' holds lists, not numbers or text",
        }


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text(tmp_path / "a" / "1.csv", "x\n1\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="CSV and Parquet files need pyarrow") as caught:
        read(tmp_path)
    assert caught.value.fix == 'pip install "edgeops[train]"'


def steps(root: Path, name: str, times: object, extra: str = "ax", label: str = "walk") -> Path:
    rows = "".join(f"{time},{number}.5\n" for number, time in enumerate(times))  # type: ignore[arg-type, call-overload]
    return text(root / label / f"{name}.csv", f"time,{extra}\n{rows}")


class TestTime:
    def test_its_steps_make_the_rate(self, tmp_path: Path) -> None:
        steps(tmp_path, "1", [0.02 * n for n in range(50)])
        steps(tmp_path, "2", [round(0.0201 * n, 4) for n in range(50)])  # a clock that is a little slow
        steps(tmp_path, "3", [0])  # too short to have a rate of its own
        items, aside, reader = read(tmp_path)
        assert (len(items), aside, reader.sample_rate_hz) == (3, {}, 50.0)
        assert reader.notes == ["left out as time: time; its steps of 0.02 s make 50 Hz"]

    def test_a_unit_that_is_a_guess_is_said_to_be_one_and_the_option_is_believed(
        self, tmp_path: Path
    ) -> None:
        steps(tmp_path, "1", range(0, 1000, 20))
        assert read(tmp_path)[2].notes == [
            "left out as time: time; its steps of 0.02 s make 50 Hz (read as milliseconds: --sample-rate HZ says "
            "what is right)"
        ]
        items, _, reader = read(tmp_path, sample_rate_hz=0.05)
        assert (len(items["walk/1.csv"].values), reader.sample_rate_hz) == (50, 0.05)

    def test_a_rate_that_is_asked_for_resamples(self, tmp_path: Path) -> None:
        steps(tmp_path, "1", [0.01 * n for n in range(100)])
        items, _, reader = read(tmp_path, sample_rate_hz=50.0)
        assert len(items["walk/1.csv"].values) == 50
        assert reader.notes == ["1 file resampled to 50 Hz", "left out as time: time"]

    def test_uneven_steps_are_a_warning(self, tmp_path: Path) -> None:
        steps(tmp_path, "1", [0.02 * n for n in range(50)])
        steps(tmp_path, "2", [0.02 * n + 0.013 * (n % 2) for n in range(50)])
        items, _, reader = read(tmp_path)
        assert (len(items), reader.sample_rate_hz) == (2, 50.0)
        assert reader.notes[-1].startswith("warning: 1 file with uneven steps of time, such as walk/2.csv")

    def test_two_clocks_that_differ_are_refused_with_the_option(self, tmp_path: Path) -> None:
        steps(tmp_path, "1", [0.02 * n for n in range(50)])
        steps(tmp_path, "2", [0.04 * n for n in range(50)])
        with pytest.raises(DataError, match=r"walk/2\.csv has 25 Hz, walk/1\.csv 50 Hz"):
            read(tmp_path)

    def test_none_at_all_is_a_warning_that_names_the_option(self, tmp_path: Path) -> None:
        text(tmp_path / "a" / "1.csv", "x\n1\n2\n")
        (note,) = read(tmp_path)[2].notes
        assert note.startswith("warning: the sample rate is not known")
        assert "--sample-rate 50" in note


class TestChannels:
    def test_they_are_named_and_in_the_order_of_the_first_file(self, tmp_path: Path) -> None:
        text(tmp_path / "a" / "1.csv", "ax,ay\n1,2\n3,4\n")
        text(tmp_path / "a" / "2.csv", "ay,ax\n6,5\n8,7\n")
        items, _, reader = read(tmp_path)
        assert reader.columns == ("ax", "ay")
        assert items["a/2.csv"].values.tolist() == [[5, 6], [7, 8]]

    def test_a_file_with_others_is_set_aside(self, tmp_path: Path) -> None:
        text(tmp_path / "a" / "1.csv", "ax,ay\n1,2\n")
        text(tmp_path / "a" / "2.csv", "ax,az\n5,6\n")
        items, aside, _ = read(tmp_path)
        assert list(items) == ["a/1.csv"]
        assert aside == {"a/2.csv": "other channels than a/1.csv: ax, az instead of ax, ay"}
