"""Sources that are damaged, that change while they are read, or that lie: one clear line, and nothing is lost."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import images, recording, speech, text, wav

from edgeops.core.errors import DataError
from edgeops.data import sources
from edgeops.data.dataset import load
from edgeops.data.gather import Terms
from edgeops.data.ingest import ingest
from edgeops.data.readers import resampling
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Item, Reader, Request, SetAside, printable
from edgeops.data.readers.tree import FileTree, SourceFile
from edgeops.data.sources import read_source


def read(path: Path, **asked: object) -> tuple[list[Item], dict[str, str], Reader]:
    reader, aside = open_source(str(path), Request(**asked))  # type: ignore[arg-type]
    entries = [*aside, *reader]
    items = [entry for entry in entries if isinstance(entry, Item)]
    return items, {e.file: e.reason for e in entries if isinstance(e, SetAside)}, reader


def recordings(root: Path) -> Path:
    for number in range(4):
        recording(root / "ab"[number % 2] / f"{number}.npz", number)
    return root


def series(root: Path) -> Path:
    for number in range(4):
        rows = "\n".join(f"{number}.{row},{row}" for row in range(30))
        text(root / "ab"[number % 2] / f"{number}.csv", f"x,y\n{rows}\n")
    return root


def damaged(folder: Path, archive: Path, victim: str, how: str) -> Path:
    """A zip of a folder of which one member is flipped, of an unknown compression, or without its header."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            made.write(file, file.relative_to(folder).as_posix())
        entry = made.getinfo(victim)
    content = bytearray(archive.read_bytes())
    data = entry.header_offset + 30 + len(victim)
    if how == "bytes":
        content[data + 8 : data + 24] = bytes(byte ^ 0x55 for byte in content[data + 8 : data + 24])
    elif how == "compression":
        content[entry.header_offset + 8] = content[content.rfind(victim.encode()) - 36] = 99
    else:
        content[entry.header_offset] ^= 0xFF
    archive.write_bytes(bytes(content))
    return archive


@pytest.mark.parametrize("how", ["bytes", "compression", "header"])
@pytest.mark.parametrize(
    ("make", "victim"),
    [(speech, "no/ann_nohash_0.wav"), (images, "cat/0.png"), (recordings, "a/0.npz"), (series, "a/0.csv")],
)
def test_a_damaged_member_of_an_archive_is_set_aside_alone(
    tmp_path: Path, make: Callable[[Path], Path], victim: str, how: str
) -> None:
    whole = make(tmp_path / "in")
    count = len(read(whole)[0])
    items, aside, _ = read(damaged(whole, tmp_path / "in.zip", victim, how))
    assert len(items) == count - 1
    assert list(aside) == [victim] and aside[victim].startswith("unreadable: ")
    assert "unreadable: unreadable" not in aside[victim]


def test_a_damaged_list_of_parts_stops_it_since_all_parts_would_be_wrong(tmp_path: Path) -> None:
    root = speech(tmp_path / "in")
    text(root / "validation_list.txt", "no/ann_nohash_0.wav\n" * 20)
    archive = damaged(root, tmp_path / "in.zip", "validation_list.txt", "bytes")
    with pytest.raises(DataError, match="validation_list.txt, which says what is for validation"):
        read(archive)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), PermissionError(13, "not yours")])
@pytest.mark.parametrize("make", [speech, images, recordings, series])
def test_a_file_that_is_gone_or_closed_when_it_is_read_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], error: OSError
) -> None:
    root = make(tmp_path / "in")
    victim = FileTree(root).files[0].path
    real = Path.open

    def opened(path: Path, *args: object, **kwargs: object) -> object:
        if path == victim:
            raise error
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    items, aside, _ = read(root)
    assert items and len(aside) == 1
    assert str(error.strerror) in next(iter(aside.values()))


@pytest.mark.parametrize("make", [speech, images, recordings])
def test_a_file_that_does_not_fit_into_memory_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path]
) -> None:
    root = make(tmp_path / "in")
    victim, real = FileTree(root).files[0].name, SourceFile.read

    def large(file: SourceFile) -> bytes:
        if file.name == victim:
            raise MemoryError("Unable to allocate 8.00 GiB")
        return real(file)

    monkeypatch.setattr(SourceFile, "read", large)
    items, aside, _ = read(root)
    assert items and list(aside) == [victim]
    assert "Unable to allocate 8.00 GiB" in aside[victim]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = images(tmp_path / "in", 2)
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "self.png").symlink_to("self.png")
    items, aside, _ = read(root)
    assert len(items) == 4
    assert aside["cat/loop"] == "a link, not a file"
    assert aside["cat/self.png"].startswith("cannot be read: Too many levels")


def wav_of(rate: int, samples: int) -> bytes:
    data = np.arange(samples, dtype="<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, rate, 2, 16
    )
    return head + struct.pack("<4sI", b"data", len(data)) + data


class TestSampleRates:
    def test_a_header_that_asks_for_a_huge_recording_is_set_aside(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resampling, "MAX_VALUES", 1_000_000)
        root = speech(tmp_path / "in")
        (root / "no" / "slow.wav").write_bytes(wav_of(1, 2000))
        (root / "no" / "fast.wav").write_bytes(wav_of(2_000_000_000, 20))
        _, aside, reader = read(root, sample_rate_hz=8000.0)
        assert aside == {
            "no/slow.wav": "its sample rate is 1 Hz: at 8000 Hz it would have 1.6e+07 samples",
            "no/fast.wav": "too short: nothing is left of it at 8000 Hz",
        }
        assert reader.notes[1:] == []  # what was set aside was not resampled

    @pytest.mark.parametrize("rate", [1e-300, 0.01])
    def test_so_is_such_a_field_of_a_sensor(self, tmp_path: Path, rate: float) -> None:
        root = recordings(tmp_path / "in")
        recording(root / "a" / "slow.npz", 9, samples=300_000, sample_rate_hz=np.float64(rate))
        recording(root / "a" / "fast.npz", 9, samples=1, sample_rate_hz=np.float64(1e9))
        items, aside, _ = read(root, sample_rate_hz=12000.0)
        assert len(items) == 4
        assert aside["a/slow.npz"].startswith(f"its sample rate is {rate:g} Hz")
        assert aside["a/fast.npz"].startswith("too short")

    def test_a_whole_number_of_hertz_is_as_stored(self, tmp_path: Path) -> None:
        reader, _ = open_source(str(speech(tmp_path / "in")), Request(sample_rate_hz=8000))
        index = ingest(reader, tmp_path / "set" / "1", "set", 1).index
        assert index is not None and load(tmp_path / "set" / "1").sha256 == index.sha256


ROWS = "".join(f"{row}.5,{'ab'[row % 2]}\n" for row in range(60_000))


class TestRows:
    def test_a_row_with_too_many_columns_is_set_aside_alone(self, tmp_path: Path) -> None:
        """It is in the middle: what comes behind it must not be lost, and keeps its number."""
        content = f"x,label\n{ROWS}1,2,3\n60001.5,a\n7\n"
        items, aside, _ = read(text(tmp_path / "t.csv", content))
        assert aside == {"t.csv:60001": "3 columns, not 2", "t.csv:60003": "1 column, not 2"}
        assert (len(items), items[-1].file) == (60_001, "t.csv:60002")

    def test_where_no_row_fits_the_header_it_is_said(self, tmp_path: Path) -> None:
        _, aside, _ = read(text(tmp_path / "t.csv", "x,label\n1,a,\n2,b,\n"))
        assert aside == {"t.csv": "no row can be read; row 1: 3 columns, not 2"}

    def test_what_cannot_be_read_further_stops_it_instead_of_losing_the_rest(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_bytes(f"x,label\n{ROWS}{ROWS}".encode() + b"3.3,\xff\n" + ROWS.encode())
        with pytest.raises(DataError, match=r"t\.csv cannot be read beyond row [\d,]+: .*UTF8") as caught:
            read(tmp_path / "t.csv")
        assert "mend the file" in str(caught.value.fix)

    @pytest.mark.parametrize(
        "content",
        [
            b"\xef\xbb\xbfx,label\n1,a\n2,b\n",
            b"x;label\n1;a\n2;b\n",
            b"x,label\r\n1,a\r\n\r\n2,b",
            b'"x","label"\n"1","a"\n"2","b"\n',
        ],
    )
    def test_files_as_spreadsheets_write_them(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "t.csv").write_bytes(content)
        items, aside, _ = read(tmp_path / "t.csv")
        assert ([(*item.values, item.label) for item in items], aside) == ([(1, "a"), (2, "b")], {})

    @pytest.mark.parametrize("content", [b"x,label\n", "x,größe,label\n1,2,a\n".encode("latin-1"), b"\n\n"])
    def test_what_holds_no_rows_is_one_line(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "t.csv").write_bytes(content)
        items, aside, _ = read(tmp_path / "t.csv")
        assert items == [] and "\n" not in aside["t.csv"]


def table(path: Path, names: list[str], *columns: object) -> Path:
    pq.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], names=names), path)
    return path


class TestParquet:
    @pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.date32(), pa.duration("s")])
    def test_times_beyond_the_calendar_are_set_aside(self, tmp_path: Path, kind: pa.DataType) -> None:
        far = 2**31 - 1 if kind == pa.date32() else 2**61
        columns = {"x": [1, 2], "when": pa.array([far, far], kind), "label": ["a", "b"]}
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        items, aside, _ = read(tmp_path / "t.parquet")
        assert items == [] and aside["t.parquet"].startswith("unreadable: ")

    def test_a_column_that_is_there_twice_is_not_one_of_them_in_silence(self, tmp_path: Path) -> None:
        path = table(tmp_path / "t.parquet", ["x", "x", "label"], [1, 2], [3, 4], ["a", "b"])
        assert read(path)[1] == {"t.parquet": "it has the column 'x' twice"}

    @pytest.mark.parametrize("name", ["", "y" * 70_000])
    def test_a_column_needs_a_name_that_can_be_stored(self, tmp_path: Path, name: str) -> None:
        path = table(tmp_path / "t.parquet", ["x", name, "label"], [1, 2], ["p", "q"], ["a", "b"])
        reason = read(path)[1]["t.parquet"]
        assert reason.startswith("a column is called ") and len(reason) < 100


class TestNames:
    def test_control_characters_neither_reach_a_terminal_nor_break_what_is_stored(
        self, tmp_path: Path
    ) -> None:
        columns = [list(range(20)), ["\x1b[2Jred", "b\nc"] * 10, ["\x1b]0;x\x07no", "yes\u00a0sir"] * 10]
        path = table(tmp_path / "t.parquet", ["x", "a\0b", "label"], *columns)
        reader, aside = open_source(str(path), Request())
        assert ingest(reader, tmp_path / "set" / "1", "set", 1, aside=aside).came == 20
        stored = load(tmp_path / "set" / "1")
        assert set(stored.labels) == {"?]0;x?no", "yes sir"}
        assert {name: set(values) for name, values in stored.slices.items()} == {"a?b": {"?[2Jred", "b c"}}

    def test_half_a_character_in_an_archive_of_arrays_is_a_question_mark(self, tmp_path: Path) -> None:
        x = np.arange(80, dtype=np.float32).reshape(20, 4)
        np.savez(tmp_path / "t.npz", x=x, y=np.arange(20) % 2, labels=np.array(["\ud800", "b"]))
        assert read_source(str(tmp_path / "t.npz")).labels == ("?", "b")
        root = recordings(tmp_path / "in")
        recording(root / "a" / "half.npz", 9, who=np.array("\ud800x"))
        reader, aside = open_source(str(root), Request())
        assert ingest(reader, tmp_path / "set" / "1", "set", 1, aside=aside).came == 5
        assert "?x" in load(tmp_path / "set" / "1").slices["who"]

    @pytest.mark.parametrize("label", ["nan", "-rf", ".hidden", "two words", "größe", "日本", "0"])
    def test_words_that_look_like_something_else_are_labels(self, tmp_path: Path, label: str) -> None:
        content = "x,label\n" + "".join(f"{row},{(label, 'b')[row % 2]}\n" for row in range(20))
        reader, aside = open_source(str(text(tmp_path / "t.csv", content)), Request())
        assert ingest(reader, tmp_path / "set" / "1", "set", 1, aside=aside).index is not None
        assert set(load(tmp_path / "set" / "1").labels) == {label, "b"}

    def test_readable_text_stays_as_it_is(self) -> None:
        assert [printable(word) for word in ("größe 日本", "a\tb", "\u202eevil", "\ud800")] == [
            "größe 日本", "a b", "?evil", "?"
        ]  # fmt: skip


class TestArrays:
    @pytest.mark.parametrize("value", [2**64 - 1, 2**63])
    def test_unsigned_numbers_that_float32_cannot_hold_are_refused(self, tmp_path: Path, value: int) -> None:
        np.savez(tmp_path / "t.npz", x=np.full((4, 2), value, np.uint64), y=np.zeros(4, int))
        with pytest.raises(DataError, match="too large for float32"):
            read_source(str(tmp_path / "t.npz"))

    def test_so_is_the_smallest_number(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "t.npz", x=np.full((4, 2), -(2**63), np.int64), y=np.zeros(4, int))
        with pytest.raises(DataError, match="too large for float32"):
            read_source(str(tmp_path / "t.npz"))

    def test_a_bomb_is_not_unpacked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edgeops.data.archives.HARMLESS_BYTES", 1 << 20)
        np.savez_compressed(
            tmp_path / "t.npz", x=np.zeros((1 << 13, 1 << 10), np.uint8), y=np.zeros(1 << 13, int)
        )
        with pytest.raises(DataError, match="expands to more than 1 MiB"):
            read_source(str(tmp_path / "t.npz"))

    def test_what_does_not_fit_into_memory_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*args: object) -> None:
            raise MemoryError

        monkeypatch.setattr(sources, "check_items", full)
        np.savez(tmp_path / "t.npz", x=np.zeros((4, 2)), y=np.zeros(4, int))
        with pytest.raises(DataError, match="does not fit into memory"):
            read_source(str(tmp_path / "t.npz"))

    @pytest.mark.parametrize(("kind", "shape"), [("image", (9,)), ("audio", (4, 4)), ("series", (2, 2, 2))])
    def test_items_of_another_shape_are_not_that_kind(
        self, tmp_path: Path, kind: str, shape: tuple[int, ...]
    ) -> None:
        np.savez(
            tmp_path / "t.npz", x=np.random.default_rng(0).normal(size=(20, *shape)), y=np.arange(20) % 2
        )
        with pytest.raises(DataError, match=f"are no {kind} data"):
            read(tmp_path / "t.npz", kind=kind)


def test_one_class_one_item_and_a_class_of_one_are_datasets(tmp_path: Path) -> None:
    for number, rows in enumerate(["1,a\n", "1,a\n2,a\n3,a\n", "1,a\n2,a\n3,a\n4,a\n9,z\n"]):
        reader, aside = open_source(str(text(tmp_path / f"{number}.csv", f"x,label\n{rows}")), Request())
        assert ingest(reader, tmp_path / "set" / str(number), "set", 1, aside=aside).came == rows.count("\n")
        parts = load(tmp_path / "set" / str(number)).counts()
        assert parts["train"] >= 1 and sum(parts.values()) == rows.count("\n")


def test_the_split_does_not_depend_on_where_and_in_which_order_files_lie(tmp_path: Path) -> None:
    first, second = images(tmp_path / "in"), tmp_path / "elsewhere"
    for path in sorted(first.rglob("*.png"), reverse=True):
        copy = second / path.parent.name / f"z{99 - int(path.stem)}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    hashes = set()
    for number, root in enumerate((first, second)):
        reader, aside = open_source(str(root), Request())
        done = ingest(reader, tmp_path / "set" / str(number), "set", 1, aside=aside, terms=Terms())
        assert done.index is not None
        hashes.add(done.index.sha256)
    assert len(hashes) == 1


def test_a_picture_that_grew_between_header_and_pixels_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    root = images(tmp_path / "in", 2)
    reader, _ = open_source(str(root), Request())
    bomb = Image.DecompressionBombError("larger than 50 pixels")

    def grown(*args: object) -> None:
        raise bomb

    monkeypatch.setattr(reader, "_pixels", grown)
    assert [entry.reason for entry in reader if isinstance(entry, SetAside)] == ["larger than 50 pixels"] * 4


def test_a_damaged_sound_in_a_folder_is_a_reason_and_no_more(tmp_path: Path) -> None:
    root = speech(tmp_path / "in")
    whole = wav(tmp_path / "whole.wav", 3).read_bytes()
    for number in range(0, len(whole) - 1, 37):
        (root / "no" / f"cut_{number}.wav").write_bytes(whole[:number])
    items, aside, _ = read(root)
    assert len(items) == 20 and len(aside) == len(range(0, len(whole) - 1, 37))
