"""Charts of a trained model: confusion, calibration, curves, score histograms and importances, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from markupsafe import Markup

from edgeops.reports.figures import measured
from edgeops.reports.svg import Line, picture

HALF = 540
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 22, 36, 44
_STYLES = ("a", "b")
_LEAST = 1e-6
_Words = Callable[[float], str]


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Rows are true classes, columns predicted ones; each cell is shaded by its share of the row."""
    longest = max((len(label) for label in labels), default=0)
    left, cell = 34 + 7.4 * min(longest, 18), max(12.0, min(64.0, 430 / max(len(labels), 1)))
    turned = 7.4 * min(longest, 18) > cell
    top = 30 + (7.4 * min(longest, 18) if turned else 18)
    width, height = max(HALF, left + cell * len(labels) + 8), top + cell * len(labels) + 8
    middle_x, middle_y = left + cell * len(labels) / 2, top + cell * len(labels) / 2
    parts = [
        f'<text class="soft" x="{middle_x:.1f}" y="14" text-anchor="middle">predicted</text>',
        f'<text class="soft" transform="translate(14 {middle_y:.1f}) rotate(-90)" text-anchor="middle">true</text>',
    ]
    for index, (label, row) in enumerate(zip(labels, counts, strict=True)):
        place = (index + 0.5) * cell
        parts.append(_text(left - 8, top + place + 4, _short(label), "end"))
        if turned:
            at = f"translate({left + place + 4:.1f} {top - 8:.1f}) rotate(-90)"
            parts.append(f'<text transform="{at}">{escape(_short(label))}</text>')
        else:
            parts.append(_text(left + place, top - 8, label, "middle"))
        total = sum(row) or 1
        for column, count in enumerate(row):
            x, y, share = left + column * cell, top + index * cell, count / total
            parts.append(
                f'<rect class="cell" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{cell - 1:.1f}" '
                f'height="{cell - 1:.1f}" fill-opacity="{0.05 + 0.85 * share:.2f}"/>'
            )
            if count and cell >= 18:
                style = "on" if share > 0.5 else ""
                parts.append(_text(x + cell / 2, y + cell / 2 + 4.5, str(count), "middle", style))
    return picture(
        "Confusion matrix: rows are true classes, columns what was predicted", int(height), parts, int(width)
    )


def calibration(rows: Sequence[Mapping[str, float]]) -> Markup:
    """What was right against what was claimed, with 95% intervals; below each bin, how many items it has."""
    frame = _Frame((0.0, 1.0), (0.0, 1.0), HALF, 330)
    parts = [frame.axes("confidence of the answer", "share that was right", _percent, _percent)]
    parts.append(
        f'<line class="line b estimated" x1="{frame.x(0):.1f}" x2="{frame.x(1):.1f}" y1="{frame.y(0):.1f}" '
        f'y2="{frame.y(1):.1f}"/>'
    )
    for row in rows:
        n = int(row["n"])
        figure = measured(round(row["accuracy"] * n), n)
        x = frame.x(row["confidence"])
        parts.append(
            f'<line class="line a" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(figure.low or 0.0):.1f}" '
            f'y2="{frame.y(figure.high or 0.0):.1f}"/>'
        )
        radius = min(3 + math.log10(n + 1) * 1.6, 9)
        parts.append(
            f'<circle class="dot a" cx="{x:.1f}" cy="{frame.y(row["accuracy"]):.1f}" r="{radius:.1f}">'
            f"<title>{n} items</title></circle>"
        )
        if n < 10:
            parts.append(
                _text(x + 6, frame.y(row["accuracy"]) + (16 if row["accuracy"] > 0.5 else -8), f"{n}")
            )
    parts.append(_text(_LEFT, 22, "dots: measured, with 95% intervals; a number: fewer than 10 items"))
    return picture("Share that was right, by confidence", 330, parts, HALF)


def curves(alt: str, lines: Sequence[Line], y_label: str, *, percent: bool) -> Markup:
    """Lines over epochs; a line's style tells it from the others without colour."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    low, high = (max(0.0, min(ys) - 0.02), 1.0) if percent else (0.0, max(ys))
    frame = _Frame((min(xs), max(xs)), (low, high), HALF, 330)
    parts = [frame.axes("epoch", y_label, _whole, _percent if percent else _plain)]
    x = float(_LEFT)
    for line in lines:
        path = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in line.points)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        parts.append(f'<line class="line {line.style}" x1="{x}" x2="{x + 34}" y1="18" y2="18"/>')
        parts.append(_text(x + 42, 22, line.label))
        x += 42 + 7.2 * len(line.label) + 26
    return picture(alt, 330, parts, HALF)


def score_histograms(counts: Mapping[str, Sequence[int]], threshold: float) -> Markup:
    """Shares of items in equal bins of a score 0..1, one colour a kind of item; a line at the threshold."""
    shares = {name: [n / (sum(row) or 1) for n in row] for name, row in counts.items()}
    most = max((share for row in shares.values() for share in row), default=0.0) or 1.0
    frame = _Frame((0.0, 1.0), (0.0, most), 1100, 300)
    parts = [frame.axes("anomaly score: error / (error + threshold)", "share of items", _plain, _percent)]
    legend = float(_LEFT)
    for place, (name, row) in enumerate(shares.items()):
        style = _STYLES[place % len(_STYLES)]
        step = (frame.x(1) - frame.x(0)) / len(row)
        bar = step / (len(shares) + 0.3)
        for index, share in enumerate(row):
            if share:
                x, y = frame.x(0) + index * step + place * bar + 1, frame.y(share)
                parts.append(
                    f'<rect class="dot {style}" x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" '
                    f'height="{frame.y(0) - y:.1f}"/>'
                )
        label = f"{name}, {sum(counts[name])} items"
        parts.append(f'<rect class="dot {style}" x="{legend}" y="10" width="14" height="12"/>')
        parts.append(_text(legend + 20, 21, label))
        legend += 20 + 7.2 * len(label) + 26
    x = frame.x(threshold)
    parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.y(0):.1f}"/>')
    parts.append(_text(x + 6, _TOP + 12, "threshold", style="marked"))
    return picture("Anomaly scores of the test items", 300, parts, 1100)


def bars(
    alt: str,
    rows: Sequence[tuple[str, float, float]],
    x_label: str,
    *,
    width: int = 1100,
    styles: tuple[str, str] = ("a", "b"),
) -> Markup:
    """Horizontal bars (name, value, deviation) from zero, a value below it to the left.

    ``styles``: those of values of zero and above, and of values below it.
    """
    low = min([0.0, *(value - deviation for _, value, deviation in rows)])
    high = max([0.0, *(value + deviation for _, value, deviation in rows)])
    if high - low < _LEAST:  # nothing, or what is left of it by rounding
        high = 0.01
    left = 20 + 7.4 * max((len(_short(name, 34)) for name, _, _ in rows), default=0)
    row_height = 20

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - 70)

    height = row_height * len(rows) + 44
    parts = []
    for tick in _ticks(low, high, 8 if width > 2 * HALF else 4):
        parts.append(
            f'<line class="grid" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="0" y2="{height - 40}"/>'
        )
        parts.append(_text(at(tick), height - 24, _plain(tick), "middle"))
    for index, (name, value, deviation) in enumerate(rows):
        y = index * row_height
        start, end = sorted((at(0), at(value)))
        parts.append(_text(left - 8, y + 14, _short(name, 34), "end"))
        parts.append(
            f'<rect class="dot {styles[value < 0]}" x="{start:.1f}" y="{y + 3}" '
            f'width="{max(end - start, 0.5):.1f}" height="{row_height - 6}"/>'
        )
        parts.append(
            f'<line class="axis ink" x1="{at(value - deviation):.1f}" x2="{at(value + deviation):.1f}" '
            f'y1="{y + 10}" y2="{y + 10}"/>'
        )
        parts.append(_text(at(max(value, 0.0) + deviation) + 6, y + 14, _bar_value(value)))
    parts.append(_text((left + width) / 2, height - 6, x_label, "middle"))
    return picture(alt, height, parts, width)


class _Frame:
    """Where (x, y) lies in a picture of ``width`` by ``height``; ``across`` and ``up`` are the ranges shown."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float], width: int, height: int) -> None:
        self.across, self.up = across, up
        self.width, self.height = width, height

    def x(self, value: float) -> float:
        """The horizontal position."""
        low, high = self.across
        return _LEFT + (value - low) / ((high - low) or 1) * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """The vertical position."""
        low, high = self.up
        return _TOP + (high - value) / ((high - low) or 1) * (self.height - _TOP - _BOTTOM)

    def axes(self, x_label: str, y_label: str, x_text: _Words, y_text: _Words) -> str:
        """Grid lines and ticks with their words, and a label for each axis."""
        out = []
        for value in _ticks(*self.up, 6):
            y = self.y(value)
            out.append(
                f'<line class="grid" x1="{_LEFT}" x2="{self.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            out.append(_text(_LEFT - 8, y + 4, y_text(value), "end"))
        foot = self.height - _BOTTOM
        whole = x_text is _whole
        for value in _ticks(*self.across, 10):
            if not whole or value == int(value):
                out.append(_text(self.x(value), foot + 18, x_text(value), "middle"))
        middle = (_LEFT + self.width - _RIGHT) / 2
        out.append(_text(middle, self.height - 6, x_label, "middle", "soft"))
        at = f"translate(13 {(_TOP + foot) / 2:.1f}) rotate(-90)"
        out.append(f'<text class="soft" transform="{at}" text-anchor="middle">{escape(y_label)}</text>')
        return "".join(out)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most about ``most`` of them."""
    span = (high - low) or 1.0
    unit = 10 ** math.floor(math.log10(span / most))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _text(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    shown = f' class="{style}"' if style else ""
    return f'<text{shown} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _short(label: str, most: int = 18) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _bar_value(value: float) -> str:
    """Three decimals, more where they would all be zero."""
    words = f"{value:.3f}" if abs(value) >= 0.0005 or abs(value) < _LEAST else f"{value:.2g}"
    return words.removeprefix("-") if float(words) == 0 else words


def _percent(value: float) -> str:
    return f"{100 * value:.4g}%"


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _whole(value: float) -> str:
    return f"{value:.0f}"
