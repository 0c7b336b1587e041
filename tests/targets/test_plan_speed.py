"""The latency of plans: what it is made of, and that it is given only where something is known."""

from __future__ import annotations

import pytest
from targets.fit_models import model

from edgeops.compile import compile_plan
from edgeops.compile.plan_format import OpCode
from edgeops.targets import catalogue, check_fit, find_target
from edgeops.targets.plan_speed import FAMILY_OF_ISA, _table, instructions, latency_of_plan, work_of_plan

ARM = [name for name, part in catalogue().items() if part.core.startswith("cortex-m")]
OTHERS = [name for name, part in catalogue().items() if not part.core.startswith("cortex")]


@pytest.mark.parametrize("name", ["dense", "mixed", "residual", "separable"])
def test_the_work_is_that_of_the_plan(name: str) -> None:
    made = compile_plan(model(name))
    work = list(work_of_plan(made.plan))
    assert [op for op, _ in work] and len(work) == sum(made.ops.values())
    layers = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert sum(counts[0] for op, counts in work if op in layers) == made.macs


def test_every_operator_has_prices_on_every_family_and_in_both_builds() -> None:
    for family in {family for pair in FAMILY_OF_ISA.values() for family in pair}:
        for built in ("speed", "size"):
            prices = _table()["cores"][family][built]
            assert prices.keys() == {code.name for code in OpCode}
            assert all(len(row) == 4 and min(row) >= 0 < max(row) for row in prices.values())


@pytest.mark.parametrize("name", ARM)
def test_cores_have_a_range_with_its_basis_and_source(name: str) -> None:
    target = find_target(name)
    (found,) = check_fit(model("separable"), target, "plan").kernels
    assert 0 < found.low < found.high
    assert found.basis == "derived" and "an estimate" in found.source
    assert found.kernels == ("plan_dsp" if "dsp" in target.extensions else "plan_portable")


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_claimed_for_cores_that_nothing_was_counted_on(name: str) -> None:
    assert latency_of_plan(compile_plan(model("separable")).plan, find_target(name)) == []


def test_the_document_has_the_range() -> None:
    document = check_fit(model("separable"), find_target("stm32f103"), "plan").document()
    (row,) = document["latency_by_kernels"]
    assert document["latency_ms"] == {"low": row["low"], "high": row["high"]}


def test_the_dsp_extension_and_optimization_for_speed_save_instructions() -> None:
    plan = compile_plan(model("separable")).plan
    assert instructions(plan, "cortex-m4", "speed") < instructions(plan, "cortex-m3", "speed")
    assert instructions(plan, "cortex-m3", "speed") < instructions(plan, "cortex-m3", "size")
    assert instructions(plan, "cortex-m3", "speed") < instructions(plan, "cortex-m0", "speed")
