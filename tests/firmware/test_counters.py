"""The firmware counts as Python does: the same windows give the same bytes, and what one writes the other reads."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from firmware.counting import (
    ARGUMENT,
    FULL,
    OK,
    RANGE,
    TOO_SMALL,
    Array,
    Opened,
    Said,
    Script,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support.counted import empty

from device_agent.observing import Draws, Observing
from edgeops.core.codec import decode, encode
from edgeops.core.counter_block import pack_counters, unpack_counters
from edgeops.core.fourier import draw_fourier
from edgeops.core.input_features import FEATURES, extract
from edgeops.core.messages import ReportPolicy
from edgeops.core.moments import steps
from edgeops.core.observe import BINS, FeaturePlan, ObservePlan, latency_bin
from edgeops.core.outputs import anomaly_scores, reconstruction_error
from edgeops.core.tensors import TensorSpec, scale_from_integers

ROOT = Path(__file__).parents[2]
MOST = 65_535
EXAMPLE = bytes.fromhex("0a0b0c0d208502a6d460027ff8e1000740")
DIGEST = bytes(range(32))


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / "tests" / "vectors" / "wire" / f"{name}.json").read_text())


def stored(text: str, *shape: int) -> Array:
    return np.frombuffer(base64.b64decode(text), np.int8).reshape(-1, *shape)


@pytest.fixture(scope="module")
def run_counters(host_build: Path) -> Path:
    return host_build / "run_counters"


class Model(NamedTuple):
    """A model as ``device_agent.observing`` knows it."""

    digest: bytes
    plan: ObservePlan


def observe_plan(
    names: tuple[str, ...] = (), classes: int = 2, edges: tuple[int, ...] = tuple(range(0, 1100, 100))
) -> ObservePlan:
    """A plan without a margin."""
    features = tuple(FeaturePlan(name, edges, (0,) * BINS, 500, 200) for name in names)
    return ObservePlan(features, (0,) * 16, (0,) * classes, ((0, 0),) * 16)


class TestVectors:
    @pytest.mark.parametrize("case", vectors("windows"), ids=lambda case: str(case["shape"]))
    def test_a_window_is_counted_and_packed_to_the_byte(
        self, case: dict[str, Any], run_counters: Path
    ) -> None:
        plan, shape = bytes.fromhex(case["plan"]), tuple(case["shape"])
        inputs = stored(case["inputs"], *shape)
        script = Script().plan(plan).shape(shape).draws(case["boot"], case["observe_permille"], len(inputs))
        script.begin()
        scores = stored(case["scores"], len(decode(ObservePlan, plan).classes))
        for image, row, us, observed in zip(inputs, scores, case["latencies"], case["observed"], strict=True):
            script.observe(image if observed else None, row, us).id(case["boot"], 1, DIGEST[:8])
        errors, rejected, missing = case["failures"]
        script.errors(errors).rejected(missing, True).rejected(rejected - missing, False)
        opened, status, drawn, *said, block = script.pack().run(run_counters)
        assert (opened.digest.hex(), status) == (case["block"][:8], OK)
        assert drawn == case["observed"]
        assert [one.hex() for one in said[1::2]] == case["ids"]
        assert block.hex() == case["block"]

    @pytest.mark.parametrize("case", vectors("counters"), ids=lambda case: str(case["shape"]))
    def test_features_and_blocks_that_python_wrote_are_the_same_in_c(
        self, case: dict[str, Any], run_counters: Path
    ) -> None:
        block = bytes.fromhex(case["block"])
        script = Script().plan(bytes.fromhex(case["plan"])).shape(tuple(case["shape"]))
        inputs = stored(case["inputs"], *case["shape"])
        for image in inputs:
            script.features(image)
        answers = script.read(block).counters().run(run_counters)
        assert [list(values) for values in answers[2:-2]] == case["features"]
        assert answers[-2:] == [OK, unpack_counters(block)]

    @pytest.mark.parametrize("case", vectors("reconstructions"), ids=lambda case: str(case["threshold"]))
    def test_a_restored_input_is_scored_the_same(self, case: dict[str, Any], run_counters: Path) -> None:
        ours, theirs = (
            TensorSpec((case["size"],), "int8", scale_from_integers(mantissa, exponent), zero)
            for mantissa, exponent, zero in (case["input"], case["output"])
        )
        script = Script().plan(encode(observe_plan())).shape(ours.shape)
        script.reconstruction(ours, theirs, case["threshold"]).begin()
        inputs, outputs = stored(case["inputs"], case["size"]), stored(case["outputs"], case["size"])
        for image, restored in zip(inputs, outputs, strict=True):
            script.restore(image, restored, 5)
        said = script.run(run_counters)[3:]
        assert [one.error for one in said] == case["errors"]
        assert [(one.predicted, one.score) for one in said] == [
            (int(np.argmax(row)), max(row)) for row in case["scores"]
        ]

    def test_the_worked_example_of_the_protocol(self, run_counters: Path) -> None:
        text = (ROOT / "docs" / "protocol.md").read_text()
        (written,) = re.findall(r"five were observed, one feature and two classes: `([0-9a-f]+)`", text)
        assert bytes.fromhex(written) == EXAMPLE
        status, read = Script().read(EXAMPLE).counters().run(run_counters)
        assert (status, read) == (OK, unpack_counters(EXAMPLE))
        assert (read.errors, read.rejected_inputs, read.missing, read.moments) == (1, 2, 1, ((-3, 7),))


class Inputs(NamedTuple):
    """A window's worth of anything."""

    shape: tuple[int, ...]
    plan: ObservePlan
    inputs: Array
    scores: Array
    latencies: list[int]
    permille: int


@st.composite
def feature_plans(draw: st.DrawFn, name: str, most: int = 70_000) -> FeaturePlan:
    edges = sorted(draw(st.lists(st.integers(-5, most), min_size=11, max_size=11)))
    mean, deviation = draw(st.integers(-5, most)), draw(st.integers(0, most))
    return FeaturePlan(name, tuple(edges), (0,) * BINS, mean, deviation)


@st.composite
def windows(draw: st.DrawFn) -> Inputs:
    shape = draw(
        st.sampled_from([(1,), (7,), (64,), (5, 1), (9, 3), (1, 6), (8, 5, 3), (2, 3, 2, 2), (17, 4, 1)])
    )
    names = draw(st.lists(st.sampled_from(FEATURES), max_size=12))
    classes, n = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    features = tuple(draw(feature_plans(name)) for name in names)
    margin = draw(st.none() | feature_plans("margin", 260))
    fourier = draw_fourier(len(names)).to_bytes() if names and draw(st.booleans()) else None
    plan = ObservePlan(features, (0,) * 16, (0,) * classes, ((0, 0),) * 16, margin, fourier)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = sorted(draw(st.lists(st.integers(-128, 128), min_size=2, max_size=2, unique=True)))
    inputs = rng.integers(low, high, (n, *shape)).astype(np.int8)
    inputs = inputs[np.sort(rng.integers(0, n, n))] if draw(st.booleans()) else inputs  # some repeat
    scores = rng.integers(low, high, (n, classes)).astype(np.int8)
    latencies = draw(st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n))
    return Inputs(shape, plan, inputs, scores, latencies, draw(st.sampled_from([0, 1, 500, 999, 1000])))


class TestCounting:
    @settings(max_examples=150)
    @given(
        window=windows(), boot=st.integers(0, 2**32 - 1), failures=st.tuples(*[st.integers(0, 70_000)] * 3)
    )
    def test_any_window_gives_the_same_bytes_and_says_the_same(
        self, window: Inputs, boot: int, failures: tuple[int, int, int], run_counters: Path
    ) -> None:
        observing = Observing("model", boot)
        observing.policy = ReportPolicy(0, 0, window.permille)
        observing.switch(Model(DIGEST, window.plan), False, 0)
        draws = Draws(boot)
        script = Script().plan(encode(window.plan)).shape(window.shape).begin()
        script.draws(boot, window.permille, len(window.inputs))
        expected, drawn = [], []
        for image, scores, us in zip(window.inputs, window.scores, window.latencies, strict=True):
            drawn.append(draws.below(window.permille))
            script.observe(image if drawn[-1] else None, scores, us).id(boot, 1, DIGEST[:8])
            expected.append(observing.count(image, scores, us))
        errors, missing, other = failures
        script.errors(errors).rejected(missing, True).rejected(other, False)
        for times, count in (
            (errors, observing.count_error),
            (missing, lambda: observing.count_rejected(True)),
        ):
            for _ in range(times):
                count()
        for _ in range(other):
            observing.count_rejected()
        opened, shape, took, *said, block = script.pack().run(run_counters)
        report = observing.close(1)
        assert report is not None
        assert (shape, took) == (OK, drawn)
        assert opened == Opened(window.plan.digest(), len(window.plan.features), len(window.plan.classes))
        assert [(one.predicted, one.score, one.confidence_bin) for one in said[::2]] == [
            (one.predicted, one.score, one.confidence_bin) for one in expected
        ]
        assert said[1::2] == [one.id for one in expected]
        assert block == pack_counters(report.counters)
        assert unpack_counters(block) == report.counters

    @given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple), seed=st.integers(0, 2**32))
    def test_features_of_any_shape(self, shape: tuple[int, ...], seed: int, run_counters: Path) -> None:
        batch = np.random.default_rng(seed).integers(-128, 128, (3, *shape)).astype(np.int8)
        script = Script().plan(encode(observe_plan())).shape(shape)
        for image in batch:
            script.features(image)
        assert script.run(run_counters)[2:] == [tuple(row) for row in extract(FEATURES, batch).tolist()]

    @pytest.mark.parametrize("fill", [-128, 0, 127, None])
    def test_features_of_an_input_of_a_megabyte_do_not_overflow(
        self, fill: int | None, run_counters: Path
    ) -> None:
        image = np.full((1024, 1024), fill or 0, np.int8)
        if fill is None:
            image[:, ::2], image[:, 1::2] = -128, 127
        script = Script().plan(encode(observe_plan())).shape(image.shape).features(image)
        assert script.run(run_counters)[2] == tuple(extract(FEATURES, image[np.newaxis])[0].tolist())

    def test_every_latency_bucket_begins_where_pythons_does(self, run_counters: Path) -> None:
        latencies = [2**bits + apart for bits in range(2, 32) for apart in (-1, 0)] + [0, 2**32 - 1]
        for us in latencies:
            script = Script().plan(encode(observe_plan())).begin().observe(None, np.zeros(2, np.int8), us)
            *_, block = script.pack().run(run_counters)
            assert unpack_counters(block).latency[latency_bin(us)] == 1

    @pytest.mark.parametrize("value", range(-3, 1003, 100))
    def test_a_value_on_an_edge_is_binned_and_moved_as_in_python(
        self, value: int, run_counters: Path
    ) -> None:
        for deviation in (0, 1, 7, 2**26 - 1):
            edges = tuple(sorted([0, value, 255, *range(0, 800, 100)]))
            margin = FeaturePlan("margin", edges, (0,) * BINS, value, deviation)
            plan = replace(observe_plan(), margin=margin)
            best, scores = max(-128, min(127, value - 128)), np.zeros(2, np.int8)
            scores[:] = -128, best
            script = Script().plan(encode(plan)).begin().observe(None, scores, 1).pack()
            counted = unpack_counters(script.run(run_counters)[-1])
            moved = int(steps(np.array([best + 128]), value, deviation)[0])
            observing = Observing("model", 1)
            observing.switch(Model(DIGEST, plan), False, 0)
            observing.count(np.zeros(1, np.int8), scores, 1)
            report = observing.close(0)
            assert report is not None
            assert (counted.margin, counted.margin_moments) == (report.counters.margin, (moved, moved**2))

    def test_an_input_is_stuck_only_where_the_observed_one_before_was_the_same(
        self, run_counters: Path
    ) -> None:
        a, b = np.zeros(4, np.int8), np.ones(4, np.int8)
        scores = np.zeros(2, np.int8)
        script = Script().plan(encode(observe_plan(("level",)))).shape((4,)).begin()
        for image in (a, a, None, a, b, a, None, b, b):
            script.observe(image, scores, 1)
        script.pack().begin().observe(b, scores, 1).pack()
        blocks = [answer for answer in script.run(run_counters) if isinstance(answer, bytes)]
        assert [unpack_counters(block).stuck for block in blocks] == [3, 0]  # a window begins anew

    @settings(max_examples=50)
    @given(
        mantissas=st.tuples(*[st.integers(2**23, 2**24 - 1)] * 2),
        exponents=st.tuples(*[st.integers(-40, 10)] * 2),
        zeros=st.tuples(*[st.integers(-128, 127)] * 2),
        threshold=st.integers(1, 2**48 - 1) | st.integers(1, 2**20),
        shape=st.sampled_from([(1,), (640,), (8, 8, 1)]),
        seed=st.integers(0, 2**32),
    )
    def test_any_reconstruction_has_the_same_error_and_scores(
        self,
        mantissas: tuple[int, int],
        exponents: tuple[int, int],
        zeros: tuple[int, int],
        threshold: int,
        shape: tuple[int, ...],
        seed: int,
        run_counters: Path,
    ) -> None:
        specs = [
            TensorSpec(shape, "int8", scale_from_integers(m, x), z)
            for m, x, z in zip(mantissas, exponents, zeros, strict=True)
        ]
        rng = np.random.default_rng(seed)
        inputs, outputs = (rng.integers(-128, 128, (2, *shape)).astype(np.int8) for _ in range(2))
        script = Script().plan(encode(observe_plan())).shape(shape).reconstruction(*specs, threshold).begin()
        for image, restored in zip(inputs, outputs, strict=True):
            script.restore(image, restored, 1)
        said: list[Said] = script.run(run_counters)[3:]
        errors = reconstruction_error(*specs, inputs, outputs)
        scores = anomaly_scores(errors, threshold)
        assert [one.error for one in said] == errors.tolist()
        assert [(one.predicted, one.score) for one in said] == [
            (int(row.argmax()), int(row.max())) for row in scores
        ]

    @pytest.mark.parametrize(
        ("scale", "zero", "threshold"), [(1.0, 128, 9), (1.0, -129, 9), (1.0, 0, 2**48), (1.0, 0, 0)]
    )
    def test_what_cannot_be_scored_is_refused(
        self, scale: float, zero: int, threshold: int, run_counters: Path
    ) -> None:
        spec = TensorSpec((4,), "int8", scale, zero)
        good = replace(spec, zero_point=0)
        script = (
            Script().reconstruction(good, spec, threshold).reconstruction(good, replace(good, shape=(5,)), 9)
        )
        assert script.reconstruction(good, good, 9).run(run_counters) == [RANGE, RANGE, OK]


class TestTheWindow:
    @given(
        policy=st.builds(ReportPolicy, st.integers(0, 5), st.integers(0, 100), st.just(0)),
        begun=st.integers(0, 2**40),
        passed=st.integers(0, 200),
        n=st.integers(0, 6),
    )
    def test_it_closes_when_the_policy_says(
        self, policy: ReportPolicy, begun: int, passed: int, n: int, run_counters: Path
    ) -> None:
        observing = Observing("model", 1)
        observing.policy = policy
        observing.switch(Model(DIGEST, observe_plan()), False, begun)
        script = Script().plan(encode(observe_plan())).begin(begun)
        for _ in range(n):
            script.observe(None, np.zeros(2, np.int8), 1)
            observing.count(np.zeros(1, np.int8), np.zeros(2, np.int8), 1)
        full, empty_window = script.due(policy, begun + passed).run(run_counters)[-1]
        assert full == observing.due(begun + passed)
        assert empty_window == (n == 0) == (observing.close(begun + passed) is None)

    def test_it_counts_no_further_than_a_report_can_say(self, run_counters: Path) -> None:
        scores, image = np.zeros(2, np.int8), np.full(4, 127, np.int8)
        names = ("level", "clipped")
        plan = replace(observe_plan(names), fourier=draw_fourier(2).to_bytes())
        script = Script().plan(encode(plan)).shape((4,)).begin()
        script.observe(image, scores, 2**32 - 1, MOST).due(ReportPolicy(0, 0, 0), 0).pack()
        script.observe(image, scores, 1).due(ReportPolicy(2**32 - 1, 0, 0), 0).pack()
        _, _, last, full, block, refused, still_full, again = script.run(run_counters)
        assert (last.status, last.place, full[0], still_full[0]) == (OK, MOST - 1, True, True)
        assert (refused.status, again) == (FULL, block)
        counted = unpack_counters(block)
        assert (counted.inferences, counted.observed, counted.stuck) == (MOST, MOST, MOST - 1)
        assert counted.moments == ((64 * MOST, 64**2 * MOST),) * 2

    def test_an_empty_window_and_a_plan_of_nothing(self, run_counters: Path) -> None:
        for plan in (observe_plan(), observe_plan(FEATURES, 64), observe_plan((), 0)):
            observed = Script().plan(encode(plan)).begin().pack().run(run_counters)[-1]
            assert unpack_counters(observed) == replace(
                empty(len(plan.features), len(plan.classes), plan.digest()),
                moments=((0, 0),) * len(plan.features),
            )

    def test_a_plan_without_classes_or_inputs_without_a_shape_are_not_counted(
        self, run_counters: Path
    ) -> None:
        nothing = np.zeros(0, np.int8)
        script = Script().plan(encode(observe_plan((), 0))).begin().observe(None, nothing, 1)
        script.plan(encode(observe_plan(("level",)))).observe(nothing, np.zeros(2, np.int8), 1).pack()
        _, without_classes, _, without_shape, block = script.run(run_counters)
        assert (without_classes.status, without_shape.status) == (ARGUMENT, ARGUMENT)
        assert unpack_counters(block).inferences == 0

    def test_a_block_needs_its_room_and_not_a_byte_more(self, run_counters: Path) -> None:
        script = Script().plan(encode(observe_plan(("level",)))).shape((4,)).begin().errors(3)
        script.observe(np.zeros(4, np.int8), np.zeros(2, np.int8), 1, times=100)
        block = script.pack().run(run_counters)[-1]
        for room in range(len(block) + 1):
            script.pack(room)
        answers = script.run(run_counters)[-len(block) - 1 :]
        assert answers == [TOO_SMALL] * len(block) + [block]

    @given(shape=st.lists(st.sampled_from([0, 1, 2, 1024, 2**20, 2**31, 2**32 - 1]), max_size=8).map(tuple))
    def test_shapes_that_have_no_values_or_too_many_are_refused(
        self, shape: tuple[int, ...], run_counters: Path
    ) -> None:
        values = 1
        for size in shape:
            values *= size
        good = 1 <= len(shape) <= 6 and 1 <= values <= 2**20
        assert Script().shape(shape).run(run_counters) == [OK if good else RANGE]
