"""The lifecycles: tables without orphans or dead ends that are not meant as ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import LIFECYCLES, RETRAIN, ROLLOUT, UPDATE, Lifecycle

ENDS = {
    "update": set(),  # whatever came about, a newer desired state begins again
    "rollout": {"COMPLETED", "SUPERSEDED"},
    "retrain": {"ABANDONED", "REJECTED", "FAILED", "DEPLOYED"},
}
each = pytest.mark.parametrize("table", LIFECYCLES, ids=lambda table: table.name)


def reachable(table: Lifecycle, start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        new = {target for (source, _), target in table.transitions.items() if source == state} - found
        found |= new
        waiting += new
    return found


@each
def test_every_state_can_be_reached(table: Lifecycle) -> None:
    assert reachable(table, table.initial) == table.states


@each
def test_only_the_named_ends_are_ends(table: Lifecycle) -> None:
    assert {s for s in table.states if not any(source == s for source, _ in table.transitions)} == ENDS[
        table.name
    ]


@each
@given(data=st.data())
def test_what_the_table_does_not_name_is_refused(table: Lifecycle, data: st.DataObject) -> None:
    events = sorted({event for _, event in table.transitions})
    state = data.draw(st.sampled_from(sorted(table.states)) | st.text(max_size=4))
    event = data.draw(st.sampled_from(events) | st.text(max_size=4))
    if table.allows(state, event):
        assert table.next(state, event) in table.states
    else:
        with pytest.raises(LifecycleError, match=table.name):
            table.next(state, event)


@each
def test_names_fit_their_fields_on_the_wire(table: Lifecycle) -> None:
    assert all(len(state) <= 16 for state in table.states)
    assert all(len(event) <= 24 for _, event in table.transitions)


class TestUpdate:
    def test_the_way_to_confirmed_is_the_designs(self) -> None:
        state = UPDATE.initial
        seen = [state]
        for event in ("offered", "accepted", "complete", "verified", "shadow", "activated", "healthy"):
            state = UPDATE.next(state, event)
            seen.append(state)
        way = "IDLE OFFERED DOWNLOADING VERIFYING STAGED SHADOWING TRIAL CONFIRMED"
        assert seen == way.split()

    @pytest.mark.parametrize("state", ["OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "SHADOWING", "TRIAL"])
    def test_before_confirmed_all_can_be_superseded_and_restarted(self, state: str) -> None:
        assert UPDATE.next(state, "superseded") == "SUPERSEDED"
        assert UPDATE.allows(state, "restarted")

    def test_confirmed_comes_from_a_healthy_trial_only(self) -> None:
        ways = {row for row, target in UPDATE.transitions.items() if target == "CONFIRMED"}
        assert ways == {("TRIAL", "healthy")}

    def test_what_runs_can_only_be_rolled_back(self) -> None:
        assert not UPDATE.allows("TRIAL", "rejected")
        assert not UPDATE.allows("TRIAL", "failed")


def test_a_rollout_is_completed_only_when_all_have_confirmed() -> None:
    assert {row for row, to in ROLLOUT.transitions.items() if to == "COMPLETED"} == {
        ("RUNNING", "all_confirmed")
    }


def test_a_retrain_is_deployed_only_when_it_was_better() -> None:
    state = RETRAIN.initial
    for event in ("samples_complete", "started", "better", "rollout_started"):
        state = RETRAIN.next(state, event)
    assert state == "DEPLOYED"
    assert not RETRAIN.allows("REJECTED", "rollout_started")
