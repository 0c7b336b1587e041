"""The page of a dataset: whole in one file, well formed, and with what it should show."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeops.reports.dataset_page import DatasetPage, Shown, balance_bars, png, render_dataset, waveform

HOSTILE = '<script>alert("x")</script>&'


def sound(label: str = "yes", name: str = "yes/1.wav", channels: int = 1) -> Shown:
    low = np.linspace(-1, 0, 10, dtype=np.float32)[np.newaxis].repeat(channels, axis=0)
    return Shown(label, "train", name, None, low, -low)


def picture(label: str = "cat") -> Shown:
    return Shown(label, "test", "cat/1.png", np.zeros((4, 6, 3), np.uint8), None, None)


def page(*shown: Shown) -> DatasetPage:
    return DatasetPage(
        title=f"set@1 {HOSTILE}", sha256="ab" * 32, facts=[("Items", "12", HOSTILE)],
        balance={"train": {"cat": 5, HOSTILE: 1}, "test": {"cat": 2, HOSTILE: 0}},
        tables=[("Set aside", ["File", "Why"], [[HOSTILE, "empty file"]])], notes=[HOSTILE], samples=shown,
    )  # fmt: skip


class Tags(HTMLParser):
    """Every start tag with its attributes; fails where tags do not close in order."""

    VOID = ("meta", "img", "br", "link", "rect", "line")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_it_is_whole_in_one_file_and_harmless() -> None:
    html = render_dataset(page(picture(), sound(HOSTILE, HOSTILE, 3)), 0.0)
    found = tags(html).found
    assert not [tag for tag, _ in found if tag in ("script", "link", "iframe")]
    assert "<script" not in html
    links = [
        value for _, attributes in found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert links and all(str(link).startswith("data:image/png;base64,") for link in links)
    assert not re.findall(r"(?:https?:)?//[a-z]", html.replace("data:image/png;base64,", ""))
    assert "1970-01-01 00:00:00 UTC" in html
    for words in ("set@1", "empty file", "cat/1.png", "one scale"):
        assert words in html


def test_every_class_and_every_sample_is_there() -> None:
    html = render_dataset(page(picture("cat"), picture("cat"), picture("dog")), 0.0)
    assert html.count("<img") == 3
    assert "one scale" not in html
    assert [html.index("<h3>cat"), html.index("<h3>dog")] == sorted(
        [html.index("<h3>cat"), html.index("<h3>dog")]
    )


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))
    | hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
)
def test_a_png_holds_its_pixels(pixels: np.ndarray) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(png(pixels))) as image:
        assert image.format == "PNG"
        assert (np.asarray(image) == pixels).all()


def test_a_waveform_lies_inside_of_its_picture() -> None:
    drawn = str(waveform(sound(channels=2), -1.0, 1.0))
    points = [
        tuple(map(float, p.split(",")))
        for group in re.findall(r'points="([^"]+)"', drawn)
        for p in group.split()
    ]
    assert drawn.count("<polygon") == 2
    assert all(0 <= x <= 240 and 0 <= y <= 72 for x, y in points)
    assert "<line" in drawn  # zero lies between
    flat = Shown("a", "train", "a", None, np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    assert "nan" not in str(waveform(flat, 0.0, 0.0))
    with pytest.raises(ValueError, match="neither pixels nor an envelope"):
        waveform(picture(), 0, 1)


def test_bars_are_as_long_as_there_are_items() -> None:
    drawn = str(balance_bars({"train": {"a": 30, "b": 10}, "test": {"a": 10, "b": 0}}))
    widths = [float(width) for width in re.findall(r'y="(?:26|48)" width="([\d.]+)"', drawn)]
    assert widths == pytest.approx([630, 210, 210, 0])
    assert "Items by class: a 40, b 10" in drawn
    assert balance_bars({})
