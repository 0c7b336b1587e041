"""Latency: calibrated on published results, its error computed by leaving each of them out."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.targets import find_target
from edgeops.targets.catalogue import Target
from edgeops.targets.latency import (
    MODELS,
    errors_by_kernels,
    estimate,
    leave_one_out,
    published_results,
    reference_work,
)
from edgeops.targets.ops import Kind, Work

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "fit.md"


def part(core: str, mhz: float) -> Target:
    return dataclasses.replace(find_target("stm32l4r5"), core=core, mhz=int(mhz))


def test_all_published_results_are_there() -> None:
    results = published_results()
    assert len(results) == 7 * 4
    assert {(r.core, r.kernels, r.mhz): [r.ms] for r in results[:1]} == {
        ("cortex-m4", "tflm_reference", 120): [10.05]
    }
    assert all(result.source.startswith("MLPerf Tiny") for result in results)


@pytest.mark.parametrize("result", published_results(), ids=lambda r: f"{r.core}-{r.kernels}-{r.model}")
def test_every_published_result_lies_in_its_range(result) -> None:  # type: ignore[no-untyped-def]
    ranges = estimate(reference_work(result.model), part(result.core, result.mhz))
    (found,) = [entry for entry in ranges if entry.kernels == result.kernels]
    assert found.low <= result.ms <= found.high
    assert found.basis == "published"
    assert found.high / found.low < 3.2


def test_most_results_are_found_without_having_been_seen() -> None:
    errors = [abs(math.log(estimated / result.ms)) for result, estimated in leave_one_out()]
    assert sorted(errors)[len(errors) // 2] < math.log(1.2)
    assert errors_by_kernels()[""] < math.log(1.4)
    assert errors_by_kernels()["x_cube_ai"] < math.log(1.25)


def test_leaving_one_out_is_harder_than_having_seen_it() -> None:
    for result, estimated in leave_one_out():
        ranges = estimate(reference_work(result.model), part(result.core, result.mhz))
        (found,) = [entry for entry in ranges if entry.kernels == result.kernels]
        seen = math.sqrt(found.low * found.high)
        assert abs(math.log(estimated / result.ms)) >= abs(math.log(seen / result.ms)) - 0.02


WORK = st.builds(
    lambda a, b, c, other: Work({Kind.CONVOLUTION: a, Kind.SEPARABLE: b, Kind.FULLY_CONNECTED: c}, other),
    *[st.integers(0, 10**9)] * 4,
)


@given(WORK, st.sampled_from(["stm32l053", "stm32l4r5", "stm32h743", "ra8m1", "esp32s3", "raspberry-pi-4"]))
def test_ranges_are_positive_and_ordered(work: Work, name: str) -> None:
    for entry in estimate(work, find_target(name)):
        assert 0 < entry.low < entry.high < math.inf


@given(WORK, st.integers(2, 20))
def test_k_times_the_work_takes_k_times_as_long(work: Work, factor: int) -> None:
    more = Work({kind: factor * n for kind, n in work.macs_by_kind.items()}, factor * work.other_elements)
    if work.macs + work.other_elements < 100:
        return
    for one, many in zip(*(estimate(w, find_target("nrf5340")) for w in (work, more)), strict=True):
        assert many.low == pytest.approx(factor * one.low, rel=1e-6)


@given(WORK)
def test_twice_the_clock_takes_half_the_time(work: Work) -> None:
    for slow, fast in zip(
        estimate(work, part("cortex-m4", 60)), estimate(work, part("cortex-m4", 120)), strict=True
    ):
        assert slow.high == pytest.approx(2 * fast.high)


def test_faster_kernels_and_cores_are_faster() -> None:
    work = reference_work("person")
    by_kernels = {entry.kernels: entry for entry in estimate(work, find_target("stm32l4r5"))}
    assert by_kernels["x_cube_ai"].high < by_kernels["cmsis_nn"].high < by_kernels["tflm_reference"].high
    highs = [
        max(e.high for e in estimate(work, part(core, 100)))
        for core in ("cortex-m3", "cortex-m4", "cortex-m7")
    ]
    assert highs == sorted(highs, reverse=True)


def test_kernels_of_a_vendor_are_for_its_parts() -> None:
    work = reference_work("image")
    assert "x_cube_ai" not in {entry.kernels for entry in estimate(work, find_target("nrf52840"))}
    assert "x_cube_ai" in {entry.kernels for entry in estimate(work, find_target("stm32f446"))}


def test_kernels_of_the_runtime_come_first() -> None:
    kernels = [entry.kernels for entry in estimate(reference_work("image"), find_target("stm32l4r5"))]
    assert kernels == ["tflm_reference", "cmsis_nn", "x_cube_ai"]


def test_what_is_only_a_guess_says_so() -> None:
    (entry,) = estimate(reference_work("image"), find_target("raspberry-pi-zero-2w"))
    assert entry.basis == "guess"
    assert entry.high / entry.low > 8


def guide_rows() -> list[str]:
    rows = []
    for result, estimated in leave_one_out():
        if result.model == MODELS[0]:
            rows.append(f"| {result.core}, {result.mhz} MHz, `{result.kernels}` |")
        rounded = f"{estimated:.0f}" if estimated >= 100 else f"{estimated:.3g}"
        rows[-1] += f" {result.ms:g} → {rounded} |"
    return rows


def test_the_guide_shows_the_leave_one_out_error_as_it_is() -> None:
    text = GUIDE.read_text()
    for row in guide_rows():
        assert row in text, f"docs/guides/fit.md: the table of leave-one-out errors needs\n{row}"
    errors = errors_by_kernels()
    for kernels, error in errors.items():
        row = f"| {f'`{kernels}`' if kernels else 'all'} | ×/÷ {math.exp(error):.2f} |"
        assert row in text, f"docs/guides/fit.md: needs\n{row}"
    median = sorted(abs(math.log(e / r.ms)) for r, e in leave_one_out())
    middle = math.exp((median[13] + median[14]) / 2) - 1
    assert re.search(rf"median error {middle:.0%}", text)
