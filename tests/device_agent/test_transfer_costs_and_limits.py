"""What a transfer costs in bytes, disk and subscriptions, when it starts, and how much it may fetch."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.packages import FLEET, MODEL, TFLITE, Bench, build, enrol, poll_until_quiet
from support.transfers import CHUNK, FIRST, OLD, OTHER_PADDING, SECOND, STALL_S, received, subscribed, updated
from support.updated_agent import desire, model_of, run_trial

from device_agent.config import load_config
from device_agent.pace import start_delay_ms
from edgeops.core import topics
from edgeops.core.errors import ConfigError

PUBLISHED = (FIRST,)


# -- what it costs


def test_an_update_costs_its_blobs_and_five_percent_at_most(bench: Bench) -> None:
    agent = updated(bench)
    assert len(FIRST.blobs[OLD.hex]) > 100_000
    assert received(agent, bench) <= 1.05 * sum(map(len, FIRST.blobs.values())) + len(FIRST.envelope)


def test_what_comes_twice_is_counted_as_what_it_costs(bench: Bench) -> None:
    agent = bench.start()
    desire(bench, FIRST)
    agent.poll()
    chunk = (FIRST.digest.hex(), 0)
    assert subscribed(bench) == {chunk}
    bench.control.put_chunk(chunk, FIRST.envelope)  # the broker sends it once more
    poll_until_quiet(agent)
    everything = sum(map(len, FIRST.chunks.values()))
    assert received(agent, bench) == everything + len(FIRST.envelope)


def test_what_came_is_unsubscribed_and_never_more_than_a_window_is_asked_for(bench: Bench) -> None:
    agent = bench.start()
    desire(bench, FIRST)
    most = 0
    for _ in range(40):
        agent.poll()
        most = max(most, len(subscribed(bench)))
    assert most == 16
    assert subscribed(bench) == set()


def test_a_blob_lies_on_disk_once_and_nothing_is_left_of_its_transfer(bench: Bench) -> None:
    agent = bench.start()
    desire(bench, FIRST)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    root = bench.config.data / "models" / MODEL
    assert len(list(root.rglob(OLD.hex))) == 1
    assert not list((root / "incoming").glob("*"))


def test_the_disk_must_have_room_for_each_blob_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from device_agent.slots import SlotStore

    total = sum(map(len, FIRST.blobs.values())) + 32 * OLD.chunks
    monkeypatch.setattr(SlotStore, "free_bytes", lambda self: total)
    agent = updated(bench)
    bench.control.publish(SECOND)
    monkeypatch.setattr(SlotStore, "free_bytes", lambda self: total - 10_000)
    desire(bench, SECOND)
    poll_until_quiet(agent)
    assert "bytes of disk are needed" in (model_of(bench).reason or "")
    monkeypatch.setattr(SlotStore, "free_bytes", lambda self: 0)
    desire(bench, FIRST)  # it runs already: that takes no room
    poll_until_quiet(agent)
    assert agent.ready()


# -- when it starts, and how much it may fetch


def test_a_device_starts_at_its_place_in_the_spread(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    place = start_delay_ms(bench.config.device, SECOND.digest, 600_000)
    assert 10_000 < place < 590_000
    desire(bench, SECOND, spread_ms=600_000)
    bench.wait(agent, place / 1000 - 2)
    assert subscribed(bench) == set()
    assert model_of(bench).lifecycle == "OFFERED"
    assert model_of(bench).reason == "it starts at its place in the spread of 600 s"
    bench.wait(agent, 10)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest
    assert model_of(bench).reason is None


def test_a_spread_that_is_shortened_lets_a_waiting_device_start(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    desire(bench, SECOND, spread_ms=600_000)
    bench.wait(agent, 2)
    assert model_of(bench).lifecycle == "OFFERED"
    desire(bench, SECOND)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest


def test_going_back_does_not_wait_for_a_place_in_the_spread(bench: Bench) -> None:
    agent = updated(bench)
    same_counter = build(2, tflite=TFLITE + OTHER_PADDING, chunk_bytes=CHUNK, security_counter=1)
    bench.control.publish(same_counter)
    desire(bench, same_counter)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    desire(bench, FIRST, spread_ms=600_000)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == FIRST.digest


def test_the_byte_budget_of_a_day_is_kept_over_reboots_and_said(bench: Bench) -> None:
    limit = 60_000
    agent = bench.start()
    desire(bench, FIRST, daily_bytes=limit)
    poll_until_quiet(agent)
    bench.wait(agent, 3 * STALL_S)
    spent = bench.control.state().spent_bytes
    assert limit - CHUNK < spent <= limit
    assert spent == bench.control.state().received_bytes
    assert model_of(bench).reason == f"byte budget of the day is spent: {spent} of {limit}"
    assert model_of(bench).lifecycle == "DOWNLOADING"  # it waits: that is no failure
    assert subscribed(bench) == set()
    agent.close()
    agent = bench.start()
    bench.wait(agent, 3 * STALL_S)
    assert bench.control.state().spent_bytes == spent
    assert bench.control.state().received_bytes == 0
    bench.clock.sleep(24 * 3600)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == FIRST.digest
    assert bench.control.state().spent_bytes <= limit


def test_a_budget_that_is_raised_lets_the_transfer_go_on(bench: Bench) -> None:
    agent = bench.start()
    desire(bench, FIRST, daily_bytes=60_000)
    poll_until_quiet(agent)
    desire(bench, FIRST)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == FIRST.digest
    assert topics.chunk(FLEET, OLD.hex, 0) in bench.control.broker.retained


def test_how_many_chunks_are_asked_for_is_the_agents_own_setting(tmp_path: Path) -> None:
    bench = Bench(enrol(tmp_path, chunks_in_flight=3))
    bench.control.publish(FIRST)
    agent = bench.start()
    desire(bench, FIRST)
    most = 0
    for _ in range(60):
        agent.poll()
        most = max(most, len(subscribed(bench)))
    assert most == 3
    run_trial(agent, bench)
    assert model_of(bench).confirmed == FIRST.digest


@pytest.mark.parametrize("value", [0, -1, 257])
def test_a_setting_of_chunks_in_flight_out_of_bounds_is_refused(tmp_path: Path, value: int) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'fleet = "f"\ndevice = "d"\nbroker = "mqtt://h"\nchunks_in_flight = {value}\n')
    with pytest.raises(ConfigError, match="is not between 1 and 256"):
        load_config(path)
