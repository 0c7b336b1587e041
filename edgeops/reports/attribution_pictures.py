"""Pictures of one model input and of what spoke for an answer in it: PNG data or SVG, within the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from edgeops.reports.charts import bars
from edgeops.reports.dataset_page import Shown, png, waveform

Float32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Range = tuple[Float32, Float32]
"""The smallest and the largest value that is drawn: one number each, or one for each band."""

_FOR, _NEUTRAL, _AGAINST = (np.array(c, np.float64) for c in ((194, 65, 12), (250, 250, 250), (0, 104, 168)))
_IMAGE_SIDE, _GRID_SIDE = 116, 260
_WIDE, _TALL, _STRIP = 236, 110, 16
_COLUMNS = 240
_MOST_CHANNELS = 6
_MOST_ROWS = 10
_ROW_WIDTH = 520
_LONGEST_NAME = 20


def input_picture(view: str, values: Float32, value_range: Range) -> Markup:
    """A model's input as its view says: an image, a spectrogram with its frames across, or lines."""
    if view == "image":
        return _image(_grey_or_rgb(values, value_range), "input")
    if view == "spectrogram":
        return _spectrogram(_grey_frames(values, value_range), "input")
    low, high = _envelope(values)
    drawn = Shown("input", "", "lines", None, low, high)
    return waveform(drawn, float(low.min()), float(high.max()))


def attribution_picture(view: str, values: Float32, attribution: Float32) -> Markup:
    """What spoke for an answer (orange) and against it (blue), full at the 99th percentile of its size."""
    alt = "attribution"
    if view == "image":
        return _image(diverging(attribution.sum(axis=2)), alt)
    if view == "spectrogram":
        return _spectrogram(diverging(_frames_across(attribution)), alt)
    return _strip(diverging(_sums(attribution)), alt)


def value_bars(names: Sequence[str], values: Float32) -> Markup:
    """The values of a table's row (columns,), the largest first."""
    return bars(
        "the largest values", _largest(names, values, values), "", width=_ROW_WIDTH, styles=("a", "a")
    )


def attribution_bars(names: Sequence[str], values: Float32, attribution: Float32) -> Markup:
    """What spoke for an answer (orange) and against it (blue), by column of a table's row; (columns,) both."""
    rows = _largest(names, values, attribution)
    return bars("the largest by column", rows, "", width=_ROW_WIDTH, styles=("b", "a"))


def heat_picture(view: str, values: Float32, heat: Float32, value_range: Range) -> Markup:
    """Grad-CAM's heat, (height, width) or (length,), in orange over the input."""
    alt = "Grad-CAM"
    share = heat / (float(heat.max()) or 1.0)
    if view == "image":
        grey = _bytes(values.mean(axis=2), value_range)
        return _image(_over(grey, share), alt)
    if view == "spectrogram":
        frames = share if share.ndim == 2 else np.repeat(share[:, np.newaxis], _bands(values), axis=1)
        return _spectrogram(_over(_grey_frames(values, value_range), frames.T[::-1]), alt)
    return _strip(diverging(_sums(share.reshape(len(share), -1))), alt)


def grid_picture(lost: Sequence[float], grid: tuple[int, int]) -> Markup:
    """The importance of the regions of an image, each where it lies."""
    pixels = diverging(np.asarray(lost, np.float32).reshape(grid))
    return _image(pixels, "importance by place", _GRID_SIDE)


def diverging(values: NDArray[np.float32]) -> Pixels:
    """(H, W) to RGB: orange above zero, blue below, full at the 99th percentile of the absolute values."""
    limit = float(np.quantile(np.abs(values), 0.99)) or float(np.abs(values).max()) or 1.0
    share = np.clip(np.asarray(values, np.float64) / limit, -1, 1)[..., np.newaxis]
    towards = np.where(share >= 0, _FOR, _AGAINST)
    return np.rint(_NEUTRAL + np.abs(share) * (towards - _NEUTRAL)).astype(np.uint8)


def _over(grey: Pixels, share: NDArray[np.float32]) -> Pixels:
    weight = 0.75 * np.asarray(share, np.float64)[..., np.newaxis]
    return np.rint(grey[..., np.newaxis] * (1 - weight) + _FOR * weight).astype(np.uint8)


def _grey_or_rgb(values: Float32, value_range: Range) -> Pixels:
    return _bytes(values if values.shape[2] == 3 else values[..., 0], value_range)


def _bytes(values: Float32, value_range: Range) -> Pixels:
    low, high = value_range
    spread = np.where(high > low, high - low, 1)
    return np.rint(np.clip((values - low) / spread, 0, 1) * 255).astype(np.uint8)


def _bands(values: Float32) -> int:
    return int(values.shape[1])


def _grey_frames(values: Float32, value_range: Range) -> Pixels:
    """The bytes of ``_frames_across``, each band in its own range where there is one a band."""
    return _bytes(values.reshape(len(values), _bands(values)), value_range).T[::-1]


def _frames_across(values: Float32) -> Float32:
    """(frames, bands) or (frames, bands, 1) to (bands, frames), the lowest band below."""
    return values.reshape(len(values), _bands(values)).T[::-1]


def _image(pixels: Pixels, alt: str, side: int = _IMAGE_SIDE) -> Markup:
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    return _tag(pixels, alt, round(width * factor), round(height * factor))


def _spectrogram(pixels: Pixels, alt: str) -> Markup:
    return _tag(pixels, alt, _WIDE, _TALL)


def _strip(pixels: Pixels, alt: str) -> Markup:
    return _tag(pixels, alt, _COLUMNS, _STRIP * len(pixels))


def _tag(pixels: Pixels, alt: str, width: int, height: int) -> Markup:
    data = base64.b64encode(png(np.ascontiguousarray(pixels))).decode()
    return Markup(
        f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{width}" height="{height}">'
    )


def _columns(values: Float32) -> tuple[Float32, NDArray[np.intp]]:
    """(samples, channels), and where each of up to 240 stretches begins."""
    shown = values.reshape(len(values), -1)[:, :_MOST_CHANNELS]
    edges = np.unique(np.linspace(0, len(shown), min(len(shown), _COLUMNS) + 1).astype(np.intp))[:-1]
    return shown, edges


def _envelope(values: Float32) -> tuple[Float32, Float32]:
    shown, edges = _columns(values)
    low, high = (way.reduceat(shown, edges, axis=0).T for way in (np.minimum, np.maximum))
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _sums(values: Float32) -> Float32:
    shown, edges = _columns(values)
    return np.asarray(np.add.reduceat(shown, edges, axis=0).T, np.float32)


def _largest(names: Sequence[str], values: Float32, weights: Float32) -> list[tuple[str, float, float]]:
    chosen = np.argsort(-np.abs(weights), kind="stable")[:_MOST_ROWS]
    return [(f"{_cut(names[i])} = {values[i]:.3g}", float(weights[i]), 0.0) for i in chosen.tolist()]


def _cut(name: str) -> str:
    """So that the value after it is never cut off."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1].rstrip() + "…"
