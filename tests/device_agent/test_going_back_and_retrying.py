"""Going back on command takes no download, and what failed is tried again in its time or when asked for."""

from __future__ import annotations

import pytest
from support.packages import TFLITE, TRIAL, Bench, build, image, poll_until_quiet
from support.updated_agent import (
    DOWNLOADED,
    FIRST,
    confirmed,
    desire,
    model_of,
    predict,
    publish_and_desire,
    take,
    versions,
)

from device_agent.slots import SlotStore
from edgeops.core.errors import NoModel

SECOND = build(2)  # its security counter is that of the first


# -- going back


def test_a_rollback_on_command_takes_one_poll_and_no_byte(bench: Bench) -> None:
    agent = confirmed(bench, FIRST, SECOND)
    before = bench.control.state()
    publish_and_desire(bench, FIRST)
    bench.control.broker.retained = {
        topic: payload for topic, payload in bench.control.broker.retained.items() if "/blob/" not in topic
    }
    agent.poll()
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.previous, state.candidate) == (
        "CONFIRMED",
        FIRST.digest,
        SECOND.digest,
        None,
    )
    assert state.generation == bench.control.generation
    assert bench.control.state().received_bytes == before.received_bytes
    assert [event.event for event in bench.control.events()] == ["offered", "restored"]
    prediction = agent.predict(image())
    assert (prediction.model_version, prediction.trial) == (1, False)
    bench.cut()
    agent = bench.start()
    assert agent.predict(image()).model_version == 1
    publish_and_desire(bench, SECOND)  # and forward again, just so
    agent.poll()
    assert agent.predict(image()).model_version == 2


@pytest.mark.parametrize("asked", [{"attempt": 1}, {"shadow_inferences": 3}])
def test_a_rollout_of_the_version_before_takes_no_byte_but_a_trial(bench: Bench, asked: dict) -> None:
    """What gates had taken back came to run again everywhere, without being looked at."""
    agent = confirmed(bench, FIRST, SECOND)
    received = bench.control.state().received_bytes
    desire(bench, FIRST, **asked)
    agent.poll()
    assert model_of(bench).lifecycle in ("TRIAL", "SHADOWING")
    predict(agent, bench, 3 + TRIAL.inferences)
    agent.poll()
    assert (model_of(bench).lifecycle, model_of(bench).confirmed) == ("CONFIRMED", FIRST.digest)
    assert bench.control.state().received_bytes == received


def test_a_rollback_to_a_slot_that_was_damaged_fetches_it_again(bench: Bench) -> None:
    second = build(2, tflite=TFLITE + bytes(16))
    agent = confirmed(bench, FIRST, second)
    for path in bench.config.data.rglob(FIRST.manifest.artifacts[0].blob.hex):
        path.write_bytes(b"bit rot")
    take(bench, agent, FIRST)
    assert bench.control.steps() == ["OFFERED", "OFFERED", *DOWNLOADED[1:], "TRIAL"]
    assert bench.control.events()[1].event == "damaged"
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert model_of(bench).confirmed == FIRST.digest


def test_going_back_below_the_security_counter_is_refused_with_both_numbers(bench: Bench) -> None:
    agent = confirmed(bench, build(1, security_counter=3), newer := build(2, security_counter=5))
    take(bench, agent, build(1, security_counter=3))
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.security_counter) == ("REJECTED", newer.digest, 5)
    assert state.reason == "security counter 3 is below 5"


@pytest.mark.parametrize("shadow", [0, 100], ids=["trial", "shadow"])
def test_a_rollout_that_is_taken_back_while_it_is_tried_is_over_in_one_poll(
    bench: Bench, shadow: int
) -> None:
    agent = confirmed(bench)
    take(bench, agent, SECOND, shadow_inferences=shadow)
    predict(agent, bench, 2)
    publish_and_desire(bench, FIRST)
    agent.poll()
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.candidate) == ("CONFIRMED", FIRST.digest, None)
    assert (state.generation, state.shadow) == (bench.control.generation, None)
    assert versions(agent, bench, 3) == [1, 1, 1]


def test_where_no_version_is_wanted_any_more_the_candidate_goes(bench: Bench) -> None:
    agent = bench.start()
    take(bench, agent, FIRST)
    assert agent.ready()
    publish_and_desire(bench, None)
    agent.poll()
    state = model_of(bench)
    assert (state.lifecycle, state.candidate, state.generation) == ("SUPERSEDED", None, 2)
    with pytest.raises(NoModel):
        agent.predict(image())


# -- attempts and being put aside


def test_a_new_attempt_tries_again_what_was_rejected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = confirmed(bench)
    second = build(2, tflite=TFLITE + bytes(16))
    with monkeypatch.context() as patched:
        patched.setattr(SlotStore, "free_bytes", lambda self: 100)
        take(bench, agent, second)
    assert model_of(bench).lifecycle == "REJECTED"
    take(bench, agent, second)
    assert model_of(bench).lifecycle == "REJECTED"  # there is room now, but nobody asked to try again
    take(bench, agent, second, attempt=1)
    assert model_of(bench).lifecycle == "TRIAL"


def test_after_repeated_failures_a_version_is_put_aside_and_says_for_how_long(bench: Bench) -> None:
    agent = confirmed(bench)
    publish_and_desire(bench, SECOND)
    bench.control.put_chunk((SECOND.digest.hex(), 0), b"")  # cannot be fetched
    for failures in (1, 2, 3):
        while bench.control.steps().count("FAILED") < failures:
            bench.wait(agent, 1)
    state = model_of(bench)
    assert (state.lifecycle, state.attempts, state.retry_in_ms) == ("FAILED", 3, 20_000)
    assert (state.reason or "").endswith("; put aside for 20 s after 3 failures in a row")
    bench.cut()
    agent = bench.start()
    state = model_of(bench)
    assert (state.lifecycle, state.attempts, state.retry_in_ms) == ("FAILED", 3, 20_000)
    bench.wait(agent, 19)
    assert model_of(bench).lifecycle == "FAILED"
    bench.wait(agent, 2)
    assert model_of(bench).lifecycle == "OFFERED"
    publish_and_desire(bench, SECOND, attempt=1)
    poll_until_quiet(agent)
    assert (model_of(bench).lifecycle, model_of(bench).attempts) == ("TRIAL", 0)
