"""Quantizing models that were trained elsewhere: what is compared, on what, and with which examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import InputError
from edgeops.training import foreign
from edgeops.training.backend import load_tensorflow
from edgeops.training.foreign import Variant, _best, quantize_foreign, run_tflite
from edgeops.training.foreign_model import ForeignModel


def model_of(*layers: Any, shape: tuple[int, ...] = (6,)) -> ForeignModel:
    _, keras = load_tensorflow()
    keras.utils.set_random_seed(1)
    return ForeignModel((None, *shape), keras.Sequential([keras.Input(shape), *layers]))


def dense(units: int = 3) -> ForeignModel:
    _, keras = load_tensorflow()
    return model_of(keras.layers.Dense(units))


X = np.random.default_rng(1).normal(size=(90, 6)).astype(np.float32)


class TestRepresentativeData:
    @pytest.fixture
    def shown(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The examples that each int8 conversion was given."""
        given: list[Any] = []
        real = foreign.convert

        def convert(model: Any, scheme: str, examples: Any = None) -> bytes:
            if scheme == "int8":
                given.append(examples)
            return real(model, scheme, examples)

        monkeypatch.setattr(foreign, "convert", convert)
        return given

    def test_is_chosen_by_class(self, shown: list[Any]) -> None:
        y = np.zeros(90, np.int64)
        y[[4, 50]], y[77] = 1, 2
        quantize_foreign(dense(), X, y, ["int8"], [6])
        rows = [int(np.flatnonzero((item == X).all(axis=1))[0]) for item in shown[0]]
        assert {4, 50, 77} < set(rows)

    def test_is_tried_in_each_size_and_no_larger_than_the_data(self, shown: list[Any]) -> None:
        variants = quantize_foreign(dense(), X, None, ["int8", "dynamic"], [2, 60, 500, 900])
        assert [len(examples) for examples in shown] == [2, 60, 90]
        assert [variant.representative for variant in variants] == [2, 60, 90, None]
        assert sum(variant.taken for variant in variants if variant.scheme == "int8") == 1
        assert variants[-1].taken


FRACTIONS = st.none() | st.floats(0, 1)


@given(st.lists(st.tuples(FRACTIONS, FRACTIONS, st.none() | st.floats(-20, 90)), min_size=1, max_size=6))
def test_none_is_better_than_the_best(figures: list[tuple[float | None, float | None, float | None]]) -> None:
    variants = [Variant("int8", b"", *three) for three in figures]
    best = _best(variants)
    if all(variant.accuracy is not None for variant in variants):
        assert best.accuracy == max(variant.accuracy or 0.0 for variant in variants)
    alike = [v for v in variants if (v.accuracy, v.agreement) == (best.accuracy, best.agreement)]
    assert best.snr_db is None or all(v.snr_db is not None and v.snr_db <= best.snr_db for v in alike)


class TestTheComparison:
    def test_of_float32_nothing_is_lost(self) -> None:
        (variant,) = quantize_foreign(dense(), X, None, ["float32"])
        assert (variant.agreement, variant.snr_db, variant.accuracy) == (1.0, None, None)

    def test_more_bits_lose_less(self) -> None:
        small, large = quantize_foreign(dense(), X, None, ["int8", "int16x8"])
        assert small.snr_db is not None and large.snr_db is not None
        assert large.snr_db > small.snr_db + 3 > 20

    def test_accuracy_is_of_items_from_all_over_the_data(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Data sorted by class would otherwise be judged on its first classes only."""
        monkeypatch.setattr(foreign, "MAX_EVALUATED", 30)
        model = dense()
        y = np.asarray(model(X)).argmax(axis=1)
        y[:45] = (y[:45] + 1) % 3
        (variant,) = quantize_foreign(model, X, y, ["float32"])
        assert variant.accuracy is not None and 0.2 < variant.accuracy < 0.8

    def test_of_two_classes_and_one_probability(self) -> None:
        _, keras = load_tensorflow()
        model = model_of(keras.layers.Dense(1, activation="sigmoid"))
        y = (np.asarray(model(X))[:, 0] > 0.5).astype(np.int64)
        (variant,) = quantize_foreign(model, X, y, ["float32"])
        assert variant.accuracy == 1.0

    def test_a_value_has_no_class(self) -> None:
        (variant,) = quantize_foreign(dense(1), X, None, ["int8"])
        assert (variant.accuracy, variant.agreement) == (None, None)
        assert variant.snr_db is not None and variant.snr_db > 20


class TestWhatIsRefused:
    def test_outputs_that_are_not_finite(self) -> None:
        tensorflow, keras = load_tensorflow()
        model = model_of(keras.layers.Lambda(lambda x: tensorflow.math.log(x - 100.0)))
        with pytest.raises(InputError, match="the float model itself gives NaN"):
            quantize_foreign(model, X, None, ["int8"])

    def test_values_beyond_what_the_type_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = iter([np.ones((90, 3), np.float32), np.full((90, 3), np.inf, np.float32)])
        monkeypatch.setattr(foreign, "run_tflite", lambda tflite, x: next(given))
        with pytest.raises(InputError, match="float16 is not possible for this model: its values go beyond"):
            quantize_foreign(dense(), X, None, ["float16"])

    def test_an_operator_that_there_is_not(self) -> None:
        tensorflow, keras = load_tensorflow()
        model = model_of(keras.layers.Lambda(lambda x: tensorflow.linalg.inv(x)), shape=(4, 4))
        x = np.eye(4, dtype=np.float32)[None] + np.zeros((3, 1, 1), np.float32)
        with pytest.raises(InputError, match="TensorFlow Lite has no operator for MatrixInverse"):
            quantize_foreign(model, x, None, ["int8"])

    @pytest.mark.parametrize("scheme", ["int8", "int16x8"])
    def test_a_loop_that_would_crash_the_calibrator(self, scheme: str) -> None:
        _, keras = load_tensorflow()
        model = model_of(keras.layers.LSTM(3), shape=(5, 4))
        x = np.random.default_rng(1).normal(size=(4, 5, 4)).astype(np.float32)
        assert run_tflite(quantize_foreign(model, x, None, ["dynamic"])[0].tflite, x).shape == (4, 3)
        with pytest.raises(
            InputError, match=f"{scheme} is not possible for this model: it has a loop"
        ) as caught:
            quantize_foreign(model, x, None, [scheme])
        assert "unroll=True" in (caught.value.fix or "")

    def test_leaves_nothing_on_stderr(self, capfd: pytest.CaptureFixture[str]) -> None:
        tensorflow, keras = load_tensorflow()
        model = model_of(keras.layers.Lambda(lambda x: tensorflow.linalg.inv(x)), shape=(4, 4))
        with pytest.raises(InputError):
            quantize_foreign(model, np.ones((3, 4, 4), np.float32), None, ["int8"])
        assert capfd.readouterr() == ("", "")
