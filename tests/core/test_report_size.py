"""A report is at most 256 bytes for eight features, and 1,024 for 32: in the worst case, not on the average."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.counted import OF_BINS, counters, longest_counters, longest_histogram, longest_moments

from edgeops.core.bit_codes import BitWriter
from edgeops.core.codec import encode
from edgeops.core.counter_block import pack_counters
from edgeops.core.counters import Counters
from edgeops.core.messages import Report

INPUTS, CLASSES = 1000, 12
YEAR_MS = 365 * 24 * 3_600_000
DAY_MS = 24 * 3_600_000
LIMITS = {8: 256, 32: 1024}


def report_of(counted: Counters) -> Report:
    """A report whose other numbers are as long as they are allowed to be here."""
    return Report(
        model="digits",
        manifest=bytes(8),
        boot=65_535,
        sequence=2**20 - 1,
        behind=255,
        generation=255,
        start_ms=YEAR_MS,
        duration_ms=DAY_MS,
        counters=counted,
        observe_permille=999,
        dropped=255,
        trial=True,
    )


@pytest.mark.parametrize(("features", "limit"), LIMITS.items())
def test_the_longest_report_is_within_its_limit(features: int, limit: int) -> None:
    sizes = {
        inputs: len(encode(report_of(longest_counters(features, CLASSES, inputs))))
        for inputs in (INPUTS, 990, 900, 520, 500)
    }
    print(f"longest report of {features} features: {max(sizes.values())} bytes of {limit}")
    assert max(sizes.values()) <= limit


@pytest.mark.parametrize(("errors", "rejected"), [(0, 39), (3, 33), (24, 16), (60, 60), (0, 500), (250, 250)])
def test_nor_is_it_with_refused_inputs_in_the_place_of_inferences(errors: int, rejected: int) -> None:
    counted = longest_counters(8, CLASSES, INPUTS - errors - rejected)
    counted = replace(counted, errors=errors, rejected_inputs=rejected, missing=rejected)
    assert len(encode(report_of(counted))) <= LIMITS[8]


@pytest.mark.parametrize("size", [12, 16])
def test_the_longest_histogram_is_longer_than_any_that_is_drawn(size: int) -> None:
    rng = np.random.default_rng(size)
    most = bits(longest_histogram(size, INPUTS))
    drawn = [
        rng.multinomial(INPUTS, rng.dirichlet(np.full(size, shape)))
        for shape in (0.05, 0.3, 1.0, 10.0, 1000.0)
        for _ in range(100)
    ]
    even = [np.full(size, INPUTS // size)] + [
        np.diff([0, *range(n, INPUTS, n)][:size]) for n in range(50, 90)
    ]
    for counts in [*drawn, *even]:
        assert bits([int(n) for n in counts]) <= most


@given(n=st.integers(1, INPUTS), data=st.data())
@settings(max_examples=60)
def test_the_longest_moments_are_longer_than_any_that_are_drawn(n: int, data: st.DataObject) -> None:
    from support.counted import moments

    assert moment_bits(data.draw(moments(n)), n) <= moment_bits(longest_moments(INPUTS), INPUTS)


@given(counted=counters(features=8, classes=12, parts=(True, True, False)))
@settings(max_examples=20)
def test_no_drawn_report_of_a_thousand_inputs_is_longer(counted: Counters) -> None:
    if counted.inferences + counted.errors + counted.rejected_inputs <= INPUTS:
        assert len(encode(report_of(counted))) <= LIMITS[8]


def test_a_usual_report_is_shorter() -> None:
    """Data like the reference: deciles equally full, a model that is mostly sure, latencies in three buckets."""
    rng = np.random.default_rng(5)
    print_size = {}
    for n in (50, 200, 1000):
        sure = rng.multinomial(n, [0.002] * 10 + [0.005, 0.01, 0.02, 0.05, 0.1, 0.795])
        counted = Counters(
            bins=OF_BINS,
            inferences=n,
            errors=0,
            rejected_inputs=0,
            classes=tuple(map(int, rng.multinomial(n, [1 / CLASSES] * CLASSES))),
            confidence=tuple(map(int, sure)),
            latency=tuple(map(int, rng.multinomial(n, [0, 0, 0.9, 0.08, 0.02] + [0] * 11))),
            observed=n,
            features=tuple(tuple(map(int, rng.multinomial(n, [0] + [0.1] * 10 + [0]))) for _ in range(8)),
            moments=tuple(drawn_moments(rng, n) for _ in range(8)),
            margin=tuple(map(int, rng.multinomial(n, [0] + [0.1] * 10 + [0]))),
            margin_moments=drawn_moments(rng, n),
        )
        report = replace(
            report_of(counted), behind=0, generation=3, duration_ms=60_000, dropped=0, trial=False
        )
        print_size[n] = len(encode(report))
    print("usual reports of 8 features, bytes by inputs:", print_size)
    assert max(print_size.values()) <= 225


def drawn_moments(rng: np.random.Generator, n: int) -> tuple[int, int]:
    moved = np.clip(np.floor(16 * rng.standard_normal(n)), -64, 64).astype(int)
    return int(moved.sum()), int(moved @ moved)


def bits(counts: list[int] | tuple[int, ...]) -> int:
    writer = BitWriter()
    writer.histogram(list(counts), sum(counts))
    return writer.size


def moment_bits(moments: tuple[int, int], n: int) -> int:
    """Of the block with one feature, less what it has without moments."""
    plain = Counters(OF_BINS, n, 0, 0, (n,), (n, *(0,) * 15), (n, *(0,) * 15), n, ((n, *(0,) * 11),))
    return 8 * (len(pack_counters(replace(plain, moments=(moments,)))) - len(pack_counters(plain)))
