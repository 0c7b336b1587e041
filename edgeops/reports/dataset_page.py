"""A dataset as one HTML file: figures, balance and a sample of each class; no script, no request."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from edgeops.reports.histograms import Distribution, distribution

_WIDTH, _HEIGHT = 240, 72
_DASHES = ("", "5 3", "2 3", "8 3 2 3", "1 2", "9 5")  # channels differ without colour, too


@dataclass(frozen=True, eq=False)
class Shown:
    """One item to look at: ``pixels`` (H, W) or (H, W, 3) uint8, or an envelope (channels, columns)."""

    label: str
    part: str
    name: str
    pixels: NDArray[np.uint8] | None
    low: NDArray[np.float32] | None
    high: NDArray[np.float32] | None


@dataclass(frozen=True)
class DatasetPage:
    """What the page says; ``facts`` are tiles (name, value, remark), ``tables`` (caption, head, rows)."""

    title: str
    sha256: str
    facts: Sequence[tuple[str, str, str]]
    balance: Mapping[str, Mapping[str, int]]
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]]
    notes: Sequence[str]
    samples: Sequence[Shown]
    distributions: Sequence[Distribution] = ()


def render_dataset(page: DatasetPage, generated_at: float) -> str:
    """The whole page; ``generated_at`` is seconds since the epoch."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgeops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    low, high = _scale(page.samples)
    drawn: dict[str, list[tuple[Shown, Markup]]] = {}
    for sample in page.samples:
        picture = (
            thumbnail(sample.pixels, sample.name)
            if sample.pixels is not None
            else waveform(sample, low, high)
        )
        drawn.setdefault(sample.label, []).append((sample, picture))
    return environment.get_template("dataset.html.j2").render(
        page=page,
        at=datetime.fromtimestamp(generated_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        drawn=drawn,
        bars=balance_bars(page.balance),
        histograms=[(shown.feature, distribution(shown)) for shown in page.distributions],
        waves=any(sample.pixels is None for sample in page.samples),
    )


def thumbnail(pixels: NDArray[np.uint8], name: str) -> Markup:
    """An image of the page, as many whole times larger as fits into 128 pixels."""
    height, width = pixels.shape[:2]
    factor = max(1, min(8, 128 // max(height, width)))
    data = base64.b64encode(png(pixels)).decode()
    return Markup(
        f'<img src="data:image/png;base64,{data}" alt="{escape(name)}" width="{width * factor}" '
        f'height="{height * factor}">'
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) grey or (H, W, 3) RGB uint8 as a PNG file (ISO/IEC 15948), without filters."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    colour = 2 if pixels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def waveform(sample: Shown, low: float, high: float) -> Markup:
    """The envelope of each channel between ``low`` and ``high``, the range of all samples of the page."""
    if sample.low is None or sample.high is None:
        raise ValueError(f"{sample.name} has neither pixels nor an envelope")
    spread = (high - low) or 1.0
    columns = sample.low.shape[1]

    def y(value: float) -> float:
        return 2 + (high - value) / spread * (_HEIGHT - 4)

    parts = []
    step = _WIDTH / max(columns - 1, 1)
    for channel, (bottom, top) in enumerate(zip(sample.low, sample.high, strict=True)):
        dash = f' stroke-dasharray="{_DASHES[channel]}"' if channel and channel < len(_DASHES) else ""
        there = [f"{i * step:.1f},{y(float(value)):.1f}" for i, value in enumerate(top)]
        back = [f"{i * step:.1f},{y(float(value)):.1f}" for i, value in reversed(list(enumerate(bottom)))]
        parts.append(f'<polygon class="wave" points="{" ".join(there + back)}"{dash}/>')
    if low < 0 < high:
        parts.append(f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>')
    alt = f"{sample.label}: {sample.name}"
    return Markup(
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-label="{escape(alt)}">'
        f"<title>{escape(alt)}</title>{''.join(parts)}</svg>"
    )


def balance_bars(balance: Mapping[str, Mapping[str, int]]) -> Markup:
    """Bars of items by class; within each, one shade a part (``balance``: part to class to items)."""
    labels = list(dict.fromkeys(label for counts in balance.values() for label in counts))
    totals = {label: sum(counts.get(label, 0) for counts in balance.values()) for label in labels}
    most = max(totals.values(), default=0) or 1
    left, width, row = 170.0, 1100, 22
    parts = []
    for place, part in enumerate(balance):
        x = left + 150 * place
        parts.append(
            f'<rect class="cell" x="{x}" y="2" width="14" height="12" fill-opacity="{_shade(place)}"/>'
        )
        parts.append(f'<text x="{x + 20}" y="13">{escape(part)}</text>')
    for line, label in enumerate(labels):
        y, x = 26 + line * row, left
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(_cut(label))}</text>')
        for place, counts in enumerate(balance.values()):
            wide = counts.get(label, 0) / most * (width - left - 90)
            parts.append(
                f'<rect class="cell" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{row - 5}" '
                f'fill-opacity="{_shade(place)}"/>'
            )
            x += wide
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 14}">{totals[label]:,}</text>')
    height = 30 + row * len(labels)
    alt = "Items by class: " + ", ".join(f"{label} {count}" for label, count in totals.items())
    return Markup(
        f'<svg role="img" viewBox="0 0 {width} {height}" aria-label="{escape(alt)}">'
        f"<title>{escape(alt)}</title>{''.join(parts)}</svg>"
    )


def _shade(place: int) -> float:
    return (1.0, 0.35, 0.7, 0.5, 0.2)[min(place, 4)]


def _cut(label: str) -> str:
    return label if len(label) <= 20 else label[:19] + "…"


def _scale(samples: Sequence[Shown]) -> tuple[float, float]:
    lows: list[Any] = [sample.low.min() for sample in samples if sample.low is not None]
    highs: list[Any] = [sample.high.max() for sample in samples if sample.high is not None]
    return float(min(lows, default=0.0)), float(max(highs, default=1.0))
