"""Anybody's arrays: quiet where nothing changes, and the right kind of alarm where something does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from drift.streams import arrays, normal

from edgeops.core.errors import DataError
from edgeops.drift.arrays import Arrays, arrays_from
from edgeops.drift.replay import Replay, replay

ALLOWED = 1 / 3000
FEATURES = 4


def watch(reference: Arrays, stream: Arrays, window: int = 200, **more: float) -> Replay:
    return replay(reference, stream, window, ALLOWED, **more)


def kinds(found: Replay) -> set[str]:
    return {alarm.kind for alarm in found.alarms}


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_a_world_that_does_not_change_is_quiet(rho: float) -> None:
    found = watch(arrays(normal(1, 10_000, FEATURES, rho)), arrays(normal(2, 100_000, FEATURES, rho)))
    assert found.windows == 500
    assert len(found.alarms) <= 2


def test_the_feature_that_moved_is_named_in_the_first_window_that_has_it() -> None:
    x = normal(2, 10_000, FEATURES)
    x[5_000:, 2] += 0.6
    found = watch(arrays(normal(1, 10_000, FEATURES)), arrays(x))
    first = found.alarms[0]
    assert (first.window, first.kind, first.features) == (25, "data", ("x2",))
    assert first.evidence < 1e-4
    assert 0.1 < first.size < 0.4
    assert len([alarm for alarm in found.alarms if alarm.kind == "data"]) >= 24


def test_a_certain_shift_that_is_too_small_to_matter_is_no_alarm() -> None:
    x = normal(2, 100_000, 1) + 0.1
    reference = arrays(normal(1, 100_000, 1))
    assert watch(reference, arrays(x), 20_000).alarms
    assert not watch(reference, arrays(x), 20_000, size=0.1).alarms


def test_features_that_depend_on_each_other_in_another_way_are_seen_together() -> None:
    first, second = normal(1, 10_000, 2), normal(2, 20_000, 2)
    first[:, 1] = 0.9 * first[:, 0] + np.sqrt(1 - 0.81) * first[:, 1]
    second[:, 1] = -0.9 * second[:, 0] + np.sqrt(1 - 0.81) * second[:, 1]
    found = watch(arrays(first), arrays(second), 500)
    assert kinds(found) == {"multivariate"}
    assert len(found.alarms) == found.windows


def test_missing_values_are_missing_and_never_zero() -> None:
    x = normal(2, 8_000, FEATURES) + 50.0
    x[4_000:4_200, 1] = np.nan
    x[6_000:6_200:2, 3] = np.inf
    found = watch(arrays(normal(1, 10_000, FEATURES) + 50.0), arrays(x))
    assert [(a.window, a.kind, a.features) for a in found.alarms] == [
        (20, "quality", ("x1",)),
        (30, "quality", ("x3",)),
    ]
    assert [round(alarm.size, 2) for alarm in found.alarms] == [1.0, 0.5]


def test_a_sensor_that_repeats_itself_is_stuck() -> None:
    x = normal(2, 4_000, FEATURES)
    x[2_050:2_100, 0] = x[2_050, 0]
    found = watch(arrays(normal(1, 10_000, FEATURES)), arrays(x))
    bad = [alarm for alarm in found.alarms if alarm.kind == "quality"]
    assert [(alarm.window, alarm.features, alarm.size) for alarm in bad] == [(10, ("x0",), 0.25)]


def said(
    seed: int, rows: int, wrong: float, shares: tuple[float, ...] = (0.5, 0.3, 0.2)
) -> dict[str, np.ndarray]:
    """Predictions in these shares, with errors and confidence to match."""
    draw = np.random.default_rng(seed)
    predicted = draw.choice(len(shares), rows, p=shares)
    truth = np.where(draw.random(rows) < wrong, (predicted + 1) % len(shares), predicted)
    return {"y_pred": predicted, "y_true": truth, "confidence": draw.beta(9, 1 + 20 * wrong**2, rows)}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"wrong": 0.3, "keep": "y_true"}, "concept"),
        ({"wrong": 0.5, "keep": "confidence"}, "confidence"),
        ({"wrong": 0.1, "keep": "y_pred", "shares": (0.2, 0.3, 0.5)}, "prediction"),
    ],
)
def test_what_a_model_says_is_watched_too(change: dict, kind: str) -> None:
    keep = change.pop("keep")
    before, after = said(1, 20_000, 0.1), said(2, 4_000, **change)
    names = {"y_true": ("y_true", "y_pred"), "y_pred": ("y_pred",), "confidence": ("confidence",)}[keep]
    reference = arrays(normal(1, 20_000, 1), **{name: before[name] for name in names})
    found = watch(reference, arrays(normal(2, 4_000, 1), **{name: after[name] for name in names}))
    assert kind in kinds(found)
    assert kinds(found) <= {kind, "prediction"}


def test_labels_that_are_not_known_yet_are_not_judged() -> None:
    before, after = said(1, 20_000, 0.1), said(2, 4_000, 0.4)
    after["y_true"][:] = -1
    reference = arrays(normal(1, 20_000, 1), y_true=before["y_true"], y_pred=before["y_pred"])
    stream = arrays(normal(2, 4_000, 1), y_true=after["y_true"], y_pred=after["y_pred"])
    assert "concept" not in kinds(watch(reference, stream))


def test_a_reference_that_is_too_small_is_said_with_the_number_that_is_needed() -> None:
    few = said(1, 400, 0.1)
    reference = arrays(normal(1, 400, 1), y_true=few["y_true"], y_pred=few["y_pred"])
    more = said(2, 4_000, 0.1)
    found = watch(reference, arrays(normal(2, 4_000, 1), y_true=more["y_true"], y_pred=more["y_pred"]))
    assert any("needs 1" in note for note in found.notes), found.notes
    dependent = watch(arrays(normal(1, 3_000, 1, 0.9)), arrays(normal(2, 3_000, 1, 0.9)), 200)
    assert any("4 windows are not merged" in note for note in dependent.notes)


def test_what_is_not_looked_at_is_said() -> None:
    x = normal(2, 4_000, 3)
    x[17, 1] = np.nan
    labels = np.zeros(4_000, np.int64)
    found = watch(arrays(normal(1, 5_000, 3)), arrays(x, y_true=labels))
    assert any("multivariate" in note for note in found.notes)
    assert any("without predictions" in note for note in found.notes)


def test_the_same_arrays_give_the_same_alarms() -> None:
    x = normal(2, 8_000, FEATURES)
    x[4_000:] *= 1.5
    reference = arrays(normal(1, 10_000, FEATURES))
    assert watch(reference, arrays(x)).to_dict() == watch(reference, arrays(x)).to_dict()


def test_wild_numbers_are_no_reason_to_fail() -> None:
    x = normal(2, 4_000, 2)
    x[1_000:1_010, 0] = 1e300
    x[2_000:2_010, 1] = -1e-300
    found = watch(arrays(normal(1, 4_000, 2)), arrays(x))
    assert all(np.isfinite(alarm.size) for alarm in found.alarms)


GOOD = {"x": np.zeros((300, 2))}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"y_pred": np.zeros(3)}, "no array 'x'"),
        ({**GOOD, "weights": np.zeros(3)}, "weights"),
        ({"x": np.array([["a"]])}, "not numbers"),
        ({"x": np.zeros((0, 3))}, "shape"),
        ({"x": np.zeros((2, 2, 2))}, "shape"),
        ({**GOOD, "y_true": np.zeros(7)}, "for 300 rows"),
        ({**GOOD, "y_pred": np.full(300, 0.5)}, "whole numbers"),
        ({**GOOD, "y_true": np.full(300, -7)}, "below -1"),
        ({**GOOD, "confidence": np.full(300, 1.5)}, "from 0 to 1"),
        ({**GOOD, "features": np.array(["a", "a"])}, "different names"),
    ],
)
def test_arrays_that_are_none_are_refused_with_what_is_wrong(found: dict, says: str) -> None:
    with pytest.raises(DataError, match=says):
        arrays_from(found, "given.npz")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda x: arrays(x[:, :1]), "same columns"),
        (lambda x: arrays(x[:50]), "less than one window"),
    ],
)
def test_a_stream_that_does_not_fit_its_reference_is_refused(
    spoil: Callable[[np.ndarray], Arrays], says: str
) -> None:
    with pytest.raises(DataError) as caught:
        watch(arrays(normal(1, 1_000, 2)), spoil(normal(2, 1_000, 2)))
    assert says in f"{caught.value.message} {caught.value.fix}"
