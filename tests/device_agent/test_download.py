"""Fetching blobs by chunks: resumes, never fetches twice, believes digests only."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import Package, build

from device_agent.download import IN_FLIGHT, MAX_BAD_CHUNKS, BadChunk, Chunk, Download
from device_agent.slots import SlotStore
from edgeops.core.manifest import BlobRef, blob_ref

PACKAGE = build(chunk_bytes=256)


@pytest.fixture
def store(tmp_path: Path) -> SlotStore:
    return SlotStore(tmp_path)


def refs(package: Package = PACKAGE) -> list[BlobRef]:
    manifest = package.manifest
    return [manifest.artifacts[0].blob, manifest.observe, manifest.vectors]


def fetch(download: Download, chunks: dict[Chunk, bytes], limit: int = 10_000) -> list[Chunk]:
    """Serve what is wanted, at most ``limit`` chunks; what was fetched, in order."""
    fetched: list[Chunk] = []
    while len(fetched) < limit and (wanted := sorted(download.wanted())):
        assert download.offer(wanted[0], chunks[wanted[0]])
        fetched.append(wanted[0])
    return fetched


def test_a_download_brings_every_blob_and_each_chunk_once(store: SlotStore) -> None:
    download = Download(store, refs())
    fetched = fetch(download, PACKAGE.chunks)
    assert download.complete()
    assert download.blobs() == PACKAGE.blobs
    assert len(fetched) == len(set(fetched)) == len(PACKAGE.chunks) - 1  # all but the manifest
    assert download.received == sum(len(PACKAGE.chunks[chunk]) for chunk in fetched)
    assert download.progress()[0] == download.progress()[1]


def test_no_more_than_a_few_are_in_flight(store: SlotStore) -> None:
    download = Download(store, refs())
    while wanted := download.wanted():
        assert len(wanted) <= IN_FLIGHT
        chunk = sorted(wanted)[-1]
        download.offer(chunk, PACKAGE.chunks[chunk])
    assert download.complete()


@pytest.mark.parametrize("stopped_after", range(0, 28, 3))
def test_after_an_interruption_nothing_that_was_stored_is_fetched_again(
    store: SlotStore, stopped_after: int
) -> None:
    before = fetch(Download(store, refs()), PACKAGE.chunks, stopped_after)
    resumed = Download(SlotStore(store._root), refs())
    after = fetch(resumed, PACKAGE.chunks)
    assert resumed.complete()
    assert not set(before) & set(after)
    assert resumed.blobs() == PACKAGE.blobs


def test_blobs_that_a_slot_holds_are_not_fetched(store: SlotStore) -> None:
    store.stage(PACKAGE.envelope, PACKAGE.blobs, None)
    download = Download(store, refs())
    assert download.complete()
    assert download.wanted() == set()


def test_an_altered_chunk_stays_wanted_and_ends_the_download_when_it_keeps_coming(store: SlotStore) -> None:
    download = Download(store, refs())
    chunk = sorted(download.wanted())[0]
    for _ in range(MAX_BAD_CHUNKS - 1):
        assert not download.offer(chunk, b"altered")
        assert chunk in download.wanted()
    with pytest.raises(BadChunk, match="does not match its digest"):
        download.offer(chunk, b"altered")


def test_one_altered_chunk_does_no_harm(store: SlotStore) -> None:
    download = Download(store, refs())
    download.offer(sorted(download.wanted())[0], b"altered")
    fetch(download, PACKAGE.chunks)
    assert download.blobs() == PACKAGE.blobs


def test_what_nobody_asked_for_is_not_taken(store: SlotStore) -> None:
    download = Download(store, refs())
    assert not download.offer(("ab" * 32, 0), b"unasked")
    chunk = sorted(download.wanted())[0]
    assert download.offer(chunk, PACKAGE.chunks[chunk])
    assert not download.offer(chunk, PACKAGE.chunks[chunk])  # twice


def test_a_chunk_that_was_spoilt_on_disk_is_fetched_again(store: SlotStore) -> None:
    fetched = fetch(Download(store, refs()), PACKAGE.chunks, 12)
    spoilt = fetched[-1]
    (store._root / "incoming" / spoilt[0] / str(spoilt[1])).write_bytes(b"spoilt")
    resumed = Download(store, refs())
    assert spoilt in fetch(resumed, PACKAGE.chunks)
    assert resumed.complete()


def test_a_chunk_list_of_the_wrong_length_is_refused(store: SlotStore) -> None:
    ref = refs()[0]
    listing = PACKAGE.chunks[(ref.chunk_list.hex(), 0)][:-32]  # type: ignore[union-attr]
    short = replace(ref, chunk_list=hashlib.sha256(listing).digest())
    download = Download(store, [short])
    with pytest.raises(BadChunk, match="the chunk list"):
        download.offer((hashlib.sha256(listing).hexdigest(), 0), listing)


def test_chunks_that_do_not_make_the_blob_are_refused_and_dropped(store: SlotStore) -> None:
    blob, other = bytes(600), bytes(599) + b"x"
    ref, _ = blob_ref(blob, 256)
    wrong, listing = blob_ref(other, 256)
    assert listing is not None
    download = Download(store, [replace(ref, chunk_list=wrong.chunk_list)])
    download.offer((wrong.chunk_list.hex(), 0), listing)  # type: ignore[union-attr]
    with pytest.raises(BadChunk, match="does not match its digest though its chunks do"):
        for index in range(3):
            download.offer((ref.hex, index), other[256 * index : 256 * (index + 1)])
    assert store.chunk(ref.hex, 0, hashlib.sha256(other[:256]).digest()) is None


def test_an_empty_blob_needs_no_chunk(store: SlotStore) -> None:
    ref, _ = blob_ref(b"", 256)
    download = Download(store, [ref])
    assert download.complete()
    assert download.blobs() == {ref.hex: b""}
