"""A picture of a search: how good each trial is against the memory that it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 900, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 96, 58
_STEPS = (1, 2, 2.5, 5, 10)
# light to dark, and a shape of its own for each: the picture must be readable in grey
_FILLS = ("#9ecae1", "#4292c6", "#08306b")


@dataclass(frozen=True, slots=True)
class Point:
    """A trial that fits: its label, quality (a share of 1), arena in bytes and latency in ms, where known."""

    label: str
    quality: float
    arena_bytes: int
    latency_ms: float | None
    on_front: bool


def pareto_picture(
    title: str, measure: str, points: Sequence[Point], left_out: int, arena_source: str = "measured"
) -> str:
    """Points of quality (up) against arena (right), a line along the front, whose points are labelled.

    Shape and shade tell thirds of the latency; what is not on the front is smaller and has no label.
    ``left_out`` says how many trials have no point, ``arena_source`` how the arena is known. A self-contained SVG.
    """
    frame = _Frame(points)
    limits = _thirds([p.latency_ms for p in points if p.latency_ms is not None])
    front = sorted((p for p in points if p.on_front), key=lambda p: p.arena_bytes)
    rest = f"; {left_out} of {len(points) + left_out} trials are not shown: they do not fit or failed"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(title)}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="28" font-size="17" font-weight="600">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="50" fill="#555">line: no other trial is better in both'
        f"{escape(rest) if left_out else ''}</text>",
        _legend(limits),
        frame.axes(measure, arena_source),
    ]
    if len(front) > 1:
        path = "".join(f"H{frame.x(p.arena_bytes):.1f}V{frame.y(p.quality):.1f}" for p in front[1:])
        start = f"M{frame.x(front[0].arena_bytes):.1f},{frame.y(front[0].quality):.1f}"
        parts.append(f'<path class="front" d="{start}{path}" fill="none" stroke="#222" stroke-width="1.6"/>')
    for point in sorted(points, key=lambda p: p.on_front):
        x, y = frame.x(point.arena_bytes), frame.y(point.quality)
        third = _third(limits, point.latency_ms)
        parts.append(_mark(third, x, y, 7.0 if point.on_front else 4.0, _tip(point, measure)))
        if point.on_front:  # what is above it and to its left is empty
            parts.append(
                f'<text x="{x - 8:.1f}" y="{y - 9:.1f}" text-anchor="end" font-weight="600">'
                f"{escape(point.label)}</text>"
            )
    if not points:
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{_HEIGHT / 2}" text-anchor="middle">no trial fits yet</text>')
    return "".join(parts) + "</svg>\n"


class _Frame:
    """Where a quality and an arena lie in the picture."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.arenas = _scale([p.arena_bytes / 1024 for p in points] or [0.0, 1.0])
        self.shares = _scale([100 * p.quality for p in points] or [0.0, 100.0])

    def x(self, arena_bytes: float) -> float:
        """The horizontal position of an arena."""
        low, high = self.arenas[0], self.arenas[-1]
        return _LEFT + (arena_bytes / 1024 - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, quality: float) -> float:
        """The vertical position of a quality."""
        low, high = self.shares[0], self.shares[-1]
        return _HEIGHT - _BOTTOM - (100 * quality - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, measure: str, arena_source: str) -> str:
        """Grid, ticks and what they are."""
        out = []
        for share in self.shares:
            y = self.y(share / 100)
            out.append(f'<path d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
            out.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.4g}%</text>')
        foot = _HEIGHT - _BOTTOM
        for arena in self.arenas:
            x = self.x(arena * 1024)
            out.append(f'<path d="M{x:.1f},{foot}v5" stroke="#222"/>')
            out.append(f'<text x="{x:.1f}" y="{foot + 20}" text-anchor="middle">{arena:.5g}</text>')
        out.append(f'<path d="M{_LEFT},{foot}H{_WIDTH - _RIGHT}" stroke="#222"/>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        out.append(
            f'<text x="{middle}" y="{_HEIGHT - 14}" text-anchor="middle">arena, KiB ({escape(arena_source)})</text>'
        )
        out.append(f'<text x="{_LEFT - 8}" y="{_TOP - 12}" text-anchor="end">{escape(measure)}</text>')
        return "".join(out)


def _scale(values: Sequence[float]) -> list[float]:
    """About five round numbers, the first at most the least value and the last at least the largest."""
    low, high = min(values), max(values)
    span = (high - low) or max(abs(high) * 0.1, 1.0)
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in _STEPS if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, max(last, first + 1) + 1)]


def _thirds(latencies: Sequence[float]) -> tuple[float, float] | None:
    """Where the second and the last third of the latencies begin; None where there are fewer than two."""
    ordered = sorted(set(latencies))
    if len(ordered) < 2:
        return None
    return ordered[-(-len(ordered) // 3)], ordered[-(-2 * len(ordered) // 3)] if len(
        ordered
    ) > 2 else math.inf


def _third(limits: tuple[float, float] | None, latency: float | None) -> int:
    if limits is None or latency is None:
        return 0
    return int(latency >= limits[0]) + int(latency >= limits[1])


def _legend(limits: tuple[float, float] | None) -> str:
    if limits is None:
        return ""
    low, high = limits
    words = [f"under {low:.3g} ms", f"{low:.3g} ms or more", f"{high:.3g} ms or more"]
    if high < math.inf:
        words[1] = f"{low:.3g} to {high:.3g} ms"
    else:
        words.pop()
    out, x = [f'<text x="{_LEFT}" y="74">latency (estimated, slowest kernels):</text>'], _LEFT + 262.0
    for third, word in enumerate(words):
        out.append(_mark(third, x, 70, 6, ""))
        out.append(f'<text x="{x + 12}" y="74">{escape(word)}</text>')
        x += 40 + 7.4 * len(word)
    return "".join(out)


def _mark(third: int, x: float, y: float, r: float, tip: str) -> str:
    """A circle, a square or a triangle, from fast to slow."""
    shape = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"',
        f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"',
        f'<path d="M{x:.1f},{y - r * 1.2:.1f}l{r * 1.2:.1f},{2.2 * r:.1f}h{-2.4 * r:.1f}z"',
    )[third]
    inner = f"<title>{escape(tip)}</title>" if tip else ""
    name = ("circle", "rect", "path")[third]
    return f'{shape} class="mark" fill="{_FILLS[third]}" stroke="#222">{inner}</{name}>'


def _tip(point: Point, measure: str) -> str:
    latency = "" if point.latency_ms is None else f", up to {point.latency_ms:.3g} ms"
    return f"trial {point.label}: {measure} {point.quality:.4f}, arena {point.arena_bytes} bytes{latency}"
