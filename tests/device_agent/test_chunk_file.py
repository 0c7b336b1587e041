"""A blob under way on disk: whatever was interrupted, what is trusted is what the digests say."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import chunk_file
from device_agent.chunk_file import ChunkFile
from edgeops.core.errors import StorageError

CHUNK = 64
BLOB = random.Random(1).randbytes(CHUNK * 20 + 17)
PIECES = [BLOB[start : start + CHUNK] for start in range(0, len(BLOB), CHUNK)]


def opened(path: Path, blob: bytes = BLOB, chunk_bytes: int = CHUNK) -> ChunkFile:
    pieces = [blob[start : start + chunk_bytes] for start in range(0, len(blob), chunk_bytes)]
    digests = [hashlib.sha256(piece).digest() for piece in pieces]
    return ChunkFile(path, len(blob), chunk_bytes, digests)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "incoming" / "ab" / "data"


def test_chunks_in_any_order_make_the_blob(path: Path) -> None:
    file = opened(path)
    order = list(range(len(PIECES)))
    random.Random(2).shuffle(order)
    for count, index in enumerate(order):
        assert file.offer(index, PIECES[index])
        if count % 5 == 4:
            file.flush()
    file.flush()
    assert path.read_bytes() == BLOB
    assert [entry.name for entry in path.parent.iterdir()] == ["data"]


def test_the_room_is_taken_with_the_first_window(path: Path) -> None:
    file = opened(path)
    file.offer(0, PIECES[0])
    file.flush()
    assert path.stat().st_size >= len(BLOB)
    assert path.stat().st_blocks * 512 >= len(BLOB)


@given(stored=st.sets(st.integers(0, len(PIECES) - 1)), lost=st.sets(st.integers(0, len(PIECES) - 1)))
def test_what_was_written_is_there_again_and_what_was_not_is_missing(
    tmp_path_factory: pytest.TempPathFactory, stored: set[int], lost: set[int]
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "incoming" / "ab" / "data"
    file = opened(path)
    for index in stored:
        assert file.offer(index, PIECES[index])
    if stored:
        file.flush()
    for index in lost - stored:
        assert file.offer(index, PIECES[index])  # never flushed
    again = opened(path)
    assert set(again.missing) == set(range(len(PIECES))) - stored


@given(damage=st.binary(min_size=1, max_size=200), at=st.integers(0, len(BLOB) + 6))
def test_whatever_is_spoilt_on_disk_only_what_matches_is_trusted(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int
) -> None:
    """Data and bitmap alike: a bitmap that claims too much is not believed, one that is gone costs nothing."""
    path = tmp_path_factory.mktemp("chunks") / "incoming" / "ab" / "data"
    file = opened(path)
    for index in range(0, len(PIECES), 2):
        file.offer(index, PIECES[index])
    file.flush()
    raw = bytearray(path.read_bytes())
    raw[at : at + len(damage)] = damage
    path.write_bytes(raw)
    again = opened(path)
    for index, piece in enumerate(PIECES):
        if index not in again.missing:
            assert bytes(raw[index * CHUNK : index * CHUNK + len(piece)]) == piece
    for index in list(again.missing):
        assert again.offer(index, PIECES[index])
    again.flush()
    assert path.read_bytes() == BLOB


@pytest.mark.parametrize("size", [0, 1, len(BLOB) - 1, len(BLOB), len(BLOB) + 1, len(BLOB) + 500])
def test_a_file_of_any_size_is_gone_on_with(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes((BLOB + bytes(500))[:size])
    file = opened(path)
    assert len(file.missing) == len(PIECES) - sum(1 for end in _ends() if end <= size)
    for index in list(file.missing):
        assert file.offer(index, PIECES[index])
    file.flush()
    assert path.read_bytes() == BLOB


def _ends() -> list[int]:
    return [min(len(BLOB), (index + 1) * CHUNK) for index in range(len(PIECES))]


def test_another_cut_of_the_same_blob_goes_on_with_what_is_there(path: Path) -> None:
    file = opened(path)
    for index in range(10):
        file.offer(index, PIECES[index])
    file.flush()
    other = opened(path, chunk_bytes=CHUNK // 2)
    assert min(other.missing) == 20
    assert other.offer(20, BLOB[20 * 32 : 21 * 32])
    other.flush()
    assert min(opened(path, chunk_bytes=CHUNK // 2).missing) == 21


@pytest.mark.parametrize("wrong", [b"", b"x", PIECES[3] + b"x", PIECES[4], bytes(CHUNK)])
def test_another_chunk_is_not_taken(path: Path, wrong: bytes) -> None:
    file = opened(path)
    assert not file.offer(3, wrong)
    assert 3 in file.missing
    assert file.volatile == 0


# -- a disk that fails


@pytest.mark.parametrize("operation", ["open", "posix_fallocate", "ftruncate", "pwrite", "fsync"])
@pytest.mark.parametrize("allowed", range(5))
def test_a_full_disk_at_any_step_is_a_storage_error_and_the_next_start_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, allowed: int
) -> None:
    file = opened(path)
    calls = 0
    real = getattr(os, operation)

    def full(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls > allowed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    failed = False
    durable: set[int] = set()
    with monkeypatch.context() as patched:
        patched.setattr(chunk_file.os, operation, full)
        for index, piece in enumerate(PIECES):
            assert file.offer(index, piece)
            if file.volatile == 4 or not file.missing:
                window = set(file._buffer)
                try:
                    file.flush()
                except StorageError as error:
                    assert "No space left on device" in error.message
                    assert error.fix is not None
                    failed = True
                    break
                durable |= window
    again = opened(path)
    assert not durable & set(again.missing)  # what was said to be written is there
    for index in list(again.missing):
        assert again.offer(index, PIECES[index])
    again.flush()
    assert path.read_bytes() == BLOB
    assert failed or calls <= allowed


def test_a_write_that_takes_a_part_only_is_gone_on_with(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(chunk_file.os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:7], at))
    file = opened(path)
    for index, piece in enumerate(PIECES):
        file.offer(index, piece)
    file.flush()
    assert path.read_bytes() == BLOB


def test_a_file_system_without_preallocation_does_as_well(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(chunk_file.os, "posix_fallocate", unsupported)
    file = opened(path)
    file.offer(0, PIECES[0])
    file.flush()
    assert 0 not in opened(path).missing


# -- a real process that is killed

WRITER = """
import hashlib, sys
from pathlib import Path
from device_agent.chunk_file import ChunkFile

path, blob, size, window = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3]), int(sys.argv[4])
pieces = [blob[at:at + size] for at in range(0, len(blob), size)]
file = ChunkFile(path, len(blob), size, [hashlib.sha256(piece).digest() for piece in pieces])
print("had", len(pieces) - len(file.missing), flush=True)
for index in list(file.missing):
    assert file.offer(index, pieces[index])
    print("fetched", index, flush=True)
    if file.volatile == window or not file.missing:
        file.flush()
        print("wrote", flush=True)
"""


def _run_killed_at(lines: int, *args: str) -> list[str]:
    """Start the writer, SIGKILL it when it has said so many lines; what it said until it was gone."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, *args],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert writer.stdout is not None
    said = []
    for line in writer.stdout:
        said.append(line.strip())
        if len(said) == lines:
            writer.send_signal(signal.SIGKILL)
    assert writer.wait(30) in (0, -signal.SIGKILL)
    return said


def test_a_process_that_is_killed_again_and_again_fetches_a_window_twice_at_most(tmp_path: Path) -> None:
    window, size = 4, 256
    blob = random.Random(3).randbytes(size * 60)
    source = tmp_path / "source"
    source.write_bytes(blob)
    path = tmp_path / "incoming" / "ab" / "data"
    draw = random.Random(4)
    fetched: set[str] = set()
    for _ in range(40):
        said = _run_killed_at(draw.randrange(2, 14), str(path), str(source), str(size), str(window))
        mine = {line for line in said if line.startswith("fetched")}
        assert len(mine & fetched) <= window
        fetched |= mine
        if path.exists() and path.read_bytes() == blob:
            break
    assert path.read_bytes() == blob
