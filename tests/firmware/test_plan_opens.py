"""Whatever the compiler takes, the runtime opens and runs: what ``eo_plan_open`` would refuse is refused before."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from compile.op_models import Model
from compile.test_moves import slices
from compile.test_operators import convolutions, dense_layers, means, poolings, sums
from compile.test_recurrent import lstm_model, svdf_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets.fit_models import model as fit_model

from edgeops.compile import compile_plan
from edgeops.compile.plan_format import MOST_CLASSES, MOST_SUMMED
from edgeops.core.errors import DataError

OK = 0
MANY = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
SCALES = (1e-38, 2.0**-32, 1e-6, 1 / 256, 0.05, 1.0, 3e4, 3e38, 0.0, -0.05, float("inf"), float("nan"))
ZERO_POINTS = (-129, -128, -1, 0, 127, 128)
MODELS = st.one_of(convolutions(), dense_layers(), poolings(), means(), sums(), slices())


def statuses(host_build: Path, plans: Sequence[bytes]) -> list[int]:
    """Of opening each plan; those that open are run too."""
    stream = b"".join(struct.pack("<I", len(plan)) + plan for plan in plans)
    ended = subprocess.run([host_build / "try_plans"], input=stream, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [int(line) for line in ended.stdout.split()]


def compiled(contents: Sequence[bytes]) -> list[bytes]:
    """The plans of those that are not refused."""
    plans = []
    for content in contents:
        try:
            plans.append(compile_plan(content).plan)
        except DataError as refusal:
            assert refusal.fix
    return plans


def with_changed_scales(content: bytes, choices: Sequence[tuple[int, float, int]]) -> bytes:
    """A model some of whose tensors have another scale and zero point."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    tensors = model.subgraphs[0].tensors
    for place, scale, zero_point in choices:
        quantization = tensors[place % len(tensors)].quantization
        if quantization is not None and quantization.scale is not None:
            quantization.scale = np.full_like(quantization.scale, scale)
            quantization.zeroPoint = np.full_like(quantization.zeroPoint, zero_point)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class TestWhateverIsCompiledIsOpened:
    def test_models_with_damaged_bytes(self, host_build: Path) -> None:
        opened = 0
        damage = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
        whole = st.sampled_from(("separable", "mixed", "dense_per_channel")).map(fit_model)

        @given(models=st.lists(st.tuples(whole, damage), min_size=20, max_size=40))
        @MANY
        def check(models: list[tuple[bytes, list[tuple[int, int]]]]) -> None:
            nonlocal opened
            contents = [bytearray(content) for content, _ in models]
            for content, (_, changed) in zip(contents, models, strict=True):
                for at, value in changed:
                    content[at % len(content)] = value
            plans = compiled([bytes(content) for content in contents])
            assert statuses(host_build, plans) == [OK] * len(plans)
            opened += len(plans)

        check()
        assert opened > 100

    def test_operators_with_scales_of_any_size(self, host_build: Path) -> None:
        opened = refused = 0
        changes = st.tuples(st.integers(0, 99), st.sampled_from(SCALES), st.sampled_from(ZERO_POINTS))
        recurrent = st.builds(svdf_model, st.integers(0, 9), st.booleans()) | st.builds(
            lstm_model, st.integers(0, 9)
        )

        @given(
            models=st.lists(
                st.tuples(MODELS | recurrent, st.lists(changes, min_size=1, max_size=3)),
                min_size=5,
                max_size=10,
            )
        )
        @MANY
        def check(models: list[tuple[bytes, list[tuple[int, float, int]]]]) -> None:
            nonlocal opened, refused
            plans = compiled([with_changed_scales(content, changed) for content, changed in models])
            assert statuses(host_build, plans) == [OK] * len(plans)
            opened, refused = opened + len(plans), refused + len(models) - len(plans)

        check()
        assert opened > 50 and refused > 50  # how many of each is drawn hangs on the profile

    def test_the_largest_that_is_not_refused(self, host_build: Path) -> None:
        models = []
        for size in (MOST_CLASSES, MOST_CLASSES + 1):
            model = Model()
            x, y = model.tensor((1, size)), model.tensor((1, size), 1 / 256, -128)
            model.add("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
            models.append(model.content([x], [y]))
        for size in (MOST_SUMMED, MOST_SUMMED + 1):
            model = Model()
            x, y = model.tensor((1, size)), model.tensor((1, 1))
            model.add("MEAN", [x, model.integers([1])], [y], "ReducerOptions", keepDims=True)
            models.append(model.content([x], [y]))
        plans = compiled(models)
        assert len(plans) == 2
        assert statuses(host_build, plans) == [OK, OK]
