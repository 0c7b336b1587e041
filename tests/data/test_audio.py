"""Sounds: every depth, any rate, mono or stereo; what is cut off is seen, though libsndfile would read it."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from support.sources import speech, text, tone, wav

from edgeops.core.errors import DataError, MissingExtra
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Item, Reader, Request, SetAside
from edgeops.data.readers.wav import shortfall


def read(root: Path, **asked: object) -> tuple[dict[str, Item], dict[str, str], Reader]:
    reader, aside = open_source(str(root), Request(kind="audio", **asked))  # type: ignore[arg-type]
    entries = [*aside, *reader]
    items = {entry.file: entry for entry in entries if isinstance(entry, Item)}
    return items, {e.file: e.reason for e in entries if isinstance(e, SetAside)}, reader


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 256), ("PCM_16", 1), ("PCM_24", 1), ("PCM_32", 1), ("FLOAT", 1), ("DOUBLE", 1)],
)
def test_every_depth_gives_the_same_sound(tmp_path: Path, subtype: str, step: int) -> None:
    wav(tmp_path / "yes" / "a.wav", tone(3), subtype=subtype)
    items, aside, reader = read(tmp_path)
    found = items["yes/a.wav"].values
    assert (found.dtype, found.shape, reader.sample_rate_hz) == (np.int16, (400,), 8000.0)
    assert np.abs(found - tone(3) * 32768).max() <= step
    assert (aside, reader.notes) == ({}, [])


def test_sixteen_bits_are_kept_exactly(tmp_path: Path) -> None:
    samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
    wav(tmp_path / "yes" / "a.wav", samples)
    assert read(tmp_path)[0]["yes/a.wav"].values.tolist() == samples.tolist()


def test_stereo_becomes_the_mean_and_it_is_said(tmp_path: Path) -> None:
    left, right = tone(1), tone(2)
    wav(tmp_path / "yes" / "a.wav", np.stack([left, right], axis=1))
    items, _, reader = read(tmp_path)
    assert np.abs(items["yes/a.wav"].values - (left + right) / 2 * 32768).max() <= 2
    assert reader.notes == ["1 file with several channels: their mean is taken"]


def test_another_rate_is_refused_with_the_option_and_resampled_with_it(tmp_path: Path) -> None:
    t = np.arange(4800) / 16000
    wav(tmp_path / "a" / "1.wav", tone(1), 8000)
    wav(tmp_path / "a" / "2.wav", 0.5 * np.sin(2 * np.pi * 440 * t), 16000)
    with pytest.raises(
        DataError, match=r"a/2\.wav has 16000 Hz, a/1\.wav 8000 Hz; a dataset has one"
    ) as caught:
        read(tmp_path)
    assert "--sample-rate 8000" in (caught.value.fix or "")
    items, _, reader = read(tmp_path, sample_rate_hz=8000.0)
    found = items["a/2.wav"].values / 32768
    assert reader.sample_rate_hz == 8000
    assert len(found) == 2400
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2400) / 8000)
    assert np.abs(found - expected)[100:-100].max() < 0.01
    assert len(items["a/1.wav"].values) == 400
    assert reader.notes == ["1 file resampled to 8000 Hz"]


def test_beyond_full_scale_is_clipped_and_said(tmp_path: Path) -> None:
    wav(tmp_path / "a" / "1.wav", np.array([0.0, 1.5, -2.0, 1.0]), subtype="FLOAT")
    items, _, reader = read(tmp_path)
    assert items["a/1.wav"].values.tolist() == [0, 32767, -32768, 32767]
    assert reader.notes == ["1 file beyond full scale, clipped"]


def test_every_bad_file_has_its_reason(tmp_path: Path) -> None:
    speech(tmp_path, per_speaker=1)
    whole = (tmp_path / "no" / "ann_nohash_0.wav").read_bytes()
    bad = tmp_path / "yes"
    (bad / "empty.wav").write_bytes(b"")
    (bad / "half.wav").write_bytes(whole[:444])
    (bad / "header.wav").write_bytes(whole[:30])
    (bad / "text.wav").write_text("no sound in here, whatever its name says")
    wav(bad / "none.wav", np.zeros(0))
    wav(bad / "nan.wav", np.array([0.0, np.nan, 0.5]), subtype="FLOAT")
    codec = bytearray(whole)
    struct.pack_into("<H", codec, 20, 0x7777)
    (bad / "codec.wav").write_bytes(bytes(codec))
    text(bad / "song.mp3", "mp3")
    wav(tmp_path / "loose.wav", 99)
    items, aside, _ = read(tmp_path)
    assert len(items) == 4
    assert aside.pop("yes/codec.wav").startswith("unreadable: ")
    assert aside == {
        "yes/empty.wav": "empty file",
        "yes/half.wav": "truncated: 400 of 800 bytes of samples",
        "yes/header.wav": "truncated: no samples",
        "yes/text.wav": "not a WAV file by its content",
        "yes/none.wav": "empty: no samples",
        "yes/nan.wav": "not finite",
        "yes/song.mp3": "not a WAV file (.mp3)",
        "loose.wav": "in no class folder",
    }


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_streamed_file_without_its_length_is_whole(tmp_path: Path, size: int) -> None:
    whole = bytearray(wav(tmp_path / "a.wav", 1).read_bytes())
    struct.pack_into("<I", whole, whole.index(b"data") + 4, size)
    assert shortfall(bytes(whole)) == ""


def test_chunks_before_the_samples_are_stepped_over(tmp_path: Path) -> None:
    whole = wav(tmp_path / "a.wav", 1).read_bytes()
    at = whole.index(b"data")
    longer = whole[:at] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + whole[at:]
    assert shortfall(longer) == ""
    assert shortfall(longer[:-1]).startswith("truncated: 799 of 800")
    assert shortfall(b"RIFF\0\0\0\0AVI " + bytes(50)) == "not a WAV file by its content"
    assert shortfall(b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd") == "not a WAV file by its content"


def test_names_say_who_spoke(tmp_path: Path) -> None:
    items, _, _ = read(speech(tmp_path), pattern="{label}/{speaker}_nohash_{take}")
    assert items["yes/bob_nohash_3.wav"].slices == {"speaker": "bob", "take": "3"}


@pytest.mark.parametrize(("module", "needs"), [("soundfile", "WAV files"), ("soxr", "another sample rate")])
def test_without_a_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, needs: str
) -> None:
    speech(tmp_path, per_speaker=1)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=f"{needs}.* need {module}") as caught:
        read(tmp_path, sample_rate_hz=16000.0)
    assert caught.value.fix == 'pip install "edgeops[train]"'
