"""Write ``tests/vectors/update/messages.bin``: all that a broker holds for a device that is updated, signed.

Versions 1 and 2 of the tiny model as execution plans, a version 3 whose self-test another model wrote, a version 4 with
a higher security counter, a desired state for each, and a trust root that replaces the key of desired states; the C
agent's tests read them. Run from the repository: ``PYTHONPATH=.:tests python tests/vectors/generate_update.py``.
Deterministic: the same code gives the same file, and a test says when it is not current.
"""

from __future__ import annotations

import struct
from pathlib import Path

from support.packages import (
    DEVICE,
    FLEET,
    KEYS,
    MODEL,
    TEN_A_WINDOW,
    TFLITE,
    Package,
    build,
    key,
    self_test,
    trust_root,
)

from edgeops.compile.compiler import compile_plan
from edgeops.core import topics
from edgeops.core.codec import encode
from edgeops.core.messages import Desired, DesiredModel
from edgeops.core.signing import Role, sign, sign_root

FILE = Path(__file__).parent / "update" / "messages.bin"
CHUNK_BYTES = 512


def package(version: int, flip: bool = False, security_counter: int = 1) -> Package:
    """One version of the tiny model, for microcontrollers."""
    compiled = compile_plan(TFLITE)
    return build(
        version,
        security_counter=security_counter,
        execution=(compiled.plan, compiled.arena_bytes),
        vectors=self_test(flip=flip),
        chunk_bytes=CHUNK_BYTES,
    )


def desired(generation: int, wanted: Package | None, shadow: int = 0, by: str = "deploy") -> bytes:
    """The signed desired state that names a package."""
    model = DesiredModel(report=TEN_A_WINDOW, shadow_inferences=shadow)
    if wanted is not None:
        model = DesiredModel(
            wanted.digest, len(wanted.envelope), report=TEN_A_WINDOW, shadow_inferences=shadow, attempt=0
        )
    document = Desired(FLEET, DEVICE, generation, {MODEL: model})
    return sign(encode(document), Desired.PURPOSE, [key(by)])


def messages() -> list[tuple[str, bytes]]:
    """Name and payload; what is not a topic is published by the test when it wants to."""
    first, second, third = package(1), package(2), package(3, flip=True)
    hardened = package(4, security_counter=2)
    root_keys = [KEYS[Role.ROOT]]
    found = [
        ("trust", sign_root(trust_root(), root_keys)),
        ("trust/2", sign_root(trust_root(version=2, deploy=key("deploy-2")), root_keys)),
        ("desired/rotated", desired(6, second, by="deploy-2")),
        ("desired/hardened", desired(3, hardened)),
        ("desired/1", desired(1, first)),
        ("desired/2", desired(2, second)),
        ("desired/3", desired(3, third)),
        ("desired/back", desired(4, first)),
        ("desired/again", desired(5, second)),
        ("desired/shadow", desired(2, second, shadow=6)),
        ("digest/1", first.digest),
        ("digest/2", second.digest),
        ("digest/3", third.digest),
        ("digest/4", hardened.digest),
    ]
    chunks = {chunk: data for each in (first, second, third, hardened) for chunk, data in each.chunks.items()}
    named = {blob for each in (first, second, third, hardened) for blob in _needed(each)}
    found += [(topics.chunk(FLEET, *chunk), chunks[chunk]) for chunk in sorted(chunks) if chunk[0] in named]
    return found


def _needed(each: Package) -> set[str]:
    """The blobs that a microcontroller fetches."""
    artifact = each.manifest.artifact("plan", "any")
    assert artifact is not None
    refs = (artifact.blob, each.manifest.observe, each.manifest.vectors)
    lists = {ref.chunk_list.hex() for ref in refs if ref.chunk_list is not None}
    return {each.digest.hex(), *(ref.hex for ref in refs), *lists}


def content() -> bytes:
    """The file: for each message the length of its name, its length, name, payload; little-endian."""
    return b"".join(
        struct.pack("<II", len(name), len(payload)) + name.encode() + payload for name, payload in messages()
    )


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(content())
