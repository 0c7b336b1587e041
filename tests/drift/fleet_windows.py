"""Made fleets: windows of devices whose features are normal numbers, counted as devices count them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from drift.streams import normal
from numpy.typing import NDArray

from edgeops.core.counters import Counters
from edgeops.core.moments import steps
from edgeops.core.observe import BINS, FeaturePlan, bin_of
from edgeops.drift.device_track import SeenWindow
from edgeops.drift.reference import FeatureReference
from edgeops.drift.signals import References

FEATURES = 4
UNIT = 1000  # to a deviation
MARGIN_UNIT = 40


def world(seed: int, rows: int, shift: Sequence[float] = (), scale: float = 1.0) -> NDArray[np.int64]:
    """(rows, FEATURES) values; ``shift`` in deviations of the first features."""
    values = np.random.default_rng(seed).standard_normal((rows, FEATURES)) * scale
    values[:, : len(shift)] += np.asarray(shift)
    return np.round(values * UNIT).astype(np.int64)


def dependent(seed: int, rows: int, rho: float) -> NDArray[np.int64]:
    """(rows, FEATURES) values with the correlation ``rho`` between neighbours."""
    return np.round(normal(seed, rows, FEATURES, rho) * UNIT).astype(np.int64)


def margins(seed: int, rows: int) -> NDArray[np.int64]:
    """(rows,) margins of a model that is fairly sure."""
    return np.random.default_rng(seed + 10**6).integers(60, 250, rows)


def references(rows: int = 5000, seed: int = 99) -> References:
    """What the fleet is held against."""
    values = world(seed, rows)
    features = tuple(FeatureReference(f"x{column}", values[:, column]) for column in range(FEATURES))
    return References(b"madebins", features, FeatureReference("margin", margins(seed, rows)))


def counted(
    against: References, values: NDArray[np.int64], margin: NDArray[np.int64], **more: int
) -> Counters:
    """The counters of one window of inputs (n, FEATURES) and margins (n,)."""
    n = len(values)
    bins, moments = [], []
    for column, reference in enumerate(against.features):
        of = _counted(reference.plan, values[:, column])
        bins.append(of[0])
        moments.append(of[1])
    assert against.margin is not None
    margin_bins, margin_moments = _counted(against.margin.plan, margin)
    return Counters(
        bins=against.bins,
        inferences=n,
        errors=0,
        rejected_inputs=more.get("missing", 0),
        classes=(n,),
        confidence=(0,) * 15 + (n,),
        latency=(n,) + (0,) * 15,
        observed=n,
        features=tuple(bins),
        moments=tuple(moments),
        margin=margin_bins,
        margin_moments=margin_moments,
        missing=more.get("missing", 0),
        stuck=more.get("stuck", 0),
    )


def window(
    against: References,
    device: str,
    sequence: int,
    n: int = 200,
    shift: Sequence[float] = (),
    *,
    boot: int = 1,
    seconds: float = 60.0,
    start_s: float | None = None,
    scale: float = 1.0,
    trial: bool = False,
    **more: int,
) -> SeenWindow:
    """The ``sequence``-th window of a device; the same arguments give the same window."""
    seed = sum(ord(letter) * 31**place for place, letter in enumerate(device)) * 1000 + sequence
    start = (sequence - 1) * seconds if start_s is None else start_s
    return SeenWindow(
        id=seed,
        device=device,
        boot=boot,
        sequence=sequence,
        start_ms=round(start * 1000),
        duration_ms=round(seconds * 1000),
        trial=trial,
        counters=counted(against, world(seed, n, shift, scale), margins(seed, n), **more),
    )


def _counted(plan: FeaturePlan, values: NDArray[np.int64]) -> tuple[tuple[int, ...], tuple[int, int]]:
    bins = np.bincount(bin_of(plan.edges, values), minlength=BINS)
    moved = steps(values, plan.mean, plan.deviation)
    return tuple(bins.tolist()), (int(moved.sum()), int(moved @ moved))
