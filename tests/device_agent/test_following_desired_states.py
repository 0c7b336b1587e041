"""The agent follows what is desired of it: from offer to trial, and on to confirmed or back."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import MODEL, TRIAL, Bench, build, image, poll_until_quiet
from support.updated_agent import (
    FIRST,
    SECOND,
    WHOLE_UPDATE,
    break_interpreter,
    confirmed,
    model_of,
    predict,
    take,
)

from edgeops.core.errors import InferenceFailed, InputError, NoModel
from edgeops.core.manifest import Trial
from edgeops.core.topics import Kind

PUBLISHED = (FIRST, SECOND)


# -- the update, whole


def test_an_update_goes_from_offer_to_confirmed_and_reports_each_step(bench: Bench) -> None:
    agent = bench.start()
    assert bench.control.presence()[-1].online
    assert not agent.ready()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    assert agent.ready()
    assert model_of(bench).candidate == FIRST.digest
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert bench.control.steps() == WHOLE_UPDATE
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.candidate) == ("CONFIRMED", FIRST.digest, None)
    assert state.security_counter == 1


def test_an_update_fetches_each_chunk_once_and_counts_the_bytes(bench: Bench) -> None:
    confirmed(bench).close()
    assert bench.control.state().received_bytes == sum(map(len, FIRST.chunks.values()))


def test_a_second_update_keeps_the_first_and_fetches_only_what_is_new(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.close()
    state = model_of(bench)
    assert (state.confirmed, state.previous, state.security_counter) == (SECOND.digest, FIRST.digest, 2)
    new = sum(map(len, FIRST.chunks.values())) + len(SECOND.envelope)  # the blobs are the same ones
    assert bench.control.state().received_bytes == new


def test_going_back_needs_no_download(bench: Bench) -> None:
    """Rolling back to the version before: its slot is still there, even on an empty broker."""
    agent = confirmed(bench)
    same_counter = build(2, security_counter=1)
    bench.control.publish(same_counter)
    bench.control.desire(same_counter)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    bench.control.broker.retained.clear()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert model_of(bench).confirmed == FIRST.digest


def test_two_models_run_side_by_side(bench: Bench) -> None:
    agent = confirmed(bench)
    other = build(1, model="other")
    bench.control.publish(other)
    bench.control.desire(other)
    poll_until_quiet(agent)
    with pytest.raises(NoModel, match="no model was rolled out yet|has no model"):
        agent.predict(image())  # which one?
    assert agent.predict(image(), model="other").id.startswith("other:")
    assert agent.predict(image(), model=MODEL).id.startswith(f"{MODEL}:")
    assert agent.sequence("other") == 1


def test_a_desired_state_that_comes_again_changes_nothing(bench: Bench) -> None:
    agent = confirmed(bench)
    last = bench.control.desire(FIRST)
    agent.poll()
    for _ in range(3):
        bench.control.send(Kind.DESIRED, last)
        poll_until_quiet(agent, 5)
    assert bench.control.steps() == []
    assert model_of(bench).confirmed == FIRST.digest


def test_an_older_desired_state_is_ignored(bench: Bench) -> None:
    agent = bench.start()
    old = bench.control.desire(SECOND)
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    bench.control.send(Kind.DESIRED, old)
    poll_until_quiet(agent)
    assert model_of(bench).confirmed == FIRST.digest
    assert model_of(bench).lifecycle == "CONFIRMED"


def test_a_newer_desired_state_supersedes_a_download(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.put_chunk((SECOND.digest.hex(), 0), b"")  # cannot be fetched
    bench.control.desire(SECOND)
    agent.poll()
    third = build(3, security_counter=3)
    bench.control.publish(third)
    bench.control.desire(third)
    poll_until_quiet(agent)
    assert bench.control.steps() == ["OFFERED", "SUPERSEDED", *WHOLE_UPDATE[:-1]]


def test_a_chunk_that_never_comes_fails_after_a_minute_and_again_ever_later(bench: Bench) -> None:
    agent = bench.start()
    missing = (FIRST.manifest.observe.hex, 0)
    bench.control.put_chunk(missing, b"")
    bench.control.desire(FIRST)
    bench.wait(agent, 59)
    assert bench.control.steps() == ["OFFERED", "DOWNLOADING"]
    bench.wait(agent, 300)
    assert bench.control.steps().count("FAILED") >= 3
    reasons = [event.reason for event in bench.control.events() if event.target == "FAILED"]
    assert reasons[:3] == [
        "no chunk came within 60 s",
        "no chunk came within 60 s",
        "no chunk came within 60 s; put aside for 20 s after 3 failures in a row",
    ]
    bench.control.put_chunk(missing, FIRST.chunks[missing])
    bench.wait(agent, 120)
    assert agent.ready()


# -- trial and rollback


def test_an_unhealthy_trial_rolls_back_to_the_confirmed_model(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    assert agent.predict(image()).trial
    with monkeypatch.context() as patched:
        break_interpreter(agent, patched)
        for _ in range(TRIAL.max_errors + 1):
            with pytest.raises(InferenceFailed, match="a kernel failed"):
                agent.predict(image())
    prediction = agent.predict(image())
    assert (prediction.model_version, prediction.trial) == (1, False)
    event = bench.control.events()[-1]
    assert (event.target, event.manifest) == ("ROLLED_BACK", SECOND.digest)
    assert event.reason == "2 errors in its trial where 1 are allowed"
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    assert bench.control.steps()[-1] == "ROLLED_BACK"  # not tried again


def test_a_first_model_that_fails_its_trial_leaves_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = bench.start()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    break_interpreter(agent, monkeypatch)
    for _ in range(2):
        with pytest.raises(InferenceFailed):
            agent.predict(image())
    assert not agent.ready()
    with pytest.raises(NoModel, match="has no model to run yet"):
        agent.predict(image())


def test_inputs_that_do_not_fit_are_no_fault_of_the_candidate(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    for _ in range(20):
        with pytest.raises(InputError):
            agent.predict(np.zeros(3))
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"


def test_the_trial_may_ask_for_nothing_wrong_at_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = build(3, trial=Trial(3, 0))
    agent = confirmed(bench)
    bench.control.publish(strict)
    bench.control.desire(strict)
    poll_until_quiet(agent)
    break_interpreter(agent, monkeypatch)
    with pytest.raises(InferenceFailed):
        agent.predict(image())
    assert bench.control.steps()[-1] == "ROLLED_BACK"


def test_a_trial_ends_by_time_where_inputs_are_rare(bench: Bench) -> None:
    agent = bench.start()
    take(bench, agent, build(1, trial=Trial(1000, 1, seconds=60)))
    bench.wait(agent, 120)
    assert model_of(bench).lifecycle == "TRIAL"  # not one good inference
    predict(agent, bench, 1)
    agent.poll()
    assert model_of(bench).lifecycle == "CONFIRMED"
