"""The picture of layers: everything is within it, and names cannot break it."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from edgeops.reports.layers import layer_picture

SVG = "{http://www.w3.org/2000/svg}"
DB = st.floats(-50, 200)
NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=1000, categories=["L", "N", "P", "S"]), max_size=90
)


@given(st.lists(st.tuples(NAMES, DB, DB), max_size=30))
def test_every_bar_and_mark_is_within_the_picture(layers: list[tuple[str, float, float]]) -> None:
    root = ElementTree.fromstring(layer_picture(layers))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    groups = root.findall(f"{SVG}g")
    assert len(groups) == len(layers)
    for bar in root.iter(f"{SVG}rect"):
        x, y = float(bar.get("x", 0)), float(bar.get("y", 0))
        assert 0 <= x <= x + float(bar.attrib["width"]) <= width
        assert 0 <= y <= y + float(bar.attrib["height"]) <= height


def test_a_longer_bar_is_a_better_layer_and_each_has_its_number() -> None:
    root = ElementTree.fromstring(
        layer_picture([("good", 40.0, 30.0), ("poor", 12.5, -3.0), ("<&>", 20.0, 1.0)])
    )
    widths = [float(group.findall(f"{SVG}rect")[0].attrib["width"]) for group in root.findall(f"{SVG}g")]
    assert widths[0] > widths[2] > widths[1] > 0
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"good", "40.0", "poor", "12.5", "<&>", "worst channel"} <= set(words)


def test_long_names_keep_their_end() -> None:
    root = ElementTree.fromstring(layer_picture([(f"{'a' * 60}/Relu", 40.0, 30.0)]))
    (name,) = [t.text or "" for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    assert name.startswith("…") and name.endswith("/Relu") and len(name) <= 44
