"""The agent's transfers: what they cost, the other ways to a blob, when they start and how much they may fetch."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import (
    FLEET,
    MODEL,
    TFLITE,
    TRIAL,
    Bench,
    Package,
    build,
    enrol,
    image,
    poll_until_quiet,
)
from support.web_server import Site, web_server

from device_agent.agent import Agent
from device_agent.config import load_config
from device_agent.fetching import STALL_MS
from device_agent.pace import start_delay_ms
from edgeops.core import topics
from edgeops.core.errors import ConfigError
from edgeops.core.manifest import BlobRef, Manifest, blob_ref
from edgeops.core.messages import DesiredModel, ModelState, Transfer
from edgeops.core.patches import make_patch

CHUNK = 4096
PADDING = random.Random(1).randbytes(100_000)
OTHER_PADDING = PADDING[:60_000] + random.Random(2).randbytes(500) + PADDING[60_500:]
FIRST = build(1, tflite=TFLITE + PADDING, chunk_bytes=CHUNK)
SECOND = build(2, tflite=TFLITE + OTHER_PADDING, chunk_bytes=CHUNK)
OLD, NEW = (package.manifest.artifacts[0].blob for package in (FIRST, SECOND))
STALL_S = STALL_MS // 1000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(enrol(tmp_path))
    bench.control.publish(FIRST)
    return bench


def chunks_of(ref: BlobRef, package: Package = SECOND) -> set[tuple[str, int]]:
    """The chunks of one blob of a package, its list too."""
    names = {ref.hex, ref.chunk_list.hex() if ref.chunk_list else ""}
    return {chunk for chunk in package.chunks if chunk[0] in names}


def publish_blob(bench: Bench, blob: bytes, chunk_bytes: int = CHUNK) -> BlobRef:
    """Retain a blob that is in no package."""
    ref, listing = blob_ref(blob, chunk_bytes)
    for index in range(ref.chunks):
        bench.control.put_chunk((ref.hex, index), blob[index * chunk_bytes : (index + 1) * chunk_bytes])
    if ref.chunk_list is not None and listing is not None:
        bench.control.put_chunk((ref.chunk_list.hex(), 0), listing)
    return ref


def desire(bench: Bench, package: Package, daily_bytes: int = 0, **model: object) -> None:
    wanted = DesiredModel(package.digest, len(package.envelope), bench.control.policy)
    models = {MODEL: replace(wanted, **model)}  # type: ignore[arg-type]
    bench.control.desire(package, models=models, daily_bytes=daily_bytes)


def run_trial(agent: Agent, bench: Bench) -> None:
    for seed in range(TRIAL.inferences):
        bench.clock.sleep(0.05)
        agent.predict(image(seed))
    agent.poll()


def updated(bench: Bench, package: Package = FIRST) -> Agent:
    agent = bench.start()
    desire(bench, package)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == package.digest
    bench.control.forget()
    return agent


def state(bench: Bench) -> ModelState:
    return bench.control.state().models[MODEL]


def received(agent: Agent, bench: Bench) -> int:
    agent._published = None
    agent.poll()
    return bench.control.state().received_bytes


def subscribed(bench: Bench) -> set[tuple[str, int]]:
    """The chunks that the device asks for now."""
    assert bench.transport is not None
    parsed = [topics.parse(topic) for topic in bench.transport._filters if "/blob/" in topic]
    return {(topic.sha256, topic.index) for topic in parsed if isinstance(topic, topics.ChunkTopic)}


def detours(bench: Bench) -> list[str]:
    return [event.reason or "" for event in bench.control.events() if event.event == "detour"]


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
    assert "bytes of disk are needed" in (state(bench).reason or "")
    monkeypatch.setattr(SlotStore, "free_bytes", lambda self: 0)
    desire(bench, FIRST)  # it runs already: that takes no room
    poll_until_quiet(agent)
    assert agent.ready()


# -- other ways to a blob


def patch_of(bench: Bench, **changes: object) -> Transfer:
    """A patch from the first model to the second, published."""
    ref = publish_blob(bench, make_patch("difference", FIRST.blobs[OLD.hex], SECOND.blobs[NEW.hex]))
    return replace(Transfer(NEW.sha256, ref, OLD.sha256, "difference"), **changes)  # type: ignore[arg-type]


def test_a_patch_makes_the_model_out_of_the_one_that_runs(bench: Bench) -> None:
    agent = updated(bench)
    before = received(agent, bench)
    bench.control.publish(SECOND, without=chunks_of(NEW))
    patch = patch_of(bench)
    desire(bench, SECOND, transfers=(patch,))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    assert received(agent, bench) - before == patch.blob.size + len(SECOND.envelope)
    assert detours(bench) == []


def _junk(bench: Bench) -> Transfer:
    return patch_of(bench, blob=publish_blob(bench, b"\x00 no patch at all " * 300))


def _bomb(bench: Bench) -> Transfer:
    made = make_patch("difference", FIRST.blobs[OLD.hex], SECOND.blobs[NEW.hex] + bytes(1_000_000))
    return patch_of(bench, blob=publish_blob(bench, made))


def _other_result(bench: Bench) -> Transfer:
    other = bytearray(SECOND.blobs[NEW.hex])
    other[-1] ^= 1
    return patch_of(
        bench, blob=publish_blob(bench, make_patch("difference", FIRST.blobs[OLD.hex], bytes(other)))
    )


def _altered(bench: Bench) -> Transfer:
    patch = patch_of(bench)
    bench.control.put_chunk((patch.blob.hex, 0), b"altered")
    return patch


def _unlisted(bench: Bench) -> Transfer:
    ref = publish_blob(bench, bytes(9000))
    return patch_of(bench, blob=replace(ref, chunk_list=None))


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda bench: patch_of(bench, codec="xdelta"), "codec 'xdelta' is not known"),
        (lambda bench: patch_of(bench, base=b"\x07" * 32), "no slot holds its base 070707"),
        (lambda bench: patch_of(bench, codec="aligned"), "patch"),
        (_junk, "failed: the patch"),
        (_bomb, "the patch makes more than it should"),
        (_altered, "has 7 bytes, not"),
        (_unlisted, "without its chunk list"),
    ],
    ids=["codec", "base", "other codec", "junk", "too large", "altered chunk", "no chunk list"],
)
def test_a_patch_that_fails_in_any_way_leads_to_the_whole_blob_and_is_told(
    bench: Bench, spoilt: Callable[[Bench], Transfer], words: str
) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    desire(bench, SECOND, transfers=(spoilt(bench),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    (told,) = detours(bench)
    assert words in told
    assert "the whole blob is fetched" in told
    assert "FAILED" not in bench.control.steps()


def test_a_patch_that_makes_something_else_leads_to_the_whole_blob(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    desire(bench, SECOND, transfers=(_other_result(bench),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    assert ["does not match its digest" in told for told in detours(bench)] == [True]


def test_a_patch_that_never_comes_leads_to_the_whole_blob_after_the_stall_time(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    patch = patch_of(bench)
    bench.control.put_chunk((patch.blob.hex, 0), b"")
    desire(bench, SECOND, transfers=(patch,))
    bench.wait(agent, STALL_S - 5)
    assert state(bench).lifecycle == "DOWNLOADING"
    bench.wait(agent, 30)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    assert [f"no chunk came within {STALL_S} s" in told for told in detours(bench)] == [True]


def test_the_whole_blob_that_was_begun_is_gone_on_with_though_a_patch_is_offered_later(bench: Bench) -> None:
    agent = updated(bench)
    last = (NEW.hex, NEW.chunks - 1)
    bench.control.publish(SECOND, without={last})
    desire(bench, SECOND)
    poll_until_quiet(agent)
    before = received(agent, bench)
    desire(bench, SECOND, transfers=(patch_of(bench),))
    bench.control.put_chunk(last, SECOND.chunks[last])
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    assert received(agent, bench) - before == len(SECOND.chunks[last])


def test_a_patch_that_was_interrupted_is_gone_on_with(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND, without=chunks_of(NEW))
    made = make_patch("difference", FIRST.blobs[OLD.hex], SECOND.blobs[NEW.hex])
    ref, _ = blob_ref(made, 256)
    assert ref.chunks == 3
    publish_blob(bench, made, 256)
    bench.control.put_chunk((ref.hex, 2), b"")
    desire(bench, SECOND, transfers=(Transfer(NEW.sha256, ref, OLD.sha256, "difference"),))
    poll_until_quiet(agent)
    agent.close()
    again = bench.start()
    bench.control.put_chunk((ref.hex, 2), made[512:])
    poll_until_quiet(again)
    run_trial(again, bench)
    assert state(bench).confirmed == SECOND.digest
    assert received(again, bench) == len(made) - 512


def test_a_blob_that_was_cut_otherwise_is_fetched_in_its_new_chunks(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND, without=chunks_of(NEW))
    other = publish_blob(bench, SECOND.blobs[NEW.hex], 1024)
    desire(bench, SECOND, transfers=(Transfer(NEW.sha256, other),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest


def test_a_transfer_that_stalled_goes_on_in_other_chunks_where_it_was(bench: Bench) -> None:
    agent = updated(bench)
    late = {(NEW.hex, index) for index in range(20, NEW.chunks)}
    bench.control.publish(SECOND, without=late)
    desire(bench, SECOND)
    poll_until_quiet(agent)
    before = received(agent, bench)
    other, _ = blob_ref(SECOND.blobs[NEW.hex], 1024)
    desire(bench, SECOND, transfers=(Transfer(NEW.sha256, other),))
    agent.poll()
    publish_blob(bench, SECOND.blobs[NEW.hex], 1024)  # to the topics of the old cut
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    assert received(agent, bench) - before == NEW.size - 20 * CHUNK + 32 * other.chunks


def test_a_cut_of_another_blob_is_not_taken_for_the_one_that_was_meant(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    foreign = publish_blob(bench, b"foreign" * 5000, 1024)
    desire(bench, SECOND, transfers=(Transfer(NEW.sha256, foreign),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest


# -- from the web


@pytest.fixture
def site() -> Iterator[Site]:
    with web_server() as site:
        yield site


def from_site(site: Site) -> Package:
    """The second package with a manifest that names the site, which serves its blobs."""

    def change(manifest: Manifest) -> Manifest:
        return replace(manifest, sources=(site.address,))

    package = build(2, tflite=TFLITE + OTHER_PADDING, chunk_bytes=CHUNK, change=change)
    for name, blob in package.blobs.items():
        site.files[f"/{name}"] = blob
    listing = (NEW.chunk_list or b"").hex()
    site.files[f"/{listing}"] = package.chunks[(listing, 0)]
    return package


def wait_until(agent: Agent, done: Callable[[], bool]) -> None:
    """Poll until it is so: a thread of the agent's works meanwhile."""
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, "nothing comes"
        agent.poll()
        time.sleep(0.002)


@pytest.mark.parametrize("online", [True, False], ids=["a broker that does not deliver", "no broker"])
def test_what_the_broker_does_not_deliver_comes_from_the_web(bench: Bench, site: Site, online: bool) -> None:
    agent = updated(bench)
    before = received(agent, bench)
    package = from_site(site)
    bench.control.publish(package, without=chunks_of(NEW, package))
    desire(bench, package)
    poll_until_quiet(agent)
    bench.control.broker.set_online(online)
    bench.wait(agent, STALL_S - 5)
    assert site.requests == []
    bench.wait(agent, 10)
    wait_until(agent, lambda: agent._models[MODEL].host.state.lifecycle == "TRIAL")
    run_trial(agent, bench)
    bench.control.broker.set_online(True)
    agent.poll()
    assert state(bench).confirmed == package.digest
    assert received(agent, bench) - before == NEW.size + 32 * NEW.chunks + len(package.envelope)
    assert len(site.requests) == 2  # the list of chunks, and the blob in one go


def test_the_web_serves_only_what_the_broker_left_out(bench: Bench, site: Site) -> None:
    agent = updated(bench)
    package = from_site(site)
    bench.control.publish(package, without={(NEW.hex, index) for index in range(20, NEW.chunks)})
    desire(bench, package)
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: agent._models[MODEL].host.state.lifecycle == "TRIAL")
    assert site.requests == [(f"/{NEW.hex}", f"bytes={20 * CHUNK}-")]


def test_a_blob_that_the_web_serves_altered_is_not_believed(bench: Bench, site: Site) -> None:
    agent = updated(bench)
    package = from_site(site)
    site.files[f"/{NEW.hex}"] = bytes(NEW.size)
    bench.control.publish(package, without=chunks_of(NEW, package))
    desire(bench, package)
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: agent._models[MODEL].host.state.lifecycle == "FAILED")
    assert "no source has it: what came was altered" in (agent._models[MODEL].host.state.reason or "")
    assert agent.predict(image()).model_version == 1


def test_a_source_without_the_patch_has_the_whole_blob(bench: Bench, site: Site) -> None:
    agent = updated(bench)
    package = from_site(site)
    bench.control.publish(package, without=chunks_of(NEW, package))
    patch = patch_of(bench)
    bench.control.put_chunk((patch.blob.hex, 0), b"")
    desire(bench, package, transfers=(patch,))
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: agent._models[MODEL].host.state.lifecycle == "TRIAL")
    assert ["404" in told for told in detours(bench)] == [True]


def test_a_source_that_says_nothing_is_given_up_after_the_stall_time(bench: Bench, site: Site) -> None:
    agent = updated(bench)
    package = from_site(site)
    bench.control.publish(package, without={(NEW.hex, 20)})
    site.go_on.clear()
    desire(bench, package)
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: bool(site.requests))
    bench.wait(agent, STALL_S - 10)
    assert "FAILED" not in bench.control.steps()
    bench.wait(agent, 15)
    (failed,) = [event.reason for event in bench.control.events() if event.target == "FAILED"]
    assert failed == f"no source sent anything within {STALL_S} s"


def test_what_comes_from_the_web_is_within_the_byte_budget(bench: Bench, site: Site) -> None:
    agent = updated(bench)
    package = from_site(site)
    bench.control.publish(package, without=chunks_of(NEW, package))
    before = received(agent, bench)
    limit = before + 50_000
    desire(bench, package, daily_bytes=limit)
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: "byte budget" in (state(bench).reason or ""))
    assert limit - CHUNK < bench.control.state().spent_bytes <= limit
    assert received(agent, bench) == bench.control.state().spent_bytes
    desire(bench, package)
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: agent._models[MODEL].host.state.lifecycle == "TRIAL")


# -- when it starts, and how much it may fetch


def test_a_device_starts_at_its_place_in_the_spread(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    place = start_delay_ms(bench.config.device, SECOND.digest, 600_000)
    assert 10_000 < place < 590_000
    desire(bench, SECOND, spread_ms=600_000)
    bench.wait(agent, place / 1000 - 2)
    assert subscribed(bench) == set()
    assert state(bench).lifecycle == "OFFERED"
    assert state(bench).reason == "it starts at its place in the spread of 600 s"
    bench.wait(agent, 10)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest
    assert state(bench).reason is None


def test_a_spread_that_is_shortened_lets_a_waiting_device_start(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    desire(bench, SECOND, spread_ms=600_000)
    bench.wait(agent, 2)
    assert state(bench).lifecycle == "OFFERED"
    desire(bench, SECOND)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == SECOND.digest


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
    assert state(bench).confirmed == FIRST.digest


def test_the_byte_budget_of_a_day_is_kept_over_reboots_and_said(bench: Bench) -> None:
    limit = 60_000
    agent = bench.start()
    desire(bench, FIRST, daily_bytes=limit)
    poll_until_quiet(agent)
    bench.wait(agent, 3 * STALL_S)
    spent = bench.control.state().spent_bytes
    assert limit - CHUNK < spent <= limit
    assert spent == bench.control.state().received_bytes
    assert state(bench).reason == f"byte budget of the day is spent: {spent} of {limit}"
    assert state(bench).lifecycle == "DOWNLOADING"  # it waits: that is no failure
    assert subscribed(bench) == set()
    agent.close()
    agent = bench.start()
    bench.wait(agent, 3 * STALL_S)
    assert bench.control.state().spent_bytes == spent
    assert bench.control.state().received_bytes == 0
    bench.clock.sleep(24 * 3600)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == FIRST.digest
    assert bench.control.state().spent_bytes <= limit


def test_a_budget_that_is_raised_lets_the_transfer_go_on(bench: Bench) -> None:
    agent = bench.start()
    desire(bench, FIRST, daily_bytes=60_000)
    poll_until_quiet(agent)
    desire(bench, FIRST)
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert state(bench).confirmed == FIRST.digest
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
    assert state(bench).confirmed == FIRST.digest


@pytest.mark.parametrize("value", [0, -1, 257])
def test_a_setting_of_chunks_in_flight_out_of_bounds_is_refused(tmp_path: Path, value: int) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'fleet = "f"\ndevice = "d"\nbroker = "mqtt://h"\nchunks_in_flight = {value}\n')
    with pytest.raises(ConfigError, match="is not between 1 and 256"):
        load_config(path)
