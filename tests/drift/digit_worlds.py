"""Real digits, whole and seen by a drifted camera, counted as a device counts them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, rotate
from sklearn.datasets import load_digits

from edgeops.core.observe import (
    BINS,
    CONFIDENCE_BINS,
    FEATURES,
    LATENCY_BINS,
    Counters,
    ObservePlan,
    bin_of,
    extract,
    plan_feature,
)

WINDOW = 50
POOL = 165
REFERENCE = 1000


def quantized(images: np.ndarray) -> np.ndarray:
    """0..16 to int8 by x / 16, scale 1/255 and zero point -128."""
    return np.clip(np.rint(images / 16 * 255) - 128, -128, 127).astype(np.int8)[..., None]


@cache
def images() -> np.ndarray:
    """All 1,797 digits in the order of a salted hash of their content: any cut of it is a fair split."""
    found = load_digits().images
    order = sorted(range(len(found)), key=lambda i: hashlib.sha256(b"drift" + found[i].tobytes()).digest())
    return found[order]


def drifted(raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same scenes through a camera that has turned, lost contrast and focus."""
    angle = rng.uniform(24, 34) * rng.choice((-1, 1))
    turned = rotate(raw, angle, axes=(1, 2), reshape=False, order=1)
    blur = rng.uniform(0.5, 0.75)
    return np.clip(gaussian_filter(turned, (0, blur, blur)) * rng.uniform(0.45, 0.6), 0, 16)


@cache
def features() -> np.ndarray:
    return extract(FEATURES, quantized(images()))


def plan_of(values: np.ndarray, scores: np.ndarray) -> ObservePlan:
    planned = tuple(plan_feature(name, values[:, i]) for i, name in enumerate(FEATURES))
    confidence = tuple(int(c) for c in np.bincount(scores, minlength=CONFIDENCE_BINS))
    calibration = tuple((c, c) for c in confidence)
    return ObservePlan(planned, confidence, (len(values) // 10,) * 10, calibration)


class Counter:
    """Counts windows of feature values in a plan's bins."""

    def __init__(self, plan: ObservePlan) -> None:
        self.plan, self.digest = plan, plan.digest()

    def count(self, values: np.ndarray, scores: np.ndarray) -> Counters:
        n = len(values)
        counted = tuple(
            tuple(np.bincount(bin_of(f.edges, values[:, i]), minlength=BINS).tolist())
            for i, f in enumerate(self.plan.features)
        )
        confidence = tuple(np.bincount(scores, minlength=CONFIDENCE_BINS).tolist())
        latency = (n,) + (0,) * (LATENCY_BINS - 1)
        return Counters(self.digest, n, 0, 0, (n,) + (0,) * 9, confidence, latency, n, counted)


def stream(pool: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Windows of indices: a device walks round and round its own permutation of the pool."""
    order, at = rng.permutation(pool), 0
    while True:
        yield order[np.arange(at, at + WINDOW) % len(order)]
        at += WINDOW
