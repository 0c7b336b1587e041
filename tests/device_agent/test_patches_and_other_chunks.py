"""A blob is made by a patch or fetched in other chunks where a desired state offers that, and whole where it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.packages import Bench, poll_until_quiet
from support.transfers import (
    CHUNK,
    FIRST,
    NEW,
    OLD,
    SECOND,
    STALL_S,
    chunks_of,
    detours,
    patch_of,
    publish_blob,
    received,
    updated,
)
from support.updated_agent import desire, model_of, run_trial

from edgeops.core.manifest import blob_ref
from edgeops.core.messages import Transfer
from edgeops.core.patches import make_patch

PUBLISHED = (FIRST,)


def test_a_patch_makes_the_model_out_of_the_one_that_runs(bench: Bench) -> None:
    agent = updated(bench)
    before = received(agent, bench)
    bench.control.publish(SECOND, without=chunks_of(NEW))
    patch = patch_of(bench)
    desire(bench, SECOND, transfers=(patch,))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest
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
        (_junk, "failed: the patch"),
        (_bomb, "the patch makes more than it should"),
        (_altered, "has 7 bytes, not"),
        (_unlisted, "without its chunk list"),
    ],
    ids=["codec", "base", "junk", "too large", "altered chunk", "no chunk list"],
)
def test_a_patch_that_fails_in_any_way_leads_to_the_whole_blob_and_is_told(
    bench: Bench, spoilt: Callable[[Bench], Transfer], words: str
) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    desire(bench, SECOND, transfers=(spoilt(bench),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest
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
    assert model_of(bench).confirmed == SECOND.digest
    assert ["does not match its digest" in told for told in detours(bench)] == [True]


def test_a_patch_that_never_comes_leads_to_the_whole_blob_after_the_stall_time(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    patch = patch_of(bench)
    bench.control.put_chunk((patch.blob.hex, 0), b"")
    desire(bench, SECOND, transfers=(patch,))
    bench.wait(agent, STALL_S - 5)
    assert model_of(bench).lifecycle == "DOWNLOADING"
    bench.wait(agent, 30)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest
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
    assert model_of(bench).confirmed == SECOND.digest
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
    assert model_of(bench).confirmed == SECOND.digest
    assert received(again, bench) == len(made) - 512


def test_a_blob_that_was_cut_otherwise_is_fetched_in_its_new_chunks(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND, without=chunks_of(NEW))
    other = publish_blob(bench, SECOND.blobs[NEW.hex], 1024)
    desire(bench, SECOND, transfers=(Transfer(NEW.sha256, other),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest


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
    assert model_of(bench).confirmed == SECOND.digest
    assert received(agent, bench) - before == NEW.size - 20 * CHUNK + 32 * other.chunks


def test_a_cut_of_another_blob_is_not_taken_for_the_one_that_was_meant(bench: Bench) -> None:
    agent = updated(bench)
    bench.control.publish(SECOND)
    foreign = publish_blob(bench, b"foreign" * 5000, 1024)
    desire(bench, SECOND, transfers=(Transfer(NEW.sha256, foreign),))
    poll_until_quiet(agent)
    run_trial(agent, bench)
    assert model_of(bench).confirmed == SECOND.digest
