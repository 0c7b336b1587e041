"""A retrain climbs from cheap to dear, and takes the first challenger that is proven better."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_models import SMALL, random_model, small_recipe

from edgeops.core.errors import ConfigError, DataError, InputError
from edgeops.core.features.steps import apply_to_batch, make_step, scale_step
from edgeops.core.manifest import Step
from edgeops.core.patches import apply_patch, make_patch
from edgeops.data.dataset import Dataset, Part, extend, new_dataset
from edgeops.data.sources import read_source
from edgeops.training.gates import DOUBT, Compared, Gate, divides, judge_retrain, sign_test
from edgeops.training.ladder import (
    Attempt,
    challenged,
    choose,
    climb,
    push_bytes,
    recovered,
    right,
    words,
)
from edgeops.training.moving import channel_axes, moving
from edgeops.training.pipeline import TrainingResult, train
from edgeops.training.prepare import prepare
from edgeops.training.quantize import convert
from edgeops.training.recalibrate import best_share, matching, with_scale
from edgeops.training.recipe import Recipe, load_recipe
from edgeops.training.requantize import Requantizer
from edgeops.training.strategies import Champion, World, challenge
from edgeops.training.weights import to_bytes

RECIPE = """\
[recipe]
name = "tiny"
[data]
name = "digits"
[preprocessing]
steps = [{ op = "scale", factor = 0.0625 }]
[architecture]
kind = "small_cnn"
filters = [8, 8]
dense = 16
[training]
epochs = 8
learning_rate = 0.005
[quantization]
representative = [50]
[retrain]
margin_on_test = 0.05
captured_weight = 4
"""


def bools(*counts: tuple[bool, int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.concatenate([np.full(count, value) for value, count in counts])


def compared(both: int, gained: int, lost: int, neither: int = 0) -> Compared:
    """Items by who has them right."""
    old = bools((True, both), (False, gained), (True, lost), (False, neither))
    new = bools((True, both), (True, gained), (False, lost), (False, neither))
    return Compared(old, new)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(RECIPE)
    return load_recipe(path)


class TestTheProof:
    @pytest.mark.parametrize(
        ("won", "lost", "chance"),
        [(0, 0, 1.0), (5, 0, 1 / 32), (7, 0, 1 / 128), (7, 1, 9 / 256), (0, 3, 1.0), (2, 2, 11 / 16)],
    )
    def test_the_sign_test_is_that_of_mcnemar(self, won: int, lost: int, chance: float) -> None:
        assert sign_test(won, lost) == pytest.approx(chance)

    @given(won=st.integers(0, 40), lost=st.integers(0, 40))
    def test_one_more_won_is_more_sure_and_one_more_lost_less(self, won: int, lost: int) -> None:
        chance = sign_test(won, lost)
        assert 0 < chance <= 1
        assert sign_test(won + 1, lost) < chance or won + lost == 0
        assert sign_test(won, lost + 1) >= chance

    def test_forty_samples_can_prove_it(self, recipe: Recipe) -> None:
        same = compared(100, 0, 0)
        assert judge_retrain(recipe, captured=compared(30, 6, 0, 4), test=same, attempts=5)[0].passed
        assert judge_retrain(recipe, captured=compared(30, 5, 0, 5), test=same)[0].passed

    def test_one_lucky_sample_is_not_a_proof(self, recipe: Recipe) -> None:
        same = compared(100, 0, 0)
        gate = judge_retrain(recipe, captured=compared(30, 3, 1, 6), test=same)[0]
        assert not gate.passed
        assert gate.note.startswith("right where the old is wrong 3 times, the reverse 1 of 40")

    @pytest.mark.parametrize("attempts", [1, 5])
    @pytest.mark.parametrize("size", [24, 200])
    def test_models_that_are_no_better_pass_as_seldom_as_is_said(
        self, recipe: Recipe, size: int, attempts: int
    ) -> None:
        """All attempts together, of challengers that have nothing in common but their champion."""
        draw, same, passed = np.random.default_rng(size), compared(100, 0, 0), 0
        for _ in range(400):
            old = draw.random(size) < 0.8
            passed += any(
                judge_retrain(recipe, captured=Compared(old, new), test=same, attempts=attempts)[0].passed
                for new in draw.random((attempts, size)) < 0.8
            )
        assert passed / 400 <= DOUBT + 0.033  # three standard errors

    def test_it_may_lose_the_margin_on_the_test_part_and_no_more(self, recipe: Recipe) -> None:
        better = compared(20, 20, 0)
        margin = round(recipe.retrain.margin_on_test * 100)
        assert judge_retrain(recipe, captured=better, test=compared(90, 0, margin, 10 - margin))[1].passed
        assert not judge_retrain(recipe, captured=better, test=compared(89, 0, margin + 1, 10 - margin))[
            1
        ].passed

    def test_no_slice_pays_for_the_others(self, recipe: Recipe) -> None:
        better = compared(20, 20, 0)
        paying = compared(0, 0, 10, 20)  # of 30 of the one camera ten are lost
        gaining = compared(160, 10, 0)
        columns = {"camera": ("a",) * 30 + ("b",) * 170}
        test = Compared(
            np.concatenate([paying.old, gaining.old]), np.concatenate([paying.new, gaining.new]), columns
        )
        gates = {gate.name: gate for gate in judge_retrain(recipe, captured=better, test=test)}
        assert gates["no_worse_on_test"].passed
        assert not gates["no_worse_on_slices"].passed
        assert gates["no_worse_on_slices"].note == "camera=a, 30 items"
        assert gates["no_worse_on_slices"].value == pytest.approx(1 / 3)

    def test_a_slice_that_chance_explains_does_not_stop_it(self, recipe: Recipe) -> None:
        test = dataclasses.replace(compared(27, 0, 3), columns={"camera": ("a",) * 30})
        gates = {gate.name: gate for gate in judge_retrain(recipe, captured=compared(20, 20, 0), test=test)}
        assert gates[
            "no_worse_on_slices"
        ].passed  # three of thirty: a coin that fell three times the same way
        few = dataclasses.replace(compared(5, 0, 10), columns={"camera": ("a",) * 15})
        assert len(judge_retrain(recipe, captured=compared(20, 20, 0), test=few)) == 2

    def test_an_empty_hold_out_is_refused(self, recipe: Recipe) -> None:
        with pytest.raises(DataError, match="captured hold-out is empty") as caught:
            judge_retrain(recipe, captured=compared(0, 0, 0), test=compared(9, 0, 0))
        assert caught.value.fix == "capture and label more samples"


class TestRecovery:
    def test_it_is_as_good_as_the_champion_was_in_its_own_world(self) -> None:
        assert recovered(bools((True, 38), (False, 2)), bools((True, 97), (False, 3)), 0.98, 0.05)

    def test_few_samples_are_allowed_a_standard_error(self) -> None:
        learned = bools((True, 100))
        assert recovered(bools((True, 36), (False, 4)), learned, 0.98, 0.05)
        assert not recovered(bools((True, 35), (False, 5)), learned, 0.98, 0.05)

    def test_luck_does_not_hide_that_it_cannot_tell_apart_what_it_learned_from(self) -> None:
        assert not recovered(bools((True, 40)), bools((True, 95), (False, 5)), 0.98, 0.05)


def gate(name: str, passed: bool, value: float = 0.9) -> Gate:
    return Gate(name, passed, value, 0.5)


def attempt(
    strategy: str, captured: float, *, better: bool = True, old_world: bool = True, enough: bool = False
) -> Attempt:
    gates = (gate("beats_old_on_captured", better, captured), gate("no_worse_on_test", old_world))
    result = TrainingResult.__new__(TrainingResult)  # what is chosen depends on verdicts alone
    return Attempt(strategy, 1.0, result, gates, enough, held_out=100)


class TestTheChoice:
    def test_the_first_that_passes_and_has_recovered(self) -> None:
        tried = [attempt("head", 0.8), attempt("frozen_scale", 0.94, enough=True)]
        found = choose(tried)
        assert (found.outcome, found.taken) == ("better", tried[1])
        assert found.attempts == tuple(tried)

    def test_else_the_cheapest_within_a_standard_error_of_the_best_that_passes(self) -> None:
        tried = [attempt("recalibrate", 0.8), attempt("head", 0.85), attempt("frozen_scale", 0.88)]
        assert choose(tried).taken is tried[1]

    def test_one_world_only_is_said_when_nothing_serves_both(self) -> None:
        tried = [attempt("head", 0.7, better=False), attempt("fine_tune", 0.95, old_world=False)]
        found = choose(tried)
        assert (found.outcome, found.taken) == ("divided", tried[1])
        both = [*tried, attempt("scratch", 0.8)]
        assert (choose(both).outcome, choose(both).taken) == ("better", both[2])

    def test_what_does_not_fit_or_leaks_is_no_version_for_a_cohort(self) -> None:
        assert divides((gate("beats_old_on_captured", True), gate("no_worse_on_slices", False)))
        assert not divides((gate("no_worse_on_test", False), gate("fits_stm32l4r5", False)))
        assert not divides((gate("no_worse_on_test", False), gate("beats_old_on_captured", False)))
        assert not divides((gate("no_worse_on_test", True),))

    def test_nothing_better_is_rejected_and_nothing_made_is_said(self) -> None:
        tried = [attempt("head", 0.7, better=False), Attempt("scratch", 0.1, problem="no room")]
        assert (choose(tried).outcome, choose(tried).taken) == ("not_better", tried[0])
        assert choose(tried[1:]).taken is None
        assert words(tried[1]) == "scratch: not possible: no room"
        assert tried[1].as_dict() == {"strategy": "scratch", "seconds": 0.1, "problem": "no room"}


class TestRecalibrating:
    @given(gain=st.floats(0.2, 5), offset=st.floats(-3, 3), seed=st.integers(0, 99))
    def test_a_sensor_that_was_turned_down_is_turned_up_again(
        self, gain: float, offset: float, seed: int
    ) -> None:
        reference = np.random.default_rng(seed).normal(size=(50, 4, 4)).astype(np.float32)
        captured = ((reference - np.float32(offset)) / np.float32(gain)).astype(np.float32)
        found = matching(reference, captured)
        assert found == pytest.approx((gain, offset), rel=1e-3, abs=1e-3)

    def test_only_as_far_as_it_helps(self) -> None:
        assert best_share(3.0, 1.0, lambda gain, offset: -abs(gain - 2.0)) == (2.0, 0.5)
        assert best_share(3.0, 1.0, lambda gain, offset: 0.5) == (1.5, 0.25)  # of equals the smallest change

    def test_what_never_changes_has_no_gain(self) -> None:
        still = np.ones((3, 4), np.float32)
        with pytest.raises(InputError, match="never change"):
            matching((still + np.arange(4)).astype(np.float32), still)
        with pytest.raises(InputError, match="nothing to recalibrate with"):
            matching(still, still[:0])

    @pytest.mark.parametrize("steps", [(), (scale_step(0.5, 1.0),), (make_step("detrend"),)])
    def test_the_front_end_ends_with_it(self, steps: tuple[Step, ...]) -> None:
        values = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float32)
        changed = with_scale(steps, 2.0, -0.25)
        assert np.allclose(
            apply_to_batch(changed, values), 2 * apply_to_batch(steps, values) - 0.25, atol=1e-5
        )
        assert sum(step.op == "scale" for step in changed) == 1


class TestWhichWeightsMove:
    @given(share=st.floats(0.01, 1), seed=st.integers(0, 50))
    def test_the_share_that_moved_the_most(self, share: float, seed: int) -> None:
        draw = np.random.default_rng(seed)
        moved = [draw.random((3, 4)).astype(np.float32), draw.random(7).astype(np.float32)]
        masks = moving(moved, share)
        chosen = np.concatenate([m.ravel() for m in masks])
        flat = np.concatenate([m.ravel() for m in moved])
        assert chosen.sum() == int(share * flat.size)
        if chosen.any() and not chosen.all():
            assert flat[chosen].min() >= flat[~chosen].max()

    def test_what_did_not_move_is_never_among_them(self) -> None:
        assert not moving([np.zeros((2, 2), np.float32)], 1.0)[0].any()

    def test_a_depthwise_kernel_has_its_scales_on_another_axis(self, tmp_path: Path) -> None:
        model = random_model(small_recipe(tmp_path, "ds_cnn"), SMALL["ds_cnn"][0])
        axes = {
            type(layer).__name__: channel_axes(layer) for layer in model.layers if hasattr(layer, "kernel")
        }
        assert axes["Conv2D"] == (0, 1, 2) and axes["DepthwiseConv2D"] == (0, 1) and axes["Dense"] == (0,)


def test_a_half_that_the_converter_rounded_the_other_way_is_still_the_same_weight(tmp_path: Path) -> None:
    """It divides in float32: 43.4999985 steps became 44, and no update of that model was possible."""
    recipe = small_recipe(tmp_path, "dense")
    model = random_model(recipe, SMALL["dense"][0])
    data = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    parent = convert(model, "int8", data)
    layer = next(layer for layer in model.layers if layer.weights)
    kernel, bias = layer.get_weights()
    kernel[1, 0] = np.abs(kernel[:, 0]).max() / np.float32(127) * np.float32(43.4999985)
    layer.set_weights([kernel, bias])
    in_float = convert(model, "float32")
    parent = convert(model, "int8", data)
    assert Requantizer(parent, in_float).apply(in_float).tflite == parent


@pytest.fixture(scope="module")
def worlds(recipe: Recipe) -> tuple[World, Champion]:
    """Images that come upside down and darker from half of the devices."""
    base: Dataset = new_dataset("digits", read_source("sklearn:digits"))
    old = train(recipe, base, 3)
    inputs, targets = base.part(Part.FIELD)
    turned = np.ascontiguousarray(inputs[:, ::-1].astype(np.float32) * np.float32(0.6))
    parts = np.where(np.arange(len(turned)) % 3 == 0, Part.CAPTURE_HOLDOUT, Part.TRAIN).astype(np.uint8)
    longer = extend(base, turned, targets, ["captured:d1"] * len(turned), parts)
    data = prepare(recipe, longer, old.steps)
    weights = to_bytes(old.fitted.model)
    return World(recipe, longer, data, data, 3), Champion(old.tflite, weights, old.steps, old.tflite, weights)


class TestTheLadder:
    @pytest.fixture(scope="class")
    @classmethod
    def tried(cls, worlds: tuple[World, Champion]) -> dict[str, Attempt]:
        world, champion = worlds
        before = {
            part: right(world, champion.tflite, world.data, part)
            for part in (Part.CAPTURE_HOLDOUT, Part.TEST)
        }
        names = ("recalibrate", "head", "frozen_scale")
        return {name: challenged(name, world, champion, before, len(names)) for name in names}

    def test_a_recalibration_pushes_no_byte_of_the_model(
        self, tried: dict[str, Attempt], worlds: tuple[World, Champion]
    ) -> None:
        found = tried["recalibrate"]
        assert found.result is not None and found.result.tflite == worlds[1].tflite
        assert (found.changed_bytes, found.push_bytes) == (0, 0)
        assert found.result.steps != worlds[1].steps

    def test_dearer_ones_recover_more_and_cost_more(self, tried: dict[str, Attempt]) -> None:
        assert tried["frozen_scale"].captured_accuracy > tried["recalibrate"].captured_accuracy + 0.2
        assert tried["frozen_scale"].gates[-2].name == "beats_old_on_captured"
        assert tried["frozen_scale"].gates[-2].passed
        assert 0 < tried["head"].push_bytes < tried["frozen_scale"].push_bytes

    def test_the_captured_hold_out_is_never_learned_from(self, worlds: tuple[World, Champion]) -> None:
        """With other inputs in it the same model comes out."""
        world, champion = worlds
        held = world.data.rows(Part.CAPTURE_HOLDOUT)
        inputs = world.data.inputs.copy()
        inputs[held] = 1 - inputs[held]
        data = dataclasses.replace(world.data, inputs=inputs)
        again = dataclasses.replace(world, data=data, counted=data)
        assert set(world.captured).isdisjoint(held)
        for strategy in ("recalibrate", "head"):
            first, second = (challenge(strategy, w, champion).result for w in (world, again))
            assert (first.tflite, first.steps) == (second.tflite, second.steps)

    def test_a_strategy_repeats(self, tried: dict[str, Attempt], worlds: tuple[World, Champion]) -> None:
        """Dropout drew its seed from whatever had been built before in the process."""
        for strategy in ("head", "frozen_scale"):
            first, again = tried[strategy].result, challenge(strategy, *worlds).result
            assert first is not None and first.tflite == again.tflite

    def test_what_came_of_a_small_change_can_be_changed_again(
        self, tried: dict[str, Attempt], worlds: tuple[World, Champion]
    ) -> None:
        """Its scales are those of the model before; its own weights do not give its bytes."""
        world, champion = worlds
        second = tried["frozen_scale"].result
        assert second is not None
        now = Champion(
            second.tflite, to_bytes(second.fitted.model), second.steps, champion.base, champion.base_weights
        )
        third = challenge("head", world, now).result
        assert third.tflite != second.tflite
        assert push_bytes(second.tflite, third.tflite) < 0.2 * len(third.tflite)

    def test_a_strategy_that_is_not_possible_is_an_attempt_too(self, worlds: tuple[World, Champion]) -> None:
        world, champion = worlds
        other = dataclasses.replace(champion, base=champion.base[:500])
        lines: list[str] = []
        found = climb(("head",), world, other, lines.append)
        assert found.taken is None and found.attempts[0].problem
        assert lines == [f"head: not possible: {found.attempts[0].problem}"]

    def test_the_patch_is_what_is_counted(
        self, tried: dict[str, Attempt], worlds: tuple[World, Champion]
    ) -> None:
        result = tried["head"].result
        assert result is not None
        patch = make_patch("difference", worlds[1].tflite, result.tflite)
        assert tried["head"].push_bytes == len(patch)
        assert apply_patch("difference", worlds[1].tflite, patch, len(result.tflite)) == result.tflite


class TestTheRecipe:
    def test_all_strategies_from_cheap_to_dear_unless_it_says_otherwise(self, recipe: Recipe) -> None:
        assert recipe.retrain.strategies == ("recalibrate", "head", "frozen_scale", "fine_tune", "scratch")

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ('["heads"]', "did you mean 'head'"),
            ("[]", "must name one or more, each once"),
            ('["head", "head"]', "must name one or more, each once"),
            ("[1]", "must be text"),
        ],
    )
    def test_a_wrong_list_is_refused(self, tmp_path: Path, value: str, said: str) -> None:
        path = tmp_path / "recipe.toml"
        path.write_text(RECIPE + f"strategies = {value}\n")
        with pytest.raises(ConfigError, match=said) as caught:
            load_recipe(path)
        assert caught.value.fields["key"] == "retrain.strategies"
