"""Blobs over HTTP: bounded, resumed where they stopped, never from an address that is not allowed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from support.web_server import Site, web_server

from device_agent.blob_fetch import Lack
from device_agent.web_source import Piece, WebSource, check_address

BLOB = random.Random(1).randbytes(1000)
NAME = "ab" * 32
LACK = Lack(NAME, len(BLOB), 256, 0)
ALL = [((NAME, index), BLOB[index * 256 : (index + 1) * 256]) for index in range(4)]
NO_LIMIT = 10**9


@pytest.fixture
def site() -> Iterator[Site]:
    with web_server() as site:
        site.files[f"/{NAME}"] = BLOB
        yield site


def fetched(source: WebSource, lack: Lack = LACK, limit: int = NO_LIMIT) -> list[Piece]:
    source.start(lack, limit)
    pieces: list[Piece] = []
    end = time.monotonic() + 20
    while source.busy:
        assert time.monotonic() < end, "the worker does not end"
        pieces += source.take()
        time.sleep(0.002)
    pieces += source.take()
    return pieces


def test_a_blob_comes_in_pieces(site: Site) -> None:
    source = WebSource([site.address + "/"], 16)
    assert fetched(source) == ALL
    assert source.problem is None


def test_only_what_is_missing_is_asked_for(site: Site) -> None:
    assert fetched(WebSource([site.address], 16), Lack(NAME, 1000, 256, 2)) == ALL[2:]
    assert site.requests == [(f"/{NAME}", "bytes=512-")]


def test_a_server_without_ranges_serves_from_the_start(site: Site) -> None:
    site.ranges = False
    assert fetched(WebSource([site.address], 16), Lack(NAME, 1000, 256, 2)) == ALL


def test_no_more_than_the_limit_is_read_in_whole_chunks(site: Site) -> None:
    assert fetched(WebSource([site.address], 16), limit=600) == ALL[:2]
    assert fetched(WebSource([site.address], 16), limit=1000) == ALL


def test_the_next_address_is_tried(site: Site) -> None:
    source = WebSource([site.address + "/elsewhere", site.address], 16)
    assert fetched(source) == ALL
    assert [path for path, _ in site.requests] == [f"/elsewhere/{NAME}", f"/{NAME}"]


@pytest.mark.parametrize(
    ("body", "words"), [(BLOB + b"x", "1001 bytes where 1000"), (BLOB[:900], "900 bytes where 1000")]
)
def test_a_blob_of_another_size_is_refused_before_it_is_read(site: Site, body: bytes, words: str) -> None:
    site.files[f"/{NAME}"] = body
    source = WebSource([site.address], 16)
    assert fetched(source) == []
    assert words in (source.problem or "")


def test_an_answer_that_ends_too_early_leaves_what_came(site: Site) -> None:
    site.cut_after = 600
    source = WebSource([site.address], 16)
    assert fetched(source) == ALL[:2]
    assert source.problem is not None


def test_a_blob_that_is_nowhere_is_said(site: Site) -> None:
    site.files.clear()
    source = WebSource([site.address], 16)
    assert fetched(source) == []
    assert "404" in (source.problem or "")


def test_redirects_are_followed_a_few_times_and_to_allowed_addresses_only(site: Site) -> None:
    site.redirects[f"/a/{NAME}"] = f"/{NAME}"
    site.redirects[f"/b/{NAME}"] = f"http://example.org/{NAME}"
    site.redirects[f"/c/{NAME}"] = "file:///etc/hostname"
    site.redirects[f"/d/{NAME}"] = f"/d/{NAME}"
    assert fetched(WebSource([site.address + "/a"], 16)) == ALL
    for path in "bcd":
        source = WebSource([f"{site.address}/{path}"], 16)
        assert fetched(source) == []
        assert source.problem is not None
    assert len([path for path, _ in site.requests if path.startswith("/d/")]) <= 5


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org",
        "ftp://127.0.0.1",
        "file:///etc",
        "https://",
        "//x",
        "",
        "http://127.0.0.1.example.org",
    ],
)
def test_an_address_that_is_not_https_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="only https"):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["https://example.org/blobs", "http://localhost:8000", "http://[::1]:1/x"]
)
def test_https_and_this_host_are_allowed(address: str) -> None:
    check_address(address)


def test_the_worker_reads_no_further_than_what_was_taken_and_ends_when_it_is_closed(site: Site) -> None:
    source = WebSource([site.address], 1)
    source.start(LACK, NO_LIMIT)
    first = []
    end = time.monotonic() + 20
    while not first and time.monotonic() < end:
        first = [piece for _, piece in zip(range(1), source.take(), strict=False)]
    assert first == ALL[:1]
    source.close()
    assert source._worker is not None
    source._worker.join(20)
    assert not source._worker.is_alive()
    assert len(list(source.take())) <= 2


def test_taking_never_waits() -> None:
    assert list(WebSource(["https://example.org"], 16).take()) == []
