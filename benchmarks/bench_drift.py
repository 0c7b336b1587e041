"""Drift detectors on made streams: false alarms on null ones, power on shifts of known size, labels, and a fleet.

Each stream is watched with fresh references, so that what a reference does not know of its world counts too.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from drift_worlds import ALLOWED, FEATURES, NULL, REFERENCE, WINDOW, autocorrelated, upper_bound
from numpy.typing import NDArray

from edgeops.core.counters import empty_counters
from edgeops.core.observe import ObservePlan
from edgeops.drift.arrays import Arrays, Scale, scale_of
from edgeops.drift.concept import RUN_LENGTH, ErrorStream, base_rate_of, labels_needed
from edgeops.drift.estimate import estimated_accuracy
from edgeops.drift.evidence import p_values, weighed
from edgeops.drift.multiplicity import hierarchical
from edgeops.drift.reference import FeatureReference, references
from edgeops.drift.replay import replay
from edgeops.drift.size import DEFAULT_SIZE, jensen_shannon
from edgeops.drift.windows import count_windows

FLEETS, FLEET_WINDOWS = 30, 5
REFERENCES, WINDOWS = 20, 1_000  # windows of each stream: their product
DEPENDENT = ((0.5, 200, 400, REFERENCE), (0.25, 1000, 60, REFERENCE), (0.1, 5000, 20, 4 * REFERENCE))
"""Shift, size of a window, windows, rows of the reference: the longer a window is, the more rows it takes."""
DEPENDENT_REFERENCES = 2
SHARE_OF_LEVEL = ALLOWED * 0.85 * 0.75 / 0.85 / FEATURES * 0.5 / 2
"""A single window's part of the allowance, that of ``data`` of the kinds there are, one of the features, of its
tests the level, one of two directions."""


def rows() -> list[dict[str, Any]]:
    """All figures."""
    return [*_null(), *_power(), *_power_of_dependent(), *_labels(), *_fleet(), _without_labels()]


def _row(name: str, value: float, unit: str, better: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": better, "peer": None, "note": note}


def _arrays(x: NDArray[np.float64]) -> Arrays:
    return Arrays(x, tuple(f"x{column}" for column in range(x.shape[1])))


def _null() -> list[dict[str, Any]]:
    found = []
    for name, draw in NULL.items():
        rng = np.random.default_rng(5)
        alarmed = 0
        for _ in range(REFERENCES):
            reference, stream = draw(rng, REFERENCE), draw(rng, WINDOW * WINDOWS)
            alarms = replay(_arrays(reference), _arrays(stream), WINDOW, ALLOWED).alarms
            alarmed += len({alarm.window for alarm in alarms})
        total = REFERENCES * WINDOWS
        bound = upper_bound(alarmed, total)
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


def _power_of_dependent() -> list[dict[str, Any]]:
    """The same shifts where neighbours depend on each other, beside what nobody could exceed."""
    found = []
    for correlation in (0.5, 0.9):
        draw = autocorrelated(correlation)
        for shift, size, windows, reference in DEPENDENT:
            rng = np.random.default_rng(9)
            hits = 0
            for _ in range(DEPENDENT_REFERENCES):
                stream = draw(rng, size * windows)
                stream[:, 0] += shift
                alarms = replay(_arrays(draw(rng, reference)), _arrays(stream), size, ALLOWED).alarms
                hits += len({alarm.window for alarm in alarms if alarm.merged == 1})
            worth = effective_size(size, correlation)
            bound, shared = most_power(shift, worth, 1 / 1000), most_power(shift, worth, SHARE_OF_LEVEL)
            note = (
                f"windows of {size} are worth {worth:.0f} independent values; a test that knows feature, direction and "
                f"world has a power of {bound:.3f} at 1 false alarm in 1,000 windows, and of {shared:.3f} at the part "
                f"of the allowance that one direction of one feature's level has here; reference of {reference}"
            )
            name = f"power_{shift}_correlation_{correlation}"
            row = _row(name, hits / (DEPENDENT_REFERENCES * windows), "share", "higher", note)
            found.append(row | {"peer": {"name": "bound", "version": f"n = {worth:.0f}", "value": bound}})
    return found


def effective_size(n: int, correlation: float) -> float:
    """How many independent values tell as much of a mean as ``n`` of a first-order autoregression of variance 1 do.

    Fisher's information of the mean, (n - (n - 2) rho) / (1 + rho): no unbiased estimate varies less.
    """
    return (n - (n - 2) * correlation) / (1 + correlation)


def most_power(shift: float, n: float, false_alarms: float) -> float:
    """The power of the best test there is (Neyman and Pearson) for a mean that rose by so many deviations."""
    from scipy.stats import norm

    return float(norm.sf(norm.isf(false_alarms) - shift * np.sqrt(n)))


def _labels() -> list[dict[str, Any]]:
    found = []
    for rate in (0.15, 0.20):
        delays = [_delay(np.random.default_rng(seed), rate) for seed in range(1000)]
        note = "labels from the change to the alarm, median; 500 labels at 10 % before"
        found.append(_row(f"labels_10_to_{rate:.0%}", float(np.median(delays)), "labels", "lower", note))
    lengths = [_delay(np.random.default_rng(seed), 0.10, 150_000) for seed in range(60)]
    note = f"mean of 60 runs at a steady 10 %, cut at 150,000; at least {RUN_LENGTH:.0f} by construction"
    found.append(_row("labels_run_length", float(np.mean(lengths)), "labels", "higher", note))
    return [*found, _labelled_reference()]


def _labelled_reference() -> dict[str, Any]:
    """How many labels must know the usual error rate, and what the run length is where they do, or are a point off."""
    needed, runs = labels_needed(0.10), 40
    rng = np.random.default_rng(10)
    known = [base_rate_of(int(rng.binomial(needed, 0.10)), needed)[0] for _ in range(runs)]
    lengths = {
        name: np.mean(
            [_delay(np.random.default_rng([10, n]), 0.10, 150_000, base) for n, base in enumerate(bases)]
        )
        for name, bases in (("known", known), ("low", [0.09] * runs))
    }
    note = (
        f"to know 10 % to a quarter of a point; mean run length of {runs} runs with references of so many labels "
        f"{lengths['known']:,.0f}, with a rate that is taken one point too low {lengths['low']:,.0f}"
    )
    return _row("labels_reference", needed, "labels", "lower", note)


def _delay(rng: np.random.Generator, rate: float, most: int = 5_000, base: float = 0.10) -> int:
    state = ErrorStream(base)
    if rate != 0.10:
        for wrong in rng.random(500) < 0.10:
            state = state.take(bool(wrong))
    for index, wrong in enumerate(rng.random(most) < rate):
        state = state.take(bool(wrong))
        if state.evidence >= RUN_LENGTH:
            return index + 1
    return most


def _fleet(features: int = 32) -> list[dict[str, Any]]:
    """How long 10,000 devices take, and how many of the discoveries among 10,000 tests a window are false."""
    rng = np.random.default_rng(7)
    seconds = _one_window(*_known(rng, features), rng, 10_000)[1]
    found = false = 0
    for _ in range(FLEETS):
        known = _known(rng, features)  # what a reference does not know of its world is part of the matter
        for _ in range(FLEET_WINDOWS):
            passed, _, moved = _one_window(*known, rng, 10_000 // features)
            found, false = found + int(passed.sum()), false + int((passed & ~moved).sum())
    what = f"10,000 devices x {features} features: merged, tested and chosen, processor time"
    tests = (
        f"{FLEETS} fleets x {FLEET_WINDOWS} windows of {10_000 // features * features} tests, 1 % of devices moved: "
        f"{false} of {found} found"
    )
    return [
        _row("fleet_seconds", seconds, "s", "lower", what),
        _row("fleet_false_discoveries", false / max(1, found), "share", "lower", tests),
    ]


def _known(rng: np.random.Generator, features: int) -> tuple[list[FeatureReference], Scale]:
    x = rng.standard_normal((REFERENCE, features))
    scale = scale_of(x)
    known = references([f"x{column}" for column in range(features)], *scale.integers(x))
    for one in known:
        one.calibration(WINDOW)  # once for a version, not for each window
    return known, scale


def _one_window(
    known: list[FeatureReference], scale: Scale, rng: np.random.Generator, devices: int
) -> tuple[NDArray[np.bool_], float, NDArray[np.bool_]]:
    """(what passes, processor time, what moved), each (devices, features): one window of every device."""
    moved = rng.random((devices, len(known))) < 0.01 / len(known)
    halves = []
    for column, one in enumerate(known):
        values = rng.standard_normal((devices, WINDOW)) + 0.5 * moved[:, column, np.newaxis]
        integers = np.round((values - scale.centre[column]) / scale.unit[column]).astype(np.int64)
        half = WINDOW // 2
        parts = (integers[:, :half].ravel(), integers[:, half:].ravel())
        halves.append([count_windows(one, part, np.ones(len(part), bool), half) for part in parts])
    began = time.process_time()
    merged = [a + b for a, b in halves]
    pairs = list(zip(known, merged, strict=True))
    p = np.stack([weighed(p_values(one, seen, one.calibration(WINDOW))) for one, seen in pairs], axis=1)
    apart = np.stack([jensen_shannon(np.array(one.plan.reference), seen.bins) for one, seen in pairs], axis=1)
    passed = hierarchical(p) & (apart >= DEFAULT_SIZE)
    return passed, time.process_time() - began, moved


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
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']:.4g} {measured['unit']:8} {measured['note']}")
