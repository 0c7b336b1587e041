"""Two packages whose models are alike but for half a percent, and a device that fetches the second."""

from __future__ import annotations

import random
from dataclasses import replace

from device_agent.agent import Agent
from device_agent.fetching import STALL_MS
from edgeops.core import topics
from edgeops.core.manifest import BlobRef, blob_ref
from edgeops.core.messages import Transfer
from edgeops.core.patches import make_patch
from support.packages import TFLITE, Bench, Package, build
from support.updated_agent import confirmed

CHUNK = 4096
PADDING = random.Random(1).randbytes(100_000)
OTHER_PADDING = PADDING[:60_000] + random.Random(2).randbytes(500) + PADDING[60_500:]
FIRST = build(1, tflite=TFLITE + PADDING, chunk_bytes=CHUNK)
SECOND = build(2, tflite=TFLITE + OTHER_PADDING, chunk_bytes=CHUNK)
OLD, NEW = (package.manifest.artifacts[0].blob for package in (FIRST, SECOND))
STALL_S = STALL_MS // 1000


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


def patch_of(bench: Bench, **changes: object) -> Transfer:
    """A patch from the first model to the second, published."""
    ref = publish_blob(bench, make_patch("difference", FIRST.blobs[OLD.hex], SECOND.blobs[NEW.hex]))
    return replace(Transfer(NEW.sha256, ref, OLD.sha256, "difference"), **changes)  # type: ignore[arg-type]


def updated(bench: Bench) -> Agent:
    """An agent that runs the first package, with what it said so far forgotten."""
    return confirmed(bench, FIRST)


def received(agent: Agent, bench: Bench) -> int:
    """The bytes that the device says it fetched since it started; it is made to say so now."""
    agent._published = None
    agent.poll()
    return bench.control.state().received_bytes


def subscribed(bench: Bench) -> set[tuple[str, int]]:
    """The chunks that the device asks for now."""
    assert bench.transport is not None
    parsed = [topics.parse(topic) for topic in bench.transport._filters if "/blob/" in topic]
    return {(topic.sha256, topic.index) for topic in parsed if isinstance(topic, topics.ChunkTopic)}


def detours(bench: Bench) -> list[str]:
    """Why each way to a blob was left for another one."""
    return [event.reason or "" for event in bench.control.events() if event.event == "detour"]
