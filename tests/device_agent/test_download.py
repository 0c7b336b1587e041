"""Fetching blobs by chunks: resumes, fetches a window twice at most, believes digests only."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import Package, build

from device_agent import chunk_file
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


def whole(download: Download) -> dict[str, bytes]:
    """What it brought, read from where it lies."""
    return {name: path.read_bytes() for name, path in download.blobs().items()}


def fetch(download: Download, chunks: dict[Chunk, bytes], limit: int = 10_000) -> list[Chunk]:
    """Serve what is wanted, at most ``limit`` chunks; what was fetched, in order."""
    fetched: list[Chunk] = []
    while len(fetched) < limit and (wanted := sorted(download.wanted())):
        chunk = wanted[len(fetched) % len(wanted)]  # in some disorder, as a broker may
        assert download.offer(chunk, chunks[chunk])
        fetched.append(chunk)
    return fetched


def test_a_download_brings_every_blob_and_each_chunk_once(store: SlotStore) -> None:
    download = Download(store, refs())
    fetched = fetch(download, PACKAGE.chunks)
    assert download.complete()
    assert whole(download) == PACKAGE.blobs
    assert len(fetched) == len(set(fetched)) == len(PACKAGE.chunks) - 1  # all but the manifest
    assert download.received == sum(len(PACKAGE.chunks[chunk]) for chunk in fetched)


def test_no_more_than_a_few_are_in_flight(store: SlotStore) -> None:
    download = Download(store, refs(), in_flight=5)
    most = 0
    while wanted := download.wanted():
        most = max(most, len(wanted))
        chunk = sorted(wanted)[-1]
        download.offer(chunk, PACKAGE.chunks[chunk])
    assert download.complete()
    assert most == 5
    assert IN_FLIGHT == 16


@pytest.mark.parametrize("window", [1, 4, IN_FLIGHT])
@pytest.mark.parametrize("stopped_after", range(0, 28, 3))
def test_after_a_cut_at_most_one_window_is_fetched_again(
    store: SlotStore, stopped_after: int, window: int
) -> None:
    before = fetch(Download(store, refs(), in_flight=window), PACKAGE.chunks, stopped_after)
    resumed = Download(SlotStore(store._root), refs(), in_flight=window)
    after = fetch(resumed, PACKAGE.chunks)
    assert resumed.complete()
    assert len(set(before) & set(after)) < window
    assert whole(resumed) == PACKAGE.blobs


@pytest.mark.parametrize("stopped_after", range(0, 28, 3))
def test_after_a_stop_on_purpose_nothing_is_fetched_again(store: SlotStore, stopped_after: int) -> None:
    download = Download(store, refs())
    before = fetch(download, PACKAGE.chunks, stopped_after)
    download.flush()
    after = fetch(Download(SlotStore(store._root), refs()), PACKAGE.chunks)
    assert not set(before) & set(after)
    assert len(before) + len(after) == len(PACKAGE.chunks) - 1


def test_a_window_of_chunks_costs_one_fsync(store: SlotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = bytes(range(256)) * 100
    ref, listing = blob_ref(blob, 256)
    assert ref.chunk_list is not None
    assert listing is not None
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_mode), real(handle))[1]
    )
    download = Download(store, [ref])
    download.offer((ref.chunk_list.hex(), 0), listing)
    for index in range(100):
        download.offer((ref.hex, index), blob[index * 256 : (index + 1) * 256])
    assert download.complete()
    files = [mode for mode in synced if stat.S_ISREG(mode)]
    # A power cut takes a window at most: of it are the manifest and the list. The last chunks are synced in their slot.
    assert len(files) == 100 // (IN_FLIGHT - 2)


def test_blobs_that_a_slot_holds_are_not_fetched(store: SlotStore) -> None:
    store.stage(PACKAGE.envelope, PACKAGE.blobs, None)
    download = Download(store, refs())
    assert download.complete()
    assert download.wanted() == set()


def test_an_altered_chunk_stays_wanted_and_ends_the_download_when_it_keeps_coming(store: SlotStore) -> None:
    download = Download(store, refs())
    chunk = sorted(download.wanted())[0]
    altered = bytes(len(PACKAGE.chunks[chunk]))
    for _ in range(MAX_BAD_CHUNKS - 1):
        assert not download.offer(chunk, altered)
        assert chunk in download.wanted()
    with pytest.raises(BadChunk, match="does not match its digest"):
        download.offer(chunk, altered)


def test_one_altered_chunk_does_no_harm(store: SlotStore) -> None:
    download = Download(store, refs())
    download.offer(sorted(download.wanted())[0], b"altered")
    fetch(download, PACKAGE.chunks)
    assert whole(download) == PACKAGE.blobs


def test_a_chunk_of_another_length_is_refused_without_being_hashed_or_stored(
    store: SlotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = Download(store, refs())
    chunk = sorted(download.wanted())[0]
    hashed: list[int] = []
    real = hashlib.sha256
    monkeypatch.setattr(chunk_file.hashlib, "sha256", lambda data: (hashed.append(len(data)), real(data))[1])
    huge = PACKAGE.chunks[chunk] + bytes(10_000_000)
    for _ in range(MAX_BAD_CHUNKS - 1):
        assert not download.offer(chunk, huge)
    with pytest.raises(BadChunk, match=rf"has {len(huge)} bytes, not {len(PACKAGE.chunks[chunk])}"):
        download.offer(chunk, huge)
    assert not hashed
    assert not list(store._root.glob("incoming/*/data"))


def test_what_nobody_asked_for_is_not_taken(store: SlotStore) -> None:
    download = Download(store, refs())
    assert not download.offer(("ab" * 32, 0), b"unasked")
    chunk = sorted(download.wanted())[0]
    assert download.offer(chunk, PACKAGE.chunks[chunk])
    assert not download.offer(chunk, PACKAGE.chunks[chunk])  # twice


def test_a_chunk_that_was_spoilt_on_disk_is_fetched_again(store: SlotStore) -> None:
    download = Download(store, refs())
    model = refs()[0].hex
    spoilt = next(chunk for chunk in fetch(download, PACKAGE.chunks, 12) if chunk[0] == model)
    download.flush()
    with store.incoming(model).open("r+b") as file:
        file.seek(spoilt[1] * 256)
        file.write(b"spoilt")
    resumed = Download(store, refs())
    assert fetch(resumed, PACKAGE.chunks).count(spoilt) == 1
    assert whole(resumed) == PACKAGE.blobs


def test_a_chunk_list_of_the_wrong_length_is_refused(store: SlotStore) -> None:
    ref = refs()[0]
    listing = PACKAGE.chunks[(ref.chunk_list.hex(), 0)][:-32]  # type: ignore[union-attr]
    short = replace(ref, chunk_list=hashlib.sha256(listing).digest())
    download = Download(store, [short])
    with pytest.raises(BadChunk, match=r"has \d+ bytes, not"):
        for _ in range(MAX_BAD_CHUNKS):
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
    assert not store.incoming(ref.hex).exists()


def test_an_empty_blob_needs_no_chunk(store: SlotStore) -> None:
    ref, _ = blob_ref(b"", 256)
    download = Download(store, [ref])
    assert download.complete()
    assert whole(download) == {ref.hex: b""}


def test_a_chunk_that_left_the_window_while_it_was_on_its_way_is_taken(store: SlotStore) -> None:
    """The chunk list comes first and fills the window with the blob's chunks: the others are not fetched twice."""
    download = Download(store, refs(), in_flight=3)
    first, *others = [chunk for chunk, _ in download.next_pieces()]
    download.offer(first, PACKAGE.chunks[first])
    assert not set(others) & download.wanted()
    for chunk in others:
        assert download.lacks(chunk)
        assert download.offer(chunk, PACKAGE.chunks[chunk])
        assert not download.lacks(chunk)
