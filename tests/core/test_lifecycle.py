"""The lifecycles: tables without orphans or dead ends that are not meant as ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import LIFECYCLES, RETRAIN, ROLLOUT, UPDATE, Lifecycle

ENDS = {
    "update": set(),  # whatever came about, a newer desired state begins again
    "rollout": {"ROLLED_BACK", "SUPERSEDED"},  # what was completed or aborted can still be taken back
    "deployment": set(),  # devices come, go and are tried again
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

    def test_confirmed_comes_from_a_healthy_trial_now_or_earlier(self) -> None:
        ways = {row for row, target in UPDATE.transitions.items() if target == "CONFIRMED"}
        assert ways == {("TRIAL", "healthy"), ("OFFERED", "restored")}

    def test_what_runs_can_only_be_rolled_back(self) -> None:
        assert not UPDATE.allows("TRIAL", "rejected")
        assert not UPDATE.allows("TRIAL", "failed")


class TestRollout:
    def test_it_is_completed_only_by_a_stage_that_was_confirmed_and_has_soaked(self) -> None:
        assert {row for row, to in ROLLOUT.transitions.items() if to == "COMPLETED"} == {
            ("SOAKING", "completed")
        }
        assert {row for row, to in ROLLOUT.transitions.items() if to == "SOAKING"} == {
            ("RUNNING", "stage_confirmed")
        }

    @pytest.mark.parametrize("state", ["RUNNING", "SOAKING", "NEEDS_APPROVAL"])
    @pytest.mark.parametrize(
        "event", ["hold", "abort", "roll_stage_back", "roll_back", "pause", "superseded"]
    )
    def test_whatever_advances_can_be_stopped(self, state: str, event: str) -> None:
        assert ROLLOUT.allows(state, event)

    @pytest.mark.parametrize(
        "state", ["RUNNING", "SOAKING", "NEEDS_APPROVAL", "HELD", "PAUSED", "COMPLETED", "ABORTED"]
    )
    def test_what_was_offered_can_always_be_taken_back(self, state: str) -> None:
        assert ROLLOUT.next(state, "roll_back") == "ROLLING_BACK"

    @pytest.mark.parametrize("state", ["ABORTED", "ROLLED_BACK", "SUPERSEDED"])
    def test_what_has_ended_never_advances_again(self, state: str) -> None:
        for name in ("resume", "approve", "next_stage", "stage_confirmed"):
            assert not ROLLOUT.allows(state, name)


def test_a_retrain_is_deployed_only_when_it_was_better() -> None:
    state = RETRAIN.initial
    for event in ("samples_complete", "started", "better", "rollout_started"):
        state = RETRAIN.next(state, event)
    assert state == "DEPLOYED"
    assert not RETRAIN.allows("REJECTED", "rollout_started")
