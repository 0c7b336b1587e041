"""What the broker does not deliver comes from a web server, altered by nobody and within the byte budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from support.packages import MODEL, TFLITE, Bench, Package, build, image, poll_until_quiet
from support.transfers import (
    CHUNK,
    FIRST,
    NEW,
    OTHER_PADDING,
    STALL_S,
    chunks_of,
    detours,
    patch_of,
    received,
    updated,
)
from support.updated_agent import desire, model_of, run_trial
from support.web_server import Site, web_server

from device_agent.agent import Agent
from edgeops.core.manifest import Manifest

PUBLISHED = (FIRST,)


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
    assert model_of(bench).confirmed == package.digest
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
    wait_until(agent, lambda: "byte budget" in (model_of(bench).reason or ""))
    assert limit - CHUNK < bench.control.state().spent_bytes <= limit
    assert received(agent, bench) == bench.control.state().spent_bytes
    desire(bench, package)
    poll_until_quiet(agent)
    bench.wait(agent, STALL_S + 2)
    wait_until(agent, lambda: agent._models[MODEL].host.state.lifecycle == "TRIAL")
