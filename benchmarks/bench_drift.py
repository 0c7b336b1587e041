"""Drift detectors on made streams: false alarms on null ones, power on shifts of known size, labels, and a fleet.

Null streams are independent, autocorrelated (lag-1 correlation 0.5 and 0.9), and with a daily cycle; each is watched
with fresh references, so that what a reference does not know of its world counts too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.observe import BINS, ObservePlan, empty_counters
from edgeops.drift.arrays import Arrays, scale_of
from edgeops.drift.concept import RUN_LENGTH, ErrorStream
from edgeops.drift.estimate import estimated_accuracy
from edgeops.drift.evidence import Counted, p_values, weighed
from edgeops.drift.multiplicity import hierarchical
from edgeops.drift.reference import references
from edgeops.drift.replay import replay
from edgeops.drift.size import DEFAULT_SIZE, jensen_shannon

FEATURES = 8
ALLOWED = 1 / 3000
REFERENCE = 20_000
WINDOW = 200
REFERENCES, WINDOWS = 20, 1_000  # windows of each stream: their product
DAY = 1_440
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def autocorrelated(rho: float) -> Draw:
    """(rows, FEATURES) normal values of variance 1 with this correlation between neighbours."""

    def draw(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
        from scipy.signal import lfilter

        noise = rng.standard_normal((rows + 200, FEATURES))
        if rho == 0:
            return noise[200:]
        return np.asarray(lfilter([np.sqrt(1 - rho * rho)], [1, -rho], noise, axis=0)[200:])

    return draw


def daily(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Noise on a cycle of 1,440 rows that begins anywhere."""
    phase = 2 * np.pi * (np.arange(rows) + rng.integers(DAY)) / DAY
    return np.asarray((rng.standard_normal((rows, FEATURES)) + np.sin(phase)[:, np.newaxis]) / np.sqrt(1.5))


NULL: dict[str, Draw] = {
    "independent": autocorrelated(0.0),
    "correlation 0.5": autocorrelated(0.5),
    "correlation 0.9": autocorrelated(0.9),
    "daily cycle": daily,
}


def rows() -> list[dict[str, Any]]:
    """All figures."""
    return [*_null(), *_power(), *_labels(), *_fleet(), _without_labels()]


def _row(name: str, value: float, unit: str, better: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": better, "peer": None, "note": note}


def _arrays(x: NDArray[np.float64]) -> Arrays:
    return Arrays(x, tuple(f"x{column}" for column in range(x.shape[1])))


def _null() -> list[dict[str, Any]]:
    from scipy.stats import chi2

    found = []
    for name, draw in NULL.items():
        rng = np.random.default_rng(5)
        alarmed = 0
        for _ in range(REFERENCES):
            reference, stream = draw(rng, REFERENCE), draw(rng, WINDOW * WINDOWS)
            alarms = replay(_arrays(reference), _arrays(stream), WINDOW, ALLOWED).alarms
            alarmed += len({alarm.window for alarm in alarms})
        total = REFERENCES * WINDOWS
        bound = 1000 * float(chi2.ppf(0.95, 2 * (alarmed + 1))) / 2 / total
        note = f"{alarmed} of {total} windows of {WINDOW}, {FEATURES} features, all tests; upper 95 % bound {bound:.2f}"
        found.append(
            _row(f"null_{name.replace(' ', '_')}", 1000 * alarmed / total, "per 1000", "lower", note)
        )
    return found


def _power() -> list[dict[str, Any]]:
    found = []
    for shift, size, windows in ((0.5, 200, 1000), (0.25, 1000, 400), (0.1, 5000, 100)):
        rng = np.random.default_rng(6)
        hits = 0
        for _ in range(8):
            stream = rng.standard_normal((size * windows, FEATURES))
            stream[:, 0] += shift
            alarms = replay(
                _arrays(rng.standard_normal((REFERENCE, FEATURES))), _arrays(stream), size, ALLOWED
            ).alarms
            hits += len({alarm.window for alarm in alarms if alarm.merged == 1})
        note = f"one of {FEATURES} features by {shift} deviations, windows of {size} alone, reference of {REFERENCE}"
        found.append(_row(f"power_{shift}", hits / (8 * windows), "share", "higher", note))
    return found


def _labels() -> list[dict[str, Any]]:
    found = []
    for rate in (0.15, 0.20):
        delays = [_delay(np.random.default_rng(seed), rate) for seed in range(400)]
        note = "labels from the change to the alarm, median; 500 labels at 10 % before"
        found.append(_row(f"labels_10_to_{rate:.0%}", float(np.median(delays)), "labels", "lower", note))
    lengths = [_delay(np.random.default_rng(seed), 0.10, 150_000) for seed in range(60)]
    note = f"mean of 60 runs at a steady 10 %, cut at 150,000; at least {RUN_LENGTH:.0f} by construction"
    found.append(_row("labels_run_length", float(np.mean(lengths)), "labels", "higher", note))
    return found


def _delay(rng: np.random.Generator, rate: float, most: int = 5_000) -> int:
    state = ErrorStream(0.10)
    if rate != 0.10:
        for wrong in rng.random(500) < 0.10:
            state = state.take(bool(wrong))
    for index, wrong in enumerate(rng.random(most) < rate):
        state = state.take(bool(wrong))
        if state.evidence >= RUN_LENGTH:
            return index + 1
    return most


def _fleet(devices: int = 10_000, features: int = 32, window: int = 200) -> list[dict[str, Any]]:
    """Every device reports a window of every feature; one in a hundred has one that moved by 0.5 deviations."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((REFERENCE, features))
    integers, seen = scale_of(x).integers(x)
    known = references([f"x{column}" for column in range(features)], integers, seen)
    shares = [np.array(one.plan.reference) / one.rows for one in known]
    counted = []
    moved = rng.random((devices, features)) < 0.01 / features
    for column, one in enumerate(known):
        shift = np.where(moved[:, column], 0.5, 0.0)
        level = window * 16 * shift + 16 * np.sqrt(window) * rng.standard_normal(devices)
        bins = rng.multinomial(window, shares[column] / shares[column].sum(), devices)
        spread = 256 * (window + np.sqrt(2 * window) * rng.standard_normal(devices) + window * shift**2)
        sums = np.round(level + window * one.calibration_mean).astype(np.int64)
        counted.append(Counted(bins.astype(np.int64), sums, np.round(spread).astype(np.int64)))
    for one in known:
        one.calibration(window)  # once for a version, not for each window
    began = time.process_time()
    earlier = [Counted(c.bins // 2, c.sums // 2, c.squares // 2) for c in counted]
    rest = [
        Counted(c.bins - e.bins, c.sums - e.sums, c.squares - e.squares)
        for c, e in zip(counted, earlier, strict=True)
    ]
    merged = [a + b for a, b in zip(earlier, rest, strict=True)]
    p = np.stack(
        [weighed(p_values(o, c, o.calibration(window))) for o, c in zip(known, merged, strict=True)], axis=1
    )
    apart = np.stack(
        [jensen_shannon(np.array(o.plan.reference), c.bins) for o, c in zip(known, merged, strict=True)],
        axis=1,
    )
    passed = hierarchical(p, 0.05) & (apart >= DEFAULT_SIZE)
    seconds = time.process_time() - began
    false = float((passed & ~moved).sum() / max(1, passed.sum()))
    what = f"{devices} devices x {features} features"
    return [
        _row("fleet_seconds", seconds, "s", "lower", f"{what}: merged, tested and chosen, processor time"),
        _row(
            "fleet_false_discoveries",
            false,
            "share",
            "lower",
            f"{what}, {int(moved.sum())} moved: of {int(passed.sum())} found",
        ),
    ]


def _without_labels(size: int = 500, tries: int = 400) -> dict[str, Any]:
    """Calibrated confidence on a logistic world whose inputs move, so that it is less sure and less right."""
    rng = np.random.default_rng(8)

    def world(rows: int, shift: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        distance = np.abs(rng.normal(1.6 - shift, 1.0, rows))
        sure = 1 / (1 + np.exp(-1.7 * distance))
        score = np.clip(np.round(sure * 256) - 128, -128, 127).astype(np.int64)
        return (score + 128) >> 4, rng.random(rows) < sure

    bins, right = world(10_000, 0.0)
    calibration = tuple((int((bins == b).sum()), int(right[bins == b].sum())) for b in range(16))
    plan = ObservePlan((), tuple(int((bins == b).sum()) for b in range(16)), (10_000,), calibration)
    empty = empty_counters(plan)
    errors = []
    for _ in range(tries):
        seen, truth = world(size, float(rng.uniform(0, 1.5)))
        counts = tuple(int((seen == b).sum()) for b in range(16))
        counters = type(empty)(empty.bins, size, 0, 0, (size,), counts, empty.latency, 0, ())
        estimate = estimated_accuracy(plan, counters)
        errors.append(abs(estimate.value - float(truth.mean())) if estimate else 1.0)
    note = f"mean absolute error of the estimate, windows of {size}, {tries} covariate shifts"
    return _row("accuracy_without_labels_error", float(np.mean(errors)), "share", "lower", note)


if __name__ == "__main__":
    assert BINS == 12
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']:.4g} {measured['unit']:8} {measured['note']}")
