"""An agent that starts again, after a power cut, on damaged files or without a broker, runs a whole model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.packages import TFLITE, TRIAL, Bench, build, enrol, image, poll_until_quiet
from support.updated_agent import FIRST, SECOND, WHOLE_UPDATE, confirmed, model_of, predict, take

PUBLISHED = (FIRST, SECOND)


# -- power cuts and restarts


def test_a_restart_in_the_middle_of_a_download_fetches_the_rest_only(bench: Bench) -> None:
    agent = bench.start()
    last = (FIRST.manifest.vectors.hex, 0)
    bench.control.put_chunk(last, b"")
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    assert bench.control.steps()[-1] == "DOWNLOADING"
    bench.cut()
    bench.control.put_chunk(last, FIRST.chunks[last])
    bench.control.forget()
    again = bench.start()
    poll_until_quiet(again)
    predict(again, bench, TRIAL.inferences)
    again.close()
    assert bench.control.steps() == WHOLE_UPDATE
    assert bench.control.state().received_bytes == len(FIRST.chunks[last])


def test_a_power_cut_after_any_number_of_polls_ends_in_a_model_that_is_whole(tmp_path: Path) -> None:
    for polls in range(8):
        bench = Bench(enrol(tmp_path / str(polls)))
        bench.control.publish(FIRST)
        bench.control.publish(SECOND)
        agent = confirmed(bench)
        bench.control.desire(SECOND)
        poll_until_quiet(agent, polls)
        bench.cut()
        again = bench.start()
        assert again.predict(image()).model_version in (1, 2)
        poll_until_quiet(again)
        predict(again, bench, TRIAL.inferences)
        again.poll()
        assert model_of(bench).confirmed == SECOND.digest


def test_a_trial_that_is_cut_off_once_goes_on_and_twice_rolls_back(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    bench.cut()
    agent = bench.start()
    assert agent.predict(image()).model_version == 2
    bench.cut()
    agent = bench.start()
    assert agent.predict(image()).model_version == 1
    event = bench.control.events()[-1]
    assert (event.target, event.reason) == ("ROLLED_BACK", "the agent did not survive its trial")


def test_a_trial_that_is_stopped_on_purpose_keeps_its_count(bench: Bench) -> None:
    agent = bench.start()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    for done in range(TRIAL.inferences - 1):
        predict(agent, bench, 1, done)
        agent.close()
        agent = bench.start()
    predict(agent, bench, 1)
    agent.poll()
    assert model_of(bench).lifecycle == "CONFIRMED"


def test_a_slot_that_went_bad_gives_way_to_the_previous_model_and_is_fetched_again(bench: Bench) -> None:
    agent = confirmed(bench)
    second = build(2, tflite=FIRST.blobs[FIRST.manifest.artifacts[0].blob.hex] + bytes(16))
    bench.control.publish(second)
    bench.control.desire(second)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.close()
    blob = second.manifest.artifacts[0].blob.hex
    for path in bench.config.data.rglob(blob):
        path.write_bytes(b"bit rot")
    bench.control.forget()
    again = bench.start()
    assert again.predict(image()).model_version == 1  # what ran before still runs
    assert bench.control.events()[0].event == "damaged"
    poll_until_quiet(again)
    predict(again, bench, TRIAL.inferences)
    again.poll()
    assert model_of(bench).confirmed == second.digest


def test_each_start_has_a_higher_boot_number_and_says_hello_and_goodbye(bench: Bench) -> None:
    boots = []
    for _ in range(3):
        agent = bench.start()
        boots.append(agent.boot)
        agent.close()
    assert boots == [boots[0], boots[0] + 1, boots[0] + 2]
    assert [presence.online for presence in bench.control.presence()] == [True, False] * 3
    bench.start()
    bench.cut()
    assert not bench.control.presence()[-1].online  # the will


def test_a_device_starts_from_its_slots_without_a_broker(bench: Bench) -> None:
    confirmed(bench).close()
    bench.control.broker.set_online(False)
    bench.clock.sleep(1.0)
    agent = bench.start()
    assert not agent.online
    assert agent.predict(image()).model_version == 1
    assert sum("offline" in line for line in bench.log) == 1
    bench.wait(agent, 30)
    assert sum("offline" in line for line in bench.log) == 1  # said once, not every five seconds
    bench.control.broker.set_online(True)
    bench.wait(agent, 6)
    assert agent.online
    assert bench.control.presence()[-1].online


# -- what was spoilt on disk


def test_a_damaged_state_does_not_keep_the_agent_from_starting(bench: Bench) -> None:
    package = build(2, security_counter=5)
    confirmed(bench, package).close()
    (state,) = bench.config.data.rglob("state.cbor")
    state.write_bytes(b"\xff bit rot")
    agent = bench.start()
    event = bench.control.events()[0]
    assert event.event == "damaged" and (event.reason or "").startswith("state.cbor is damaged")
    assert state.with_name("state.damaged").read_bytes() == b"\xff bit rot"
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert (model_of(bench).confirmed, model_of(bench).security_counter) == (package.digest, 5)


def test_a_damaged_state_does_not_open_the_door_to_an_older_model(bench: Bench) -> None:
    confirmed(bench, build(2, security_counter=5)).close()
    (state,) = bench.config.data.rglob("state.cbor")
    state.write_bytes(b"")
    agent = bench.start()
    take(bench, agent, build(1, security_counter=4))
    assert model_of(bench).reason == "security counter 4 is below 5"


def test_a_confirmed_model_that_the_device_can_no_longer_run_does_not_keep_the_agent_from_starting(
    bench: Bench,
) -> None:
    confirmed(bench).close()
    bench.config = replace(bench.config, target="cortex-m4")
    agent = bench.start()
    assert not agent.ready()
    agent.poll()
    assert model_of(bench).lifecycle == "REJECTED"
    assert (
        model_of(bench).reason == "this device takes tflite for cortex-m4; the version has tflite for linux"
    )


def test_a_trial_whose_slot_was_damaged_goes_back_to_the_confirmed_model(bench: Bench) -> None:
    second = build(2, tflite=TFLITE + bytes(16))
    agent = confirmed(bench)
    take(bench, agent, second)
    agent.close()
    for path in bench.config.data.glob(f"models/*/slot-*/{second.manifest.artifacts[0].blob.hex}"):
        path.write_bytes(b"bit rot")
    agent = bench.start()
    assert agent.predict(image()).model_version == 1
    assert (model_of(bench).lifecycle, model_of(bench).confirmed) == ("ROLLED_BACK", FIRST.digest)
    assert "is damaged" in (model_of(bench).reason or "")
