"""A real process that fetches and stages is killed at random moments: never a half slot, never fetched for ever."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

from support.packages import TFLITE, build

from device_agent.running_model import open_model
from device_agent.slots import SlotStore

OLD = build(1, tflite=TFLITE + bytes(4_000), chunk_bytes=256)
NEW = build(2, tflite=TFLITE + random.Random(1).randbytes(12_000), chunk_bytes=256)
WINDOW = 4

FETCHER = """
import pickle, sys
from pathlib import Path
from device_agent.download import Download
from device_agent.slots import SlotStore

store = SlotStore(Path(sys.argv[1]))
keep, digest, envelope, refs, chunks, window = pickle.loads(Path(sys.argv[2]).read_bytes())
store.sweep()
print("started", flush=True)
download = Download(store, refs, in_flight=window)
while wanted := sorted(download.wanted()):
    for chunk in wanted:
        print("fetched", *chunk, flush=True)
        assert download.offer(chunk, chunks[chunk])
print("staging", flush=True)
if not store.holds(digest, download.blobs()):
    store.stage(envelope, download.blobs(), keep)
print("staged", flush=True)
"""


def _run(lines: int, *args: str) -> list[str]:
    """Start the process, SIGKILL it when it has said so many lines; all that it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", FETCHER, *args],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.strip())
        if len(said) == lines:
            process.send_signal(signal.SIGKILL)
    assert process.wait(60) in (0, -signal.SIGKILL)
    return said


def test_whenever_it_is_killed_the_kept_model_is_whole_and_a_window_is_fetched_twice_at_most(
    tmp_path: Path,
) -> None:
    root, source = tmp_path / "tiny", tmp_path / "source"
    store = SlotStore(root)
    store.stage(OLD.envelope, OLD.blobs, None)
    refs = [NEW.manifest.artifacts[0].blob, NEW.manifest.observe, NEW.manifest.vectors]
    source.write_bytes(pickle.dumps((OLD.digest, NEW.digest, NEW.envelope, refs, NEW.chunks, WINDOW)))
    draw = random.Random(5)
    fetched: set[str] = set()
    kills = 0
    for _ in range(30):
        said = _run(draw.randrange(1, 12), str(root), str(source))
        mine = {line for line in said if line.startswith("fetched")}
        assert len(mine & fetched) <= WINDOW
        fetched |= mine
        assert open_model(store, OLD.digest, "linux", None).manifest == OLD.manifest
        if store.slot_of(NEW.digest) is not None:
            assert open_model(store, NEW.digest, "linux", None).manifest == NEW.manifest
        if said[-1] == "staged":
            break
        kills += 1
    else:
        said = _run(10_000, str(root), str(source))
    assert said[-1] == "staged"
    assert kills > 2
    assert open_model(store, NEW.digest, "linux", None).manifest == NEW.manifest
    assert store.slot_of(OLD.digest) != store.slot_of(NEW.digest)
