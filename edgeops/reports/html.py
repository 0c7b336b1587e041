"""The report of a fleet as one HTML file: no script, no request, readable in print and without colour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgeops.reports.extras import AlertPicture, ObservedPoint, ReportExtras
from edgeops.reports.figures import Figure
from edgeops.reports.health import FleetHealth
from edgeops.reports.series import WindowPoint

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["AlertPicture", "ObservedPoint", "ReportExtras", "render_report"]


def render_report(
    health: FleetHealth, series: Sequence[WindowPoint], extras: ReportExtras, generated_at: float
) -> str:
    """The whole page; ``generated_at`` is seconds since the epoch."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgeops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        share=_share,
        interval=_interval,
        time=_time,
        seconds=_seconds,
        size=_size,
        number=_number,
        cell=_cell,
        latency=_latency,
    )
    return environment.get_template("report.html.j2").render(
        health=health,
        extras=extras,
        at=generated_at,
        plots=_plots(series, extras),
        pictures=[(picture, _histogram(picture)) for picture in extras.alerts],
        summary=_flat(extras.summary) if extras.summary else [],
    )


def _plots(series: Sequence[WindowPoint], extras: ReportExtras) -> list[tuple[str, str, Markup]]:
    """(heading, caption, picture) of what there is to draw."""
    from edgeops.reports import pictures, svg

    alarmed = frozenset(moved.device for episode in extras.episodes for moved in episode.devices)
    places = pictures.placed(series)
    found = []
    observed = pictures.observed_lines(extras.observed_accuracy)
    if observed:
        marks = pictures.observed_marks(extras.observed_accuracy, extras)
        caption = (
            "Measured against the truth of every input, which the demo knows and the fleet does not: what an "
            "omniscient observer saw."
        )
        found.append(("The loop: accuracy over windows", caption, _lines(observed, marks)))
    lines = pictures.cohort_lines(places, alarmed)
    if lines:
        caption = (
            "What the fleet itself knows. Estimated: from confidence counts and the calibration that travels "
            "with the model. Measured: from the labels that came back. An estimate cannot follow inputs that "
            "are unlike anything in the validation set."
        )
        marks = pictures.cohort_marks(places, extras)
        found.append(("Accuracy as the fleet reports it", caption, _lines(lines, marks)))
    rows, span = pictures.confidence_rows(places, alarmed)
    if rows:
        known = [value for row in rows for value in row.values if value is not None]
        low, high = min(known, default=0.0), max(known, default=1.0)
        windows = "window" if span == 1 else f"column ({span} windows each)"
        alt = "Mean confidence per device over windows. " + "; ".join(f"{r.label}: {r.note}" for r in rows)
        picture = svg.heat_map(alt, rows, windows, int(low * 100) / 100, min(1.0, int(high * 100 + 1) / 100))
        caption = (
            "One row per device, estimated from 16 confidence bins. * marks a device that raised an alarm."
        )
        found.append(("Mean confidence per device", caption, picture))
    return found


def _lines(lines: Sequence[Any], marks: Sequence[Any]) -> Markup:
    from edgeops.reports import svg

    ends = "; ".join(
        f"{line.label}: from {line.points[0][1]:.1%}, lowest {min(y for _, y in line.points):.1%}, "
        f"to {line.points[-1][1]:.1%}"
        for line in lines
    )
    marked = "; ".join(mark.label for mark in marks)
    return svg.line_chart(
        f"Accuracy over windows. {ends}. Marked: {marked or 'nothing'}.", lines, marks, "window"
    )


def _histogram(picture: AlertPicture) -> Markup:
    from edgeops.reports import svg

    alt = (
        f"{picture.signal} on {picture.device}: counts per bin, reference "
        f"{list(picture.reference)}, at the alarm {list(picture.current)}"
    )
    return svg.histogram(alt, picture.reference, picture.current)


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested figures as rows (name, text)."""
    if isinstance(value, dict):
        return [
            row for key, item in value.items() for row in _flat(item, f"{name} · {key}" if name else str(key))
        ]
    if isinstance(value, float):
        return [(name, f"{value:.4g}")]
    if isinstance(value, bool) or value is None:
        return [(name, {True: "yes", False: "no", None: "–"}[value])]
    if isinstance(value, int):
        return [(name, _number(value))]
    return [(name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))]


def _share(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.1%}"


def _interval(figure: Figure) -> str:
    """``95.2 to 98.3``, in percent."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def _latency(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    return f"{'<' if figure.high is not None else '≥'} {_number(int(figure.value))}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _size(value: int) -> str:
    if value < 1024:
        return f"{value} B"
    return f"{value / 1024:,.1f} KiB" if value < 1024**2 else f"{value / 1024**2:,.1f} MiB"


def _number(value: float) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _cell(value: object) -> str:
    return "–" if value is None or value == "" else str(value)
