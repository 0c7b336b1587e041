"""Capture policies as plain data, and which bins of a window they ask for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.packages import observe_plan

from edgeops.core.codec import decode, encode
from edgeops.core.counters import Counters, empty_counters
from edgeops.core.messages import CapturePolicy, ShiftedBins
from edgeops.core.observe import BINS
from edgeops.fleet.capturing import capture_as_plain, capture_from_plain, fuller_bins

PLAN = observe_plan()
POLICIES = st.builds(
    CapturePolicy,
    st.integers(0, 1000),
    st.integers(0, 2**32 - 1),
    st.integers(0, 16),
    st.lists(st.builds(ShiftedBins, st.integers(0, 255), st.integers(0, 4095)), max_size=8).map(tuple),
    st.integers(0, 2**63),
)


def counters(**features: tuple[int, ...]) -> Counters:
    """A window that looks like the reference but for some features."""
    counted = tuple(features.get(feature.name, feature.reference) for feature in PLAN.features)
    return replace(empty_counters(PLAN), features=counted)


@given(POLICIES)
def test_a_policy_comes_back_as_it_was_from_plain_data_and_from_the_wire(policy: CapturePolicy) -> None:
    assert capture_from_plain(capture_as_plain(policy)) == policy
    assert decode(CapturePolicy, encode(policy)) == policy


def test_what_earlier_versions_wrote_is_read() -> None:
    assert capture_from_plain([500, 10]) == CapturePolicy(500, 10)


def test_a_window_like_the_reference_asks_for_nothing() -> None:
    assert fuller_bins(PLAN, counters()) == ()
    assert fuller_bins(PLAN, empty_counters(PLAN)) == ()


def test_the_bins_that_grew_are_named_and_no_others() -> None:
    name = PLAN.features[1].name
    grown = (0,) * (BINS - 2) + (30, 70)
    assert fuller_bins(PLAN, counters(**{name: grown})) == (ShiftedBins(1, 0b1100_0000_0000),)


def test_a_handful_of_strays_is_no_shift() -> None:
    before = PLAN.features[0].reference
    strays = (*before[:-1], before[-1] + sum(before) // 100)
    assert fuller_bins(PLAN, counters(**{PLAN.features[0].name: strays})) == ()


def test_of_many_features_those_that_grew_most_are_named() -> None:
    all_beyond = {feature.name: (0,) * (BINS - 1) + (100,) for feature in PLAN.features}
    found = fuller_bins(PLAN, counters(**all_beyond), most=2)
    assert len(found) == 2
    assert all(one.bins == 1 << (BINS - 1) for one in found)
