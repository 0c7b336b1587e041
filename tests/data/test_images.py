"""Images: what is read, how sizes and colours are brought together, what is set aside."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.sources import image, images, pixels, text

from edgeops.core.errors import DataError, MissingExtra
from edgeops.data.readers import images as reader_module
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Item, Request, SetAside


def read(root: Path, **asked: object) -> tuple[dict[str, Item], dict[str, str], list[str]]:
    """Items and reasons by file, and notes."""
    reader, aside = open_source(str(root), Request(kind="image", **asked))  # type: ignore[arg-type]
    entries = [*aside, *reader]
    assert reader.done == reader.total
    items = {entry.file: entry for entry in entries if isinstance(entry, Item)}
    return items, {e.file: e.reason for e in entries if isinstance(e, SetAside)}, reader.notes


def test_pixels_are_what_the_file_holds(tmp_path: Path) -> None:
    image(tmp_path / "cat" / "a.png", 1)
    image(tmp_path / "dög" / "ß.PNG", 2)
    items, aside, notes = read(tmp_path)
    assert {file: item.label for file, item in items.items()} == {"cat/a.png": "cat", "dög/ß.PNG": "dög"}
    assert items["cat/a.png"].values.dtype == np.uint8
    assert (items["cat/a.png"].values == pixels(1)).all()
    assert (aside, notes) == ({}, [])


def test_grey_stays_grey_with_one_channel(tmp_path: Path) -> None:
    for mode in ("L", "1", "LA"):
        image(tmp_path / "a" / f"{mode}.png", pixels(len(mode)), mode)
    items, _, _ = read(tmp_path)
    assert {item.values.shape for item in items.values()} == {(6, 8, 1)}


def test_grey_among_colour_becomes_colour_and_it_is_said(tmp_path: Path) -> None:
    grey = pixels(1, channels=1)
    image(tmp_path / "a" / "grey.png", grey)
    for mode in ("RGB", "RGBA", "P", "CMYK"):
        image(tmp_path / "a" / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}", 2, mode)
    items, _, notes = read(tmp_path)
    assert {item.values.shape for item in items.values()} == {(6, 8, 3)}
    assert (items["a/grey.png"].values == grey[..., np.newaxis]).all()
    assert notes == ["1 grey image made RGB, as the others are"]


def test_images_join_the_channels_that_are_there(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png", 1)
    items, _, notes = read(tmp_path, channels=1)
    assert items["a/1.png"].values.shape == (6, 8, 1)
    assert "made grey" in notes[0]


def test_sixteen_bits_are_cut_to_eight(tmp_path: Path) -> None:
    deep = (np.arange(48, dtype=np.uint16).reshape(6, 8) << 8) + 255
    image(tmp_path / "a" / "deep.png", deep)
    items, _, notes = read(tmp_path)
    assert (items["a/deep.png"].values[..., 0] == np.arange(48).reshape(6, 8)).all()
    assert "16 bits" in notes[0]


def test_mixed_sizes_are_refused_with_the_option_and_taken_with_it(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png", pixels(1, 6, 8))
    image(tmp_path / "a" / "2.png", pixels(2, 6, 8))
    image(tmp_path / "b" / "3.png", pixels(3, 12, 12))
    with pytest.raises(DataError, match=r"not of one size .*: 2 of 6x8, 1 of 12x12") as caught:
        read(tmp_path)
    assert "such as --size 6x6; --fit crop" in (caught.value.fix or "")
    items, _, notes = read(tmp_path, size=(6, 8))
    assert {item.values.shape for item in items.values()} == {(6, 8, 3)}
    assert notes == ["1 of 3 files stretched or shrunk to 6x8"]


def test_resizing_is_that_of_height_and_width(tmp_path: Path) -> None:
    flat = np.full((10, 20, 3), 77, np.uint8)
    image(tmp_path / "a" / "1.png", flat)
    items, _, _ = read(tmp_path, size=(5, 4))
    assert items["a/1.png"].values.shape == (5, 4, 3)
    assert (items["a/1.png"].values == 77).all()


def test_a_turned_photograph_is_turned_back(tmp_path: Path) -> None:
    values = np.zeros((16, 32, 3), np.uint8)
    values[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image(tmp_path / "a" / "1.jpg", values, exif=exif, quality=95)
    items, _, _ = read(tmp_path)
    found = items["a/1.jpg"].values
    assert found.shape == (32, 16, 3)
    assert found[:14].min() > 200 > 50 > found[18:].max()


def test_every_bad_file_has_its_reason(tmp_path: Path) -> None:
    images(tmp_path, per_class=2)
    whole = (tmp_path / "cat" / "0.png").read_bytes()
    jpeg = image(tmp_path / "cat" / "ok.jpg", 5).read_bytes()
    (tmp_path / "cat" / "empty.png").write_bytes(b"")
    (tmp_path / "cat" / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cat" / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "cat" / "text.png").write_text("no image")
    Image.new("RGB", (8, 6)).save(tmp_path / "cat" / "really.gif")
    (tmp_path / "cat" / "gif.png").write_bytes((tmp_path / "cat" / "really.gif").read_bytes())
    image(tmp_path / "loose.png", 9)
    text(tmp_path / "cat" / "notes.txt", "hello")
    flipped = bytearray(whole)
    flipped[-20] ^= 255
    (tmp_path / "dog" / "flipped.png").write_bytes(bytes(flipped))
    items, aside, _ = read(tmp_path)
    assert sorted(items) == ["cat/0.png", "cat/1.png", "cat/ok.jpg", "dog/0.png", "dog/1.png"]
    assert aside.pop("dog/flipped.png").startswith("unreadable: ")
    assert aside.pop("cat/half.png").startswith("unreadable: ")
    assert aside.pop("cat/half.jpg").startswith("unreadable: ")
    assert aside == {
        "cat/empty.png": "empty file",
        "cat/text.png": "neither PNG nor JPEG by its content",
        "cat/gif.png": "neither PNG nor JPEG by its content",
        "cat/really.gif": "not a PNG or JPEG file (.gif)",
        "cat/notes.txt": "not a PNG or JPEG file (.txt)",
        "loose.png": "in no class folder",
    }


def test_an_image_that_would_fill_the_memory_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")  # a few KiB, 400 million pixels
    image(tmp_path / "x" / "small.png", 1)
    (tmp_path / "a.png").rename(tmp_path / "x" / "bomb.png")
    items, aside, _ = read(tmp_path)
    assert list(items) == ["x/small.png"]
    assert aside == {"x/bomb.png": "larger than 50,000,000 pixels"}
    monkeypatch.setattr(reader_module, "MAX_PIXELS", 47)
    assert read(tmp_path)[0] == {}


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path, per_class=1)
    for name in [name for name in sys.modules if name.split(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="images need pillow") as caught:
        read(tmp_path)
    assert caught.value.fix == 'pip install "edgeops[train]"'


@pytest.mark.parametrize(
    ("sides", "suggested"),
    [((300, 90), "64x64"), ((300, 200), "96x96"), ((40, 33), "32x32"), ((20, 9), "9x9")],
)
def test_the_size_that_is_suggested_is_a_square_to_shrink_to(
    tmp_path: Path, sides: tuple[int, int], suggested: str
) -> None:
    for number, side in enumerate(sides):
        image(tmp_path / "a" / f"{number}.png", pixels(number, side, side + 1))
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert f"such as --size {suggested};" in (caught.value.fix or "")


def test_cutting_keeps_the_proportions(tmp_path: Path) -> None:
    values = np.zeros((10, 30, 3), np.uint8)
    values[:, 10:20] = 200  # the middle third, which is the square
    image(tmp_path / "a" / "wide.png", values)
    image(tmp_path / "a" / "high.png", values.transpose(1, 0, 2))
    items, _, notes = read(tmp_path, size=(5, 5), crop=True)
    assert all((item.values == 200).all() for item in items.values())
    assert notes == ["2 of 2 files cut and resized to 5x5"]
    stretched, _, _ = read(tmp_path, size=(5, 5))
    assert stretched["a/wide.png"].values.min() == 0


def test_sizes_are_compared_before_anything_is_given(tmp_path: Path) -> None:
    """So that no bar is drawn for a source that is refused."""
    text(tmp_path / "a" / "notes.txt", "x")
    image(tmp_path / "a" / "1.png", pixels(1, 6, 8))
    image(tmp_path / "a" / "2.png", pixels(2, 9, 9))
    reader, _ = open_source(str(tmp_path), Request(kind="image"))
    with pytest.raises(DataError):
        next(iter(reader))
