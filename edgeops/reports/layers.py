"""A picture of what quantization costs in each layer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_ROW, _LEFT, _WIDTH, _TOP = 24, 330, 900, 76
_NAME = 44  # characters that fit to the left
_STEP_DB = 10
_LEAST_DB = 40
_BAR, _WORST, _SOFT, _GRID = "#4b8bbf", "#c2410c", "#555", "#ddd"


def layer_picture(layers: Sequence[tuple[str, float, float]]) -> str:
    """Bars of signal-to-noise (dB) by layer, in the order of execution: (name, all channels, worst channel).

    A self-contained SVG; the longer the bar the better, the mark is the worst channel. What is below 0 dB is
    drawn at 0, with its number.
    """
    bottom = _TOP + _ROW * len(layers)
    highest = max([_LEAST_DB, *(whole for _, whole, _ in layers)])
    full = -(-int(highest + 0.999) // _STEP_DB) * _STEP_DB
    scale = (_WIDTH - _LEFT - 70) / full
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{bottom + 16}"'
        f' viewBox="0 0 {_WIDTH} {bottom + 16}" role="img" font-family="sans-serif" font-size="12">',
        "<title>Signal to noise of each layer in int8, dB</title>",
        f'<rect width="{_WIDTH}" height="{bottom + 16}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">Signal to noise of each layer in int8, dB</text>',
        f'<rect x="{_LEFT}" y="31" width="14" height="10" fill="{_BAR}"/>',
        f'<text x="{_LEFT + 20}" y="40" fill="{_SOFT}">all channels: the longer, the less was lost</text>',
        f'<rect x="{_LEFT + 284}" y="29" width="3" height="14" fill="{_WORST}"/>',
        f'<text x="{_LEFT + 294}" y="40" fill="{_SOFT}">worst channel</text>',
    ]
    for tick in range(0, full + 1, _STEP_DB):
        x = _LEFT + tick * scale
        parts += [
            f'<path d="M{x:.1f} {_TOP - 4}V{bottom + 2}" stroke="{_GRID}"/>',
            f'<text x="{x:.1f}" y="{_TOP - 9}" text-anchor="middle" fill="{_SOFT}" font-size="11">{tick}</text>',
        ]
    for index, (name, whole, worst) in enumerate(layers):
        y = _TOP + index * _ROW
        bar, mark = (min(max(value, 0.0), full) * scale for value in (whole, worst))
        short = name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
        parts += [
            f"<g><title>{escape(name)}: {whole:.1f} dB, worst channel {worst:.1f} dB</title>",
            f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(short)}</text>',
            f'<rect x="{_LEFT}" y="{y + 4}" width="{bar:.1f}" height="{_ROW - 8}" fill="{_BAR}"/>',
            f'<rect x="{_LEFT + mark - 1.5:.1f}" y="{y + 2}" width="3" height="{_ROW - 4}" fill="{_WORST}"/>',
            f'<text x="{_LEFT + bar + 6:.1f}" y="{y + 16}">{whole:.1f}</text></g>',
        ]
    return "\n".join(parts) + "\n</svg>\n"
