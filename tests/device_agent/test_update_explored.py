"""The update machine, explored whole: every event in every state that can be reached, not a sample of them.

Three versions stand for all: one that runs, one that ran before, one that is new. What decides nothing in a state is
left out of it, so that the reachable states are finitely many; each edge is judged as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from device_agent.update import (
    UNDECIDED,
    Begin,
    Closed,
    Damaged,
    DropCandidate,
    Inferred,
    Offer,
    Progressed,
    Refused,
    Restarted,
    RetryDue,
    RetryIn,
    Shadowed,
    Transition,
    UpdateEvent,
    UpdateState,
    Waited,
    step,
)
from edgeops.core.codec import decode, encode
from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import UPDATE
from edgeops.core.manifest import Trial

VERSIONS = [bytes([n]) * 32 for n in (1, 2, 3)]
TRIAL = Trial(inferences=2, max_errors=1, seconds=60)
COUNTERS = {None: 0, **{digest: n for n, digest in enumerate(VERSIONS, 1)}}
COUNTER = 2  # what the device has: one version is below it, one at it, one above
STEPS = ["accepted", "complete", "damaged", "verified", "shadow", "activated", "restored"]


def events_in(state: UpdateState) -> list[UpdateEvent]:
    """Every event, whatever the state; what the candidate's manifest says goes with its events."""
    counter = COUNTERS[state.candidate]
    return [
        *(
            Offer(digest, 300 if digest else 0, 1, attempt, shadow)
            for digest in (*VERSIONS, None)
            for attempt in (0, 1)
            for shadow in (0, 1)
        ),
        Restarted(),
        Closed(),
        *(Damaged(digest) for digest in VERSIONS),
        RetryDue(),
        *(Progressed(name) for name in STEPS),
        *(Refused(event, "why") for event in ("rejected", "failed", "unhealthy")),
        *(Shadowed(seen, errors, 0) for seen, errors in ((0, 0), (1, 0), (1, 1))),
        *(Inferred(ok, TRIAL, counter, elapsed) for ok in (True, False) for elapsed in (0, 60_000)),
        *(Waited(TRIAL, counter, elapsed) for elapsed in (59_999, 60_000)),
    ]


def essence(state: UpdateState) -> UpdateState:
    """The state without what decides nothing in it."""
    state = replace(state, reason=None, attempts=0, security_counter=COUNTER, generation=1)
    if state.lifecycle != "TRIAL":
        state = replace(state, trial_good=0, trial_errors=0)
    if state.lifecycle not in UNDECIDED:
        state = replace(state, trial_boots=0)
        if not state.retry:
            state = replace(state, shadow=0, candidate_bytes=0)
    return state


@dataclass(frozen=True, slots=True)
class Edge:
    """An event in a state that can be reached, and what came of it: None where the machine refuses it."""

    before: UpdateState
    event: UpdateEvent
    after: UpdateState | None
    actions: tuple[object, ...]

    @property
    def rows(self) -> list[Transition]:
        return [action for action in self.actions if isinstance(action, Transition)]


@cache
def explored() -> list[Edge]:
    start = essence(UpdateState())
    waiting, known, edges = deque([start]), {start}, []
    while waiting:
        state = waiting.popleft()
        for event in events_in(state):
            try:
                after, actions = step(state, event)
            except LifecycleError:
                edges.append(Edge(state, event, None, ()))
                continue
            edges.append(Edge(state, event, after, tuple(actions)))
            if (reached := essence(after)) not in known:
                known.add(reached)
                waiting.append(reached)
    return edges


def taken() -> Iterator[tuple[Edge, UpdateState]]:
    return ((edge, edge.after) for edge in explored() if edge.after is not None)


def test_the_table_and_the_code_are_one() -> None:
    """Each row of the table is taken by some event, and nothing else is."""
    seen = {(row.source, row.event): row.target for edge, _ in taken() for row in edge.rows}
    assert seen == dict(UPDATE.transitions)


def test_what_is_told_leads_from_the_state_before_to_the_state_after() -> None:
    for edge, after in taken():
        place = edge.before.lifecycle
        for row in edge.rows:
            assert row.source == place, edge
            place = row.target
        assert place == after.lifecycle, edge


def test_only_what_the_driver_reports_of_its_step_can_be_out_of_place_and_nothing_else() -> None:
    for edge in explored():
        named = isinstance(edge.event, Progressed | Refused)
        allowed = named and UPDATE.allows(edge.before.lifecycle, edge.event.event)
        if edge.after is None:
            assert named, edge
            assert not allowed or (edge.event == Progressed("restored") and not edge.before.restoring), edge
        elif named:
            assert allowed, edge


def test_a_device_that_has_a_model_keeps_it_until_another_is_healthy_or_its_slot_is_damaged() -> None:
    for edge, after in taken():
        before = edge.before
        if after.confirmed == before.confirmed:
            continue
        if isinstance(edge.event, Damaged):
            assert (after.confirmed, after.previous) == (before.previous, None), edge
            assert edge.event.manifest == before.confirmed, edge
        else:
            assert edge.rows[-1].event in ("healthy", "restored"), edge
            assert (after.confirmed, after.previous) == (before.candidate, before.confirmed), edge
            assert after.lifecycle == "CONFIRMED", edge


def test_what_is_confirmed_proved_itself_here() -> None:
    """In a trial, or in an earlier one: only the one before can be restored, and that is always one that ran."""
    for edge, after in taken():
        before = edge.before
        for row in edge.rows:
            if row.event == "healthy":
                event = edge.event
                assert isinstance(event, Inferred | Waited) and before.lifecycle == "TRIAL", edge
                good = before.trial_good + (isinstance(event, Inferred) and event.ok)
                assert good >= TRIAL.inferences or (good and event.elapsed_ms >= 60_000), edge
            if row.event == "restored":
                assert row.manifest in (before.previous, before.confirmed), edge
        if after.previous not in (None, before.previous):
            assert after.previous == before.confirmed, edge


def test_the_security_counter_never_falls_and_rises_only_with_what_is_healthy() -> None:
    for edge, after in taken():
        assert after.security_counter >= edge.before.security_counter, edge
        if after.security_counter > edge.before.security_counter:
            assert edge.rows[-1].event == "healthy", edge


def test_what_was_refused_is_not_tried_again_before_a_new_attempt() -> None:
    for edge, after in taken():
        before = edge.before
        new_attempt = isinstance(edge.event, Offer) and edge.event.attempt > before.attempt
        if before.refused is not None and after.refused is None:
            assert new_attempt and edge.event == replace(edge.event, manifest=before.refused), edge
        if after.lifecycle in UNDECIDED or after.retry:
            assert after.candidate not in (None, after.refused, after.confirmed), edge
        if any(row.event in ("rejected", "unhealthy") for row in edge.rows):
            assert after.refused == edge.rows[-1].manifest and after.candidate is None, edge


def test_a_new_attempt_begins_at_once_unless_it_is_under_way_or_runs() -> None:
    for edge, after in taken():
        before, event = edge.before, edge.event
        if not isinstance(event, Offer) or event.manifest is None or event.attempt <= before.attempt:
            continue
        under_way = before.lifecycle in UNDECIDED and before.candidate == event.manifest
        if event.manifest == before.confirmed:
            assert (after.lifecycle, after.candidate) == ("CONFIRMED", None), edge
        elif not under_way:
            assert (after.lifecycle, after.candidate, after.attempts) == ("OFFERED", event.manifest, 0), edge


def test_whatever_goes_on_the_version_that_runs_is_confirmed_as_soon_as_it_is_wanted() -> None:
    """A rollback on command: while another is on its way, in its trial, rejected or put aside."""
    for edge, after in taken():
        wanted = isinstance(edge.event, Offer) and edge.event.manifest is not None
        if wanted and edge.event == replace(edge.event, manifest=edge.before.confirmed):
            assert (after.lifecycle, after.confirmed) == ("CONFIRMED", edge.before.confirmed), edge
            assert (after.candidate, after.retry, after.previous) == (None, False, edge.before.previous), edge
            assert not any(isinstance(action, Begin) for action in edge.actions), edge
            if edge.before.lifecycle in UNDECIDED:
                assert DropCandidate() in edge.actions, edge


def test_where_no_version_is_wanted_any_more_nothing_is_under_way() -> None:
    for edge, after in taken():
        if (
            isinstance(edge.event, Offer)
            and edge.event.manifest is None
            and edge.before.confirmed is not None
        ):
            assert after.lifecycle not in UNDECIDED and not after.retry, edge
            assert after.candidate is None and after.confirmed == edge.before.confirmed, edge


def test_no_state_waits_for_nothing() -> None:
    """What is undecided is begun by whatever brought it there, and by every start of the agent."""
    for edge, after in taken():
        moved = edge.rows and after.lifecycle in UNDECIDED
        if moved:
            assert edge.actions[-1] == Begin(after.lifecycle), edge
        if isinstance(edge.event, Restarted) and edge.before.lifecycle in UNDECIDED:
            assert edge.rows, edge
        if after.retry and (edge.rows or isinstance(edge.event, Restarted)):
            assert isinstance(edge.actions[-1], RetryIn), edge


def test_a_version_that_ends_the_agent_is_given_up_after_a_few_starts() -> None:
    """From any state, starts alone settle it, but for what the broker alone can settle."""
    for state in {edge.before for edge in explored() if edge.before.lifecycle in UNDECIDED}:
        for _ in range(4):
            after, _ = step(state, Restarted())
            if after.lifecycle not in UNDECIDED or (after.lifecycle == "OFFERED" and not after.restoring):
                break
            state = after
        else:
            raise AssertionError(state)


def test_every_state_survives_being_written_down() -> None:
    for state in {after for _, after in taken()}:
        assert decode(UpdateState, encode(state)) == state
