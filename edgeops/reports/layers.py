"""A picture of what quantization costs in each layer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_ROW, _LEFT, _WIDTH = 22, 330, 900
_FULL_DB = 60.0


def layer_picture(layers: Sequence[tuple[str, float, float]]) -> str:
    """Bars of signal-to-noise (dB) by layer, in the order of execution: (name, all channels, worst channel).

    A self-contained SVG; the longer the bar the better, the mark is the worst channel.
    """
    height = 60 + _ROW * len(layers)
    scale = (_WIDTH - _LEFT - 80) / _FULL_DB
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">signal to noise of int8, dB (mark: worst channel)</text>',
    ]
    for index, (name, whole, worst) in enumerate(layers):
        y = 36 + index * _ROW
        bar, mark = (min(max(value, 0.0), _FULL_DB) * scale for value in (whole, worst))
        short = name if len(name) <= 46 else f"…{name[-45:]}"
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(short)}</text>',
            f'<rect x="{_LEFT}" y="{y + 2}" width="{bar:.1f}" height="{_ROW - 6}" fill="#4b8bbf"/>',
            f'<rect x="{_LEFT + mark - 1.5:.1f}" y="{y}" width="3" height="{_ROW - 2}" fill="#c2410c"/>',
            f'<text x="{_LEFT + bar + 6:.1f}" y="{y + 13}">{whole:.1f}</text>',
        ]
    return "".join(parts) + "</svg>\n"
