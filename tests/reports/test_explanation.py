"""The page of an explanation: every kind of input is drawn, and nothing is fetched."""

from __future__ import annotations

import base64
import dataclasses
import re
import struct
import zlib

import numpy as np
import pytest

from edgeops.reports.attribution_pictures import (
    attribution_bars,
    diverging,
    grid_picture,
    heat_picture,
    input_picture,
    value_bars,
)
from edgeops.reports.explanation import ExplainedItem, Explanation, Loss, render_explanation

RNG = np.random.default_rng(5)
HOSTILE = "<img src=x>"
SHAPES = {
    "image": (6, 4, 3),
    "spectrogram": (9, 5, 1),
    "spectrum": (12, 2),
    "series": (1000, 3),
    "table": (30,),
}
HEATS = {"image": (6, 4), "spectrogram": (9, 5), "spectrum": (12,), "series": (1000,)}


def item(view: str, *, right: bool) -> ExplainedItem:
    values = RNG.normal(size=SHAPES[view]).astype(np.float32)
    attribution = RNG.normal(size=values.shape).astype(np.float32)
    heat = RNG.uniform(size=HEATS[view]).astype(np.float32) if view in HEATS else None
    return ExplainedItem(
        name=HOSTILE,
        truth="pear",
        said="pear" if right else "apple",
        confidence=0.75,
        int8_said="pear",
        int8_confidence=0.5,
        values=values,
        attribution=attribution,
        difference=float(attribution.sum()) + 0.25,
        by_region={"a": 0.1, "b": -0.7, "c": 0.4, "d": 0.2},
        against=None if right else -attribution,
        heat=heat,
    )


def explanation(view: str, *, anomalies: bool = False) -> Explanation:
    losses = [Loss(f"region {i}", 0.01 * (i % 7), 0.005) for i in range(30)]
    return Explanation(
        model="fruit@1",
        description=HOSTILE,
        view=view,
        finds_anomalies=anomalies,
        measure="accuracy",
        quality=0.9,
        permuted=100,
        repeats=3,
        losses=losses,
        grid=(6, 5) if view == "image" else None,
        tested=400,
        wrong=1,
        value_range=(np.float32(-2), np.float32(2)),
        items=[item(view, right=False), item(view, right=True)],
    )


def pixels(markup: str) -> np.ndarray:
    """(height, width, 3 or 1) of the PNG in an ``<img>``, whose filters are all none."""
    data = base64.b64decode(re.search(r"base64,([^\"]+)", markup)[1])  # type: ignore[index]
    width, height, _, colour = struct.unpack(">IIBB", data[16:26])
    length = struct.unpack(">I", data[33:37])[0]
    rows = np.frombuffer(zlib.decompress(data[41 : 41 + length]), np.uint8).reshape(height, -1)
    return rows[:, 1:].reshape(height, width, 3 if colour == 2 else 1)


@pytest.mark.parametrize("view", SHAPES)
def test_every_kind_of_input_is_drawn(view: str) -> None:
    page = render_explanation(explanation(view))
    drawn = page.split("What it looked at")[1]
    assert drawn.count("<figure>") == (
        5 if view == "table" else 7
    )  # three or four for the wrong, two or three
    first = "input, after the preprocessing" if view == "table" else "input"
    for caption in (first, "for &#39;apple&#39;", "for &#39;pear&#39;"):
        assert f"<figcaption>{caption}</figcaption>" in drawn
    assert ("Grad-CAM" in drawn) == (view != "table")
    assert "pear, taken for apple" in drawn


def test_what_spoke_for_an_answer_has_the_colour_of_the_key_in_a_table_too() -> None:
    """Orange is for, blue against: class ``b`` of the style sheet, and class ``a``."""
    bars = attribution_bars(["heat", "wind"], np.float32([20, 3]), np.float32([0.4, -0.1]))
    assert re.findall(r'class="dot (\w)"', bars) == ["b", "a"]
    assert re.findall(r'end">([^<]+ = [^<]+)<', bars) == ["heat = 20", "wind = 3"]
    assert re.findall(r'class="dot (\w)"', value_bars(["heat", "wind"], np.float32([2, -3]))) == ["a", "a"]


def test_columns_have_their_own_names_and_a_long_one_leaves_room_for_the_value() -> None:
    names = [f"column {i}" for i in range(28)] + [HOSTILE, "the temperature of the bearing at the drive end"]
    page = dataclasses.replace(explanation("table"), columns=names)
    values = np.arange(30, dtype=np.float32)
    page.items[0].attribution[:] = values
    drawn = render_explanation(page)
    assert "the temperature of… = " in drawn
    assert HOSTILE not in drawn


def test_small_attributions_are_not_shown_as_nothing() -> None:
    bars = attribution_bars(["a", "b"], np.float32([1, 1]), np.float32([3e-5, -0.0]))
    widths = [float(width) for width in re.findall(r'class="dot \w"[^>]* width="([\d.]+)"', bars)]
    assert widths[0] > 100 > 1 > widths[1]
    assert ">3e-05<" in bars and "-0.000" not in bars


def test_a_model_that_answers_the_same_whatever_it_is_shown_is_told_of() -> None:
    page = explanation("series")
    words = "the model answers the same whatever it is shown"
    assert words not in render_explanation(page)
    nothing = [Loss(loss.region, 0.0, 0.0) for loss in page.losses]
    assert words in render_explanation(dataclasses.replace(page, losses=nothing))


def test_a_long_label_is_cut_over_a_picture() -> None:
    page = explanation("image")
    long = dataclasses.replace(page.items[1], said="a" * 80, truth="a" * 80)
    drawn = render_explanation(dataclasses.replace(page, items=[long]))
    assert f"<figcaption>for &#39;{'a' * 17}…&#39;</figcaption>" in drawn


def test_the_page_fetches_nothing_and_believes_no_name() -> None:
    page = render_explanation(explanation("image"))
    assert "<script" not in page and "http" not in page and HOSTILE not in page
    assert set(re.findall(r'src="([^":]+):', page)) == {"data"}


def test_only_the_largest_losses_are_shown_and_the_rest_is_counted() -> None:
    page = render_explanation(explanation("series"))
    assert "The 6 of least importance are left out." in page
    assert "region 0" not in page and "region 6" in page


def test_an_anomaly_is_told_by_its_error() -> None:
    page = render_explanation(explanation("spectrogram", anomalies=True))
    assert "squared error" in page and "Integrated gradients" not in page


def test_figures_for_programs() -> None:
    document = explanation("image").as_dict()
    lost = document["importance"]["lost"]
    assert lost[0] == {"region": "region 6", "lost": 0.06, "deviation": 0.005}
    assert [entry["lost"] for entry in lost] == sorted((entry["lost"] for entry in lost), reverse=True)
    first = document["items"]["explained"][0]
    assert (first["true"], first["said"], first["right"]) == ("pear", "apple", False)
    assert first["attribution"]["unexplained"] == pytest.approx(0.25, abs=1e-5)
    assert len(first["grad_cam_peak"]) == 2
    assert "grad_cam_peak" not in explanation("table").as_dict()["items"]["explained"][0]
    assert [name for name, _ in item("table", right=True).strongest()] == ["b", "c", "d"]


def test_orange_speaks_for_and_blue_against() -> None:
    shown = diverging(np.array([[1.0, -1.0, 0.0]], np.float32))
    (red, _, blue), (other_red, _, other_blue), white = shown[0].astype(int)
    assert red > blue + 100 and other_blue > other_red + 100
    assert (white == 250).all()
    assert (diverging(np.zeros((2, 2), np.float32)) == 250).all()


def test_frames_run_across_with_the_lowest_band_below() -> None:
    values = np.zeros((4, 3, 1), np.float32)
    values[1, 0] = 1  # second frame, lowest band
    shown = pixels(input_picture("spectrogram", values, (np.float32(0), np.float32(1))))
    assert np.argwhere(shown[..., 0]).tolist() == [[2, 1]]


def test_each_band_may_have_its_own_range() -> None:
    values = np.array([[0, 100], [1, 100]], np.float32)
    shown = pixels(input_picture("spectrogram", values, (np.array([0, 0]), np.array([1, 200]))))
    assert shown[..., 0].tolist() == [[128, 128], [0, 255]]


def test_heat_lies_over_the_input_where_it_is() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[3, 0] = 2
    shown = pixels(
        heat_picture("image", np.zeros((4, 4, 1), np.float32), heat, (np.float32(0), np.float32(1)))
    )
    assert np.argwhere(shown[..., 0]).tolist() == [[3, 0]]
    along = np.array([0, 0, 1, 0], np.float32)
    frames = pixels(
        heat_picture("spectrogram", np.zeros((4, 3), np.float32), along, (np.float32(0), np.float32(1)))
    )
    assert np.argwhere(frames[..., 0]).tolist() == [[0, 2], [1, 2], [2, 2]]


def test_regions_of_an_image_are_drawn_where_they_lie() -> None:
    shown = pixels(grid_picture([0, 0, 0, 0, 0.5, 0], (2, 3)))
    assert np.argwhere(shown[..., 2] < 250).tolist() == [[1, 1]]
