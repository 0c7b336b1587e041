"""Which lines, marks and rows a report draws: from points to what ``svg`` takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from edgeops.reports.extras import ObservedPoint, ReportExtras
from edgeops.reports.series import WindowPoint
from edgeops.reports.svg import Line, Mark, Row

_MOST_COLUMNS = 120


def observed_lines(points: Sequence[ObservedPoint]) -> tuple[Line, ...]:
    """The share right per window, of the devices whose world changes and of the others."""
    sums: dict[tuple[bool, int], list[int]] = defaultdict(lambda: [0, 0])
    for point in points:
        cell = sums[point.drifts, point.window]
        cell[0] += point.correct
        cell[1] += point.n
    lines = []
    for drifts, label in ((True, "devices whose world changes"), (False, "all other devices")):
        curve = tuple(
            (float(window), right / n)
            for (group, window), (right, n) in sorted(sums.items())
            if n and group == drifts
        )
        if curve:
            lines.append(Line(f"{label} (measured)", "b measured" if drifts else "a measured", curve))
    return tuple(lines)


def observed_marks(points: Sequence[ObservedPoint], extras: ReportExtras) -> tuple[Mark, ...]:
    """Where the world changed, where the first device alarmed, where half had a new version."""
    marks = []
    onset = min((point.window for point in points if point.drifted), default=None)
    if onset is not None:
        marks.append(Mark(onset, f"drift begins ({onset})"))
    for episode in extras.episodes:
        first = min((moved.window for moved in episode.devices), default=None)
        if first is not None:
            marks.append(Mark(first, f"first alarm ({first})"))
    return (*marks, *_version_marks([(p.window, p.version) for p in points]))


def cohort_lines(places: Sequence[tuple[int, WindowPoint]], alarmed: frozenset[str]) -> tuple[Line, ...]:
    """Accuracy by window, of the devices that alarmed and of the others: measured, and estimated."""
    sums: dict[tuple[bool, str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for place, point in places:
        group = point.device in alarmed
        pairs = (
            ("measured", point.measured_accuracy, point.labels),
            ("estimated", point.estimated_accuracy, point.inferences),
        )
        for basis, value, n in pairs:
            if value is not None:
                cell = sums[group, basis, place]
                cell[0] += value * n
                cell[1] += n
    lines = []
    for group, name in ((True, "drifted devices"), (False, "other devices")):
        for basis in ("measured", "estimated"):
            curve = tuple(
                (float(place), total / n)
                for (g, b, place), (total, n) in sorted(sums.items())
                if n and g == group and b == basis
            )
            if curve:
                lines.append(Line(f"{name}, {basis}", f"{'b' if group else 'a'} {basis}", curve))
    return tuple(lines)


def cohort_marks(places: Sequence[tuple[int, WindowPoint]], extras: ReportExtras) -> tuple[Mark, ...]:
    """The first alarm of each episode, and each new version."""
    at = {(point.device, point.sequence): place for place, point in places}
    marks = []
    for episode in extras.episodes:
        first = min(
            (at[m.device, m.window] for m in episode.devices if (m.device, m.window) in at), default=None
        )
        if first is not None:
            marks.append(Mark(first, f"first alarm ({first})"))
    return (*marks, *_version_marks([(place, point.version) for place, point in places]))


def placed(points: Iterable[WindowPoint]) -> list[tuple[int, WindowPoint]]:
    """Each point with its place in its device's history, from 1: sequences begin anew at every boot."""
    places: dict[str, int] = defaultdict(int)
    result = []
    for point in sorted(points, key=lambda p: (p.device, p.boot, p.sequence)):
        places[point.device] += 1
        result.append((places[point.device], point))
    return result


def _version_marks(pairs: Sequence[tuple[int, int]]) -> list[Mark]:
    """Per version after the first, the first window in which at least half of what reported ran it."""
    by_window: dict[int, list[int]] = defaultdict(list)
    for window, version in pairs:
        by_window[window].append(version)
    marks = []
    for version in sorted({v for _, v in pairs})[1:]:
        shares = ((w, sum(v >= version for v in vs) / len(vs)) for w, vs in sorted(by_window.items()))
        first = next((w for w, share in shares if share >= 0.5), None)
        if first is not None:
            marks.append(Mark(first, f"version {version} on half ({first})"))
    return marks


def confidence_rows(
    places: Sequence[tuple[int, WindowPoint]], alarmed: Mapping[str, object] | frozenset[str]
) -> tuple[tuple[Row, ...], int]:
    """One row per device and how many windows a column spans; devices that alarmed come first."""
    by_device: dict[str, list[WindowPoint]] = defaultdict(list)
    for _, point in places:
        by_device[point.device].append(point)
    longest = max((len(points) for points in by_device.values()), default=0)
    span = max(1, -(-longest // _MOST_COLUMNS))
    rows = []
    for device in sorted(by_device, key=lambda name: (name not in alarmed, name)):
        points = by_device[device]
        chunks = [points[i : i + span] for i in range(0, len(points), span)]
        values = tuple(_mean([p.confidence for p in chunk if p.confidence is not None]) for chunk in chunks)
        changes = tuple(
            i for i in range(1, len(chunks)) if chunks[i][-1].version != chunks[i - 1][-1].version
        )
        last = next((value for value in reversed(values) if value is not None), None)
        note = f"{last:.1%} now" if last is not None else "no data"
        rows.append(Row(f"{device} *" if device in alarmed else device, values, changes, note))
    return tuple(rows), span


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
