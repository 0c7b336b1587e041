"""Histograms of one feature, a row for each class, as a drawing that needs neither script nor colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

_LEFT, _WIDTH, _ROW = 84.0, 330.0, 26.0


@dataclass(frozen=True, eq=False)
class Distribution:
    """One feature: ``counts`` (classes, bins) items in equal bins from ``low`` to ``high``."""

    feature: str
    low: float
    high: float
    labels: Sequence[str]
    counts: NDArray[np.int64]


def distribution(shown: Distribution) -> Markup:
    """A row for each class; within a row the fullest bin is as high as the row, so that shapes compare."""
    bins = shown.counts.shape[1]
    step = (_WIDTH - _LEFT) / bins
    parts = []
    for row, (label, counts) in enumerate(zip(shown.labels, shown.counts, strict=True)):
        base = (row + 1) * _ROW
        parts.append(
            f'<text x="{_LEFT - 6:.0f}" y="{base - 5:.0f}" text-anchor="end">{escape(_cut(label))}</text>'
            f'<line class="axis" x1="{_LEFT:.0f}" x2="{_WIDTH:.0f}" y1="{base:.0f}" y2="{base:.0f}"/>'
        )
        most = int(counts.max()) or 1
        for place in np.flatnonzero(counts).tolist():
            high = max(1.0, counts[place] / most * (_ROW - 5))
            parts.append(
                f'<rect class="cell" x="{_LEFT + place * step:.1f}" y="{base - high:.1f}" width="{step - 0.6:.1f}" '
                f'height="{high:.1f}"/>'
            )
    below = len(shown.labels) * _ROW + 15
    parts.append(
        f'<text x="{_LEFT:.0f}" y="{below:.0f}">{shown.low:.4g}</text>'
        f'<text x="{_WIDTH:.0f}" y="{below:.0f}" text-anchor="end">{shown.high:.4g}</text>'
    )
    alt = f"{shown.feature}: from {shown.low:.4g} to {shown.high:.4g}, by class"
    return Markup(
        f'<svg role="img" viewBox="0 0 {_WIDTH:.0f} {below + 5:.0f}" aria-label="{escape(alt)}">'
        f"<title>{escape(alt)}</title>{''.join(parts)}</svg>"
    )


def _cut(label: str) -> str:
    return label if len(label) <= 11 else label[:10] + "…"
