"""Plots as inline SVG text: no script, no request, colours from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH = 1100
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 20, 54, 44


@dataclass(frozen=True, slots=True)
class Line:
    """A line of (x, y); ``style`` is a class of the style sheet: a or b, measured or estimated."""

    label: str
    style: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line with a word."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a heat map: values by column (None: no report), columns that begin a new version."""

    label: str
    values: tuple[float | None, ...]
    changes: tuple[int, ...] = ()
    note: str = ""


class _Frame:
    """Where a share (y, from ``low`` to 1) over windows (x) lies in the picture."""

    def __init__(self, lines: Sequence[Line], height: int) -> None:
        xs = [x for line in lines for x, _ in line.points]
        ys = [y for line in lines for _, y in line.points]
        self.height = height
        self.x0, self.x1 = min(xs, default=0.0), max(xs, default=1.0)
        self.low = max(0.0, min(0.9, int(min(ys, default=0.0) * 10 - 1e-9) / 10))

    def x(self, value: float) -> float:
        """The horizontal position of a window."""
        return _LEFT + (value - self.x0) / ((self.x1 - self.x0) or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """The vertical position of a share."""
        return _TOP + (1 - value) / (1 - self.low) * (self.height - _TOP - _BOTTOM)

    def axes(self, x_label: str) -> str:
        """Grid lines with percents, ticks with windows, the label of the x axis."""
        steps = round((1 - self.low) * 10)
        out = []
        for index in range(0, steps + 1, 1 if steps <= 6 else 2):
            y = self.y(1 - index / 10)
            out.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{1 - index / 10:.0%}</text>')
        foot = self.height - _BOTTOM
        for value in _ticks(self.x0, self.x1):
            x = self.x(value)
            out.append(f'<text x="{x:.1f}" y="{foot + 18}" text-anchor="middle">{value}</text>')
        middle = (WIDTH + _LEFT - _RIGHT) / 2
        out.append(f'<text x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(x_label)}</text>')
        return "".join(out)

    def marks(self, marks: Sequence[Mark]) -> str:
        """Vertical lines; words that would overlap go a line lower."""
        out, free = [], [0.0, 0.0, 0.0]
        foot = self.height - _BOTTOM
        for mark in sorted(marks, key=lambda m: m.x):
            x, width = self.x(mark.x), 7.0 * len(mark.label) + 14
            end = x + width > WIDTH - _RIGHT
            start = x - width if end else x
            level = next((i for i, taken in enumerate(free) if taken <= start), len(free) - 1)
            free[level] = start + width
            y, anchor, shift = foot - 8 - 18 * level, "end" if end else "start", -5 if end else 5
            out.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{foot}"/>')
            out.append(
                f'<text class="marked" x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}">'
                f"{escape(mark.label)}</text>"
            )
        return "".join(out)


def line_chart(
    alt: str, lines: Sequence[Line], marks: Sequence[Mark], x_label: str, *, height: int = 340
) -> Markup:
    """Shares over windows; every line has its own dash and marker, so that colour is not needed."""
    frame = _Frame(lines, height)
    parts = [frame.axes(x_label), frame.marks(marks)]
    x = float(_LEFT)
    for line in lines:
        path = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in line.points)
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
        if "estimated" not in line.style:
            parts += [_marker(line.style, frame.x(a), frame.y(b)) for a, b in line.points]
        parts.append(f'<line class="line {line.style}" x1="{x}" x2="{x + 34}" y1="20" y2="20"/>')
        if "estimated" not in line.style:
            parts.append(_marker(line.style, x + 17, 20))
        parts.append(f'<text x="{x + 42}" y="24">{escape(line.label)}</text>')
        x += 42 + 7.2 * len(line.label) + 26
    return picture(alt, height, parts)


def heat_map(alt: str, rows: Sequence[Row], x_label: str, low: float, high: float) -> Markup:
    """Rows of cells, darker is lower; the last value stands in words at the end of each row."""
    left, right, cell = 150, 120, 18
    columns = max((len(row.values) for row in rows), default=0) or 1
    width = (WIDTH - left - right) / columns
    top, height = 40, 40 + cell * len(rows) + 40
    parts = [_scale(left, low, high)]
    for index, row in enumerate(rows):
        y = top + index * cell
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(row.label)}</text>')
        for column, value in enumerate(row.values):
            if value is not None:
                shade = 0.06 + 0.94 * (high - min(max(value, low), high)) / ((high - low) or 1)
                parts.append(
                    f'<rect class="cell" x="{left + column * width:.1f}" y="{y + 1}" width="{width:.2f}"'
                    f' height="{cell - 2}" fill-opacity="{shade:.2f}"/>'
                )
        for column in row.changes:
            x = left + column * width
            parts.append(f'<line class="change" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + cell}"/>')
        parts.append(f'<text x="{WIDTH - right + 8}" y="{y + 13}">{escape(row.note)}</text>')
    for tick in _ticks(1, columns):
        x = left + (tick - 0.5) * width
        parts.append(f'<text x="{x:.1f}" y="{height - 24}" text-anchor="middle">{tick}</text>')
    middle = left + (WIDTH - left - right) / 2
    parts.append(f'<text x="{middle}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return picture(alt, height, parts)


def histogram(alt: str, reference: Sequence[int], current: Sequence[int]) -> Markup:
    """Shares per bin, side by side: the reference outlined, the current ones filled."""
    width, height, foot = 340, 190, 160
    pairs = list(zip(_shares(reference), _shares(current), strict=True))
    most = max((share for pair in pairs for share in pair), default=0.0) or 1.0
    step = (width - 44) / max(len(pairs), 1)
    bar = step * 0.42
    parts = [f'<text x="34" y="16" text-anchor="end">{most:.0%}</text>']
    parts.append(f'<line class="axis" x1="38" x2="{width - 4}" y1="{foot}" y2="{foot}"/>')
    for index, shares in enumerate(pairs):
        for place, (share, style) in enumerate(zip(shares, ("reference", "current"), strict=True)):
            tall = share / most * (foot - 12)
            x = 40 + index * step + place * bar
            parts.append(
                f'<rect class="{style}" x="{x:.1f}" y="{foot - tall:.1f}" width="{bar:.1f}"'
                f' height="{tall:.1f}"/>'
            )
    parts.append(f'<text x="40" y="{foot + 18}">lowest bin</text>')
    parts.append(f'<text x="{width - 4}" y="{foot + 18}" text-anchor="end">highest bin</text>')
    return picture(alt, height, parts, width)


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _ticks(low: float, high: float) -> list[int]:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if (high - low) / s <= 12)
    first = -(-int(low) // step) * step
    return list(range(first, int(high) + 1, step))


def _marker(style: str, x: float, y: float) -> str:
    if style.startswith("b"):
        return f'<rect class="dot {style}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'


def _scale(left: int, low: float, high: float) -> str:
    cells = "".join(
        f'<rect class="cell" x="{left + 48 + 16 * i}" y="8" width="16" height="12"'
        f' fill-opacity="{0.06 + 0.094 * i:.2f}"/>'
        for i in range(11)
    )
    return (
        f'<text x="{left + 42}" y="18" text-anchor="end">{high:.0%}</text>{cells}'
        f'<text x="{left + 230}" y="18">{low:.0%} (fuller: less confident; a bar: a new version)</text>'
    )


def picture(alt: str, height: int, parts: Sequence[str], width: int = WIDTH) -> Markup:
    """Parts of SVG as one picture of the page, ``width`` by ``height`` units, with ``alt`` to be read aloud.

    On a narrow screen a wide one is scrolled, so that its words stay readable.
    """
    body, style = "".join(parts), ' class="scrolls"' if width > 600 else ""
    return Markup(
        f'<svg{style} role="img" viewBox="0 0 {width} {height}" aria-label="{escape(alt)}">'
        f"<title>{escape(alt)}</title>{body}</svg>"
    )
