"""Why a model answers as it does, as plain data for ``--json`` and as one HTML file: no script, no request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from edgeops.reports.attribution_pictures import (
    Range,
    attribution_bars,
    attribution_picture,
    grid_picture,
    heat_picture,
    input_picture,
    value_bars,
)

Float32 = NDArray[np.float32]
MOST_BARS = 24
_SHOWN_FROM = 0.0005
_NAMED = 3  # regions that are named beside an item
_LONGEST = 18  # letters of a label over a picture


@dataclass(frozen=True, slots=True)
class Loss:
    """The quality that is lost when a region is exchanged among the items, and its deviation over repeats."""

    region: str
    lost: float
    deviation: float


@dataclass(frozen=True, eq=False)
class ExplainedItem:
    """One item of the test part; answers of the float model, and of the int8 one beside it.

    ``values`` is the model's input, ``attribution`` of its shape adds up to ``difference``, nearly: the
    probability of ``said`` less that of the baseline, or the reconstruction error of an autoencoder.
    ``against``: the same for ``truth``, where the answer was wrong. ``heat`` (height, width) or (length,) is
    Grad-CAM's. ``by_region``: sums of ``attribution``.
    """

    name: str
    truth: str
    said: str
    confidence: float
    int8_said: str
    int8_confidence: float
    values: Float32
    attribution: Float32
    difference: float
    by_region: Mapping[str, float]
    against: Float32 | None = None
    heat: Float32 | None = None

    @property
    def right(self) -> bool:
        """Whether the answer was right."""
        return self.said == self.truth

    @property
    def total(self) -> float:
        """What the attribution adds up to."""
        return float(self.attribution.sum(dtype=np.float64))

    def strongest(self) -> list[tuple[str, float]]:
        """The regions that weigh most, in either direction."""
        return sorted(self.by_region.items(), key=lambda entry: -abs(entry[1]))[:_NAMED]

    def as_dict(self) -> dict[str, Any]:
        """Figures only: no pictures."""
        document: dict[str, Any] = {
            "item": self.name,
            "true": self.truth,
            "said": self.said,
            "right": self.right,
            "confidence": self.confidence,
            "int8": {"said": self.int8_said, "confidence": self.int8_confidence},
            "attribution": {
                "sum": self.total,
                "difference": self.difference,
                "unexplained": self.difference - self.total,
                "by_region": dict(self.by_region),
            },
        }
        if self.heat is not None:
            document["grad_cam_peak"] = [
                int(place) for place in np.unravel_index(self.heat.argmax(), self.heat.shape)
            ]
        return document


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything that the page says.

    ``view`` is what an input is drawn as: image, spectrogram, spectrum, series or table. ``quality`` is the
    int8 model's, by ``measure``, on ``permuted`` test items, each loss the mean of ``repeats``. ``losses``
    are in the order of the regions; ``grid``: their rows and columns, of images. ``tested``, ``wrong``: of
    the float model. ``value_range``: the smallest and the largest value that is drawn, of all inputs or of each
    band. ``columns``: the names of a table's.
    """

    model: str
    description: str
    view: str
    finds_anomalies: bool
    measure: str
    quality: float
    permuted: int
    repeats: int
    losses: Sequence[Loss]
    grid: tuple[int, int] | None
    tested: int
    wrong: int
    value_range: Range
    items: Sequence[ExplainedItem]
    columns: Sequence[str] = ()

    @property
    def method(self) -> str:
        """How items are explained."""
        return "squared error by value" if self.finds_anomalies else "integrated gradients"

    @property
    def has_heat(self) -> bool:
        """Whether there is Grad-CAM."""
        return any(item.heat is not None for item in self.items)

    @property
    def needs_nothing(self) -> bool:
        """Whether exchanging any region made no difference at all."""
        return bool(self.losses) and not any(loss.lost or loss.deviation for loss in self.losses)

    def largest(self) -> list[Loss]:
        """The losses, the largest first."""
        return sorted(self.losses, key=lambda loss: -loss.lost)

    def that_matter(self) -> list[Loss]:
        """The losses that three decimals show, the largest first."""
        return [loss for loss in self.largest() if loss.lost >= _SHOWN_FROM]

    def as_dict(self) -> dict[str, Any]:
        """The document of ``edgeops model explain --json``."""
        return {
            "model": self.model,
            "importance": {
                "of": "int8 model",
                "measure": self.measure,
                "quality": self.quality,
                "items": self.permuted,
                "repeats": self.repeats,
                "lost": [
                    {"region": loss.region, "lost": loss.lost, "deviation": loss.deviation}
                    for loss in self.largest()
                ],
            },
            "items": {
                "of": "float model",
                "method": self.method,
                "tested": self.tested,
                "wrong": self.wrong,
                "explained": [item.as_dict() for item in self.items],
            },
        }


def render_explanation(page: Explanation) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from edgeops.reports.charts import bars

    environment = Environment(
        loader=PackageLoader("edgeops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = page.largest()[:MOST_BARS]
    return environment.get_template("explanation.html.j2").render(
        page=page,
        bars=bars(
            f"{page.measure} lost, by region",
            [(loss.region, loss.lost, loss.deviation) for loss in shown],
            f"{page.measure} lost when it is exchanged among the items",
            width=600 if page.grid else 1100,
        ),
        left_out=len(page.losses) - len(shown),
        grid=grid_picture([loss.lost for loss in page.losses], page.grid) if page.grid else None,
        items=[(item, _pictures(page, item)) for item in page.items],
    )


def _pictures(page: Explanation, item: ExplainedItem) -> list[tuple[str, Markup]]:
    """Caption and picture, in the order in which they stand."""

    def attributed(values: Float32) -> Markup:
        if page.view == "table":
            return attribution_bars(names, item.values, values)
        return attribution_picture(page.view, item.values, values)

    names = page.columns or [f"column {i}" for i in range(len(item.values))]
    if page.view == "table":
        found = [("input, after the preprocessing", value_bars(names, item.values))]
    else:
        found = [("input", input_picture(page.view, item.values, page.value_range))]
    if page.finds_anomalies:
        found.append(("squared error", attributed(item.attribution)))
    else:
        found.append((f"for {_cut(item.said)!r}", attributed(item.attribution)))
    if item.against is not None:
        found.append((f"for {_cut(item.truth)!r}", attributed(item.against)))
    if item.heat is not None:
        found.append(
            (
                f"Grad-CAM, {_cut(item.said)!r}",
                heat_picture(page.view, item.values, item.heat, page.value_range),
            )
        )
    return found


def _cut(label: str) -> str:
    return label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…"
