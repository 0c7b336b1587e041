"""What an output says: the scores of classes, and those of a reconstruction, in integers."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.packages import build

from edgeops.core.errors import InputError
from edgeops.core.manifest import Manifest, TensorContract
from edgeops.core.observe import confidence_bin
from edgeops.core.outputs import (
    MAX_RECONSTRUCTED,
    MAX_THRESHOLD,
    RECONSTRUCTION_LABELS,
    anomaly_scores,
    class_scores,
    error_unit,
    reconstruction_error,
    score_spec,
)
from edgeops.core.tensors import TensorSpec, scale_to_integers

CLASSIFIER = build().manifest
SCALES = st.floats(2**-20, 2**10, width=32)
POINTS = st.integers(-128, 127)
SPECS = st.builds(TensorSpec, st.just((6,)), st.just("int8"), SCALES, POINTS)
VALUES = hnp.arrays(np.int8, (4, 6))


def autoencoder(threshold: int | None = 1000, scale: float = 0.0625) -> Manifest:
    tensor = TensorContract.of(TensorSpec((4,), "int8", scale, 3), "g")
    return replace(
        CLASSIFIER,
        input=tensor,
        output=tensor,
        output_kind="reconstruction",
        labels=RECONSTRUCTION_LABELS,
        threshold=threshold,
        preprocessing=(),
    )


def by_definition(given: TensorSpec, restored: TensorSpec, inputs: list[int], outputs: list[int]) -> int:
    """The error as the protocol defines it, in Python's integers of any size."""
    pairs = [scale_to_integers(spec.scale) for spec in (given, restored)]
    largest = max(exponent for _, exponent in pairs)
    weights = [math.floor(Fraction(m, 2 ** (12 + largest - x)) + Fraction(1, 2)) for m, x in pairs]
    total = 0
    for a, b in zip(inputs, outputs, strict=True):
        total += (weights[0] * (a - given.zero_point) - weights[1] * (b - restored.zero_point)) ** 2
    return total // len(inputs)


class TestClasses:
    @given(hnp.arrays(np.int8, (5,)))
    def test_the_scores_are_the_output(self, output: np.ndarray) -> None:
        zeros = np.zeros((8, 8, 1), np.int8)
        assert class_scores(CLASSIFIER, zeros, output).tolist() == output.tolist()
        assert class_scores(CLASSIFIER, zeros, output.reshape(1, 1, 5)).shape == (5,)

    def test_their_scale_is_the_outputs(self) -> None:
        assert score_spec(CLASSIFIER) == CLASSIFIER.output.spec

    @pytest.mark.parametrize(
        "manifest",
        [replace(CLASSIFIER, output_kind="boxes"), autoencoder(threshold=None)],
        ids=["kind", "none"],
    )
    def test_what_this_version_cannot_read_is_refused(self, manifest: Manifest) -> None:
        with pytest.raises(InputError, match=manifest.output_kind):
            class_scores(manifest, np.zeros(4, np.int8), np.zeros(4, np.int8))


class TestError:
    @given(SPECS, SPECS, VALUES, VALUES)
    def test_is_what_the_definition_says(
        self, given: TensorSpec, restored: TensorSpec, inputs: np.ndarray, outputs: np.ndarray
    ) -> None:
        found = reconstruction_error(given, restored, inputs, outputs)
        rows = zip(inputs.tolist(), outputs.tolist(), strict=True)
        assert found.tolist() == [by_definition(given, restored, a, b) for a, b in rows]
        assert found.dtype == np.int64

    @given(SPECS, SPECS, VALUES, VALUES)
    def test_is_near_the_real_mean_squared_difference(
        self, given: TensorSpec, restored: TensorSpec, inputs: np.ndarray, outputs: np.ndarray
    ) -> None:
        a = (inputs.astype(np.float64) - given.zero_point) * given.scale
        b = (outputs.astype(np.float64) - restored.zero_point) * restored.scale
        real = np.sqrt(((a - b) ** 2).mean(axis=1))
        found = np.sqrt(reconstruction_error(given, restored, inputs, outputs) * error_unit(given, restored))
        # a weight is rounded to 2**-12 of the larger scale, and a value is at most 255 steps: twice a sixteenth
        assert (np.abs(found - real) <= 0.13 * max(given.scale, restored.scale)).all()

    @given(SPECS, VALUES)
    def test_is_0_for_what_is_restored_exactly(self, spec: TensorSpec, values: np.ndarray) -> None:
        assert not reconstruction_error(spec, spec, values, values).any()

    @given(st.integers(0, 1500))
    def test_of_a_batch_is_that_of_each(self, count: int) -> None:
        spec = TensorSpec((2, 3), "int8", 0.5, 1)
        rng = np.random.default_rng(count)
        inputs, outputs = rng.integers(-128, 128, (2, count, 2, 3)).astype(np.int8)
        together = reconstruction_error(spec, spec, inputs, outputs.reshape(count, 6))
        chosen = slice(max(count - 3, 0), count)
        each = [
            reconstruction_error(spec, spec, a[None], b[None])[0]
            for a, b in zip(inputs[chosen], outputs[chosen], strict=True)
        ]
        assert together[chosen].tolist() == each

    def test_of_the_most_and_the_furthest_values_does_not_overflow(self) -> None:
        largest = float(np.nextafter(np.float32(2), np.float32(0)))
        specs = [TensorSpec((MAX_RECONSTRUCTED,), "int8", largest, point) for point in (-128, 127)]
        inputs = np.full((1, MAX_RECONSTRUCTED), 127, np.int8)
        found = int(reconstruction_error(*specs, inputs, -1 - inputs)[0])
        assert found == (4096 * 255 * 2) ** 2 < 2**42

    @pytest.mark.parametrize(
        ("given", "restored", "says"),
        [
            (TensorSpec((6,), "int8", 1.0, 0), TensorSpec((5,), "int8", 1.0, 0), "the same number of values"),
            (TensorSpec((0,), "int8", 1.0, 0), TensorSpec((0,), "int8", 1.0, 0), "the same number of values"),
            (TensorSpec((2**21,), "int8", 1.0, 0), TensorSpec((2**21,), "int8", 1.0, 0), "at most 1048576"),
            (TensorSpec((6,), "int16", 1.0, 0), TensorSpec((6,), "int8", 1.0, 0), "needs int8"),
            (TensorSpec((6,), "int8", 0.0, 0), TensorSpec((6,), "int8", 1.0, 0), "with a scale"),
            (TensorSpec((6,), "int8", 1.0, 300), TensorSpec((6,), "int8", 1.0, 0), "a zero point"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_of_tensors_that_do_not_belong_together(
        self, given: TensorSpec, restored: TensorSpec, says: str
    ) -> None:
        with pytest.raises(InputError, match=says):
            reconstruction_error(given, restored, np.zeros((1, 6), np.int8), np.zeros((1, 6), np.int8))

    def test_of_values_of_another_shape(self) -> None:
        spec = TensorSpec((6,), "int8", 1.0, 0)
        for inputs, outputs in (((2, 6), (3, 6)), ((2, 5), (2, 6)), ((2, 6), (2, 7))):
            with pytest.raises(InputError, match="6 values each"):
                reconstruction_error(spec, spec, np.zeros(inputs, np.int8), np.zeros(outputs, np.int8))


class TestScores:
    @given(st.integers(0, 2**42), st.integers(1, MAX_THRESHOLD))
    def test_lie_either_side_of_the_threshold(self, error: int, threshold: int) -> None:
        normal, anomaly = map(int, anomaly_scores(np.array([error]), threshold)[0])
        assert anomaly == 256 * error // (error + threshold) - 128
        assert normal + anomaly == -1
        assert (anomaly > normal) == (error >= threshold)
        assert confidence_bin(max(normal, anomaly)) >= 8

    @given(st.lists(st.integers(0, 2**42), min_size=2), st.integers(1, MAX_THRESHOLD))
    def test_rise_with_the_error(self, errors: list[int], threshold: int) -> None:
        scores = anomaly_scores(np.sort(np.array(errors)), threshold)
        assert (np.diff(scores[:, 1].astype(int)) >= 0).all()

    @pytest.mark.parametrize("threshold", [0, -1, MAX_THRESHOLD + 1])
    def test_need_a_threshold_in_its_range(self, threshold: int) -> None:
        with pytest.raises(InputError, match="between 1 and"):
            anomaly_scores(np.array([1]), threshold)

    def test_of_one_inference_are_those_of_its_error(self) -> None:
        manifest = autoencoder(threshold=2**23)
        given = np.array([3, 4, 5, 6], np.int8)
        assert class_scores(manifest, given, given).tolist() == [127, -128]
        # one step apart everywhere: a step of 2**-4 weighs 2**11, so the error is 2**22, half the threshold
        assert class_scores(manifest, given, given + np.int8(1)).tolist() == [42, -43]

    def test_half_is_the_threshold(self) -> None:
        spec = score_spec(autoencoder())
        assert (spec.shape, spec.scale * (0 - spec.zero_point)) == ((2,), 0.5)
