"""Write ``tests/vectors/trust/*.json``: trust roots and signed documents, and whether a device takes them.

Run from the repository: ``PYTHONPATH=. python tests/vectors/generate_trust.py``. Deterministic: the same code gives the
same files, and a test says when they are not current.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeops.core.codec import dump, encode
from edgeops.core.errors import EdgeOpsError
from edgeops.core.manifest import (
    Artifact,
    BlobRef,
    Manifest,
    RawContract,
    Step,
    TensorContract,
    Trial,
    open_manifest,
    seal,
)
from edgeops.core.messages import CapturePolicy, Desired, DesiredModel, ReportPolicy, Transfer
from edgeops.core.selftest import SelfTest
from edgeops.core.signing import (
    COSE_SIGN_TAG,
    Role,
    TrustRoot,
    accept_first_root,
    accept_next_root,
    key_id,
    public_bytes,
    sign,
    sign_root,
    verify,
)

FOLDER = Path(__file__).parent / "trust"
DIGEST = bytes(range(32))
ONE_CHUNK = BlobRef(DIGEST, 4_000, 4096)
MANY_CHUNKS = BlobRef(bytes(reversed(DIGEST)), 100_000, 4096, DIGEST)


def key(number: int) -> Ed25519PrivateKey:
    """A key from a number; for tests only."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"edgeops test key %d" % number).digest())


def trust_root(
    version: int,
    roles: dict[str, Sequence[int]],
    threshold: int = 1,
    fleet: str = "plant",
    wrong_id: bool = False,
) -> TrustRoot:
    """A root of the keys with these numbers; with ``wrong_id`` each key's id names the key before it."""
    numbers = sorted({number for those in roles.values() for number in those})
    ids = {number: key_id(public_bytes(key(number))) for number in numbers}
    keys = {ids[number]: public_bytes(key(number - 1 if wrong_id else number)) for number in numbers}
    return TrustRoot(
        fleet, version, threshold, keys, {role: tuple(ids[n] for n in those) for role, those in roles.items()}
    )


def accepts(check: Callable[..., object], *arguments: object) -> bool:
    """Whether a check of ``edgeops.core.signing`` raises nothing."""
    try:
        check(*arguments)
    except EdgeOpsError:
        return False
    return True


ROLES: dict[str, Sequence[int]] = {"root": [1, 2], "release": [3, 4, 5], "deploy": [6]}
FIRST = trust_root(1, ROLES)
SECOND = trust_root(2, {"root": [2, 7], "release": [4, 5], "deploy": [6, 8], "audit": [9]})


def roots() -> list[dict[str, object]]:
    """Roots: each alone, and after ``first`` with the root keys of its signers."""
    twice = trust_root(2, ROLES, threshold=2)
    listed = {
        "first": sign_root(FIRST, [key(1)]),
        "first_by_another_of_its_keys": sign_root(FIRST, [key(2)]),
        "first_by_a_stranger": sign_root(FIRST, [key(99)]),
        "first_by_a_release_key": sign_root(FIRST, [key(3)]),
        "unsigned": sign_root(FIRST, []),
        "second": sign_root(SECOND, [key(1), key(7)]),
        "second_by_a_key_of_both": sign_root(SECOND, [key(2)]),
        "second_by_the_old_keys_only": sign_root(SECOND, [key(1)]),
        "second_by_the_new_keys_only": sign_root(SECOND, [key(7)]),
        "version_left_out": sign_root(trust_root(3, ROLES), [key(1)]),
        "another_fleet": sign_root(trust_root(2, ROLES, fleet="other"), [key(1)]),
        "same_version_other_keys": sign_root(trust_root(1, {**ROLES, "deploy": [8]}), [key(1)]),
        "threshold_of_two_by_one": sign_root(twice, [key(1)]),
        "threshold_of_two_by_one_twice": sign_root(twice, [key(1), key(1)]),
        "threshold_of_two_by_two": sign_root(twice, [key(1), key(2)]),
        "threshold_of_none": sign_root(trust_root(2, ROLES, threshold=0), []),
        "ids_of_other_keys": sign_root(trust_root(2, ROLES, wrong_id=True), [key(1)]),
        "for_another_purpose": sign(encode(SECOND), "manifest", [key(1), key(7)]),
    }
    return [
        {
            "name": name,
            "envelope": envelope.hex(),
            "first": accepts(accept_first_root, envelope),
            "next": accepts(accept_next_root, FIRST, envelope),
        }
        for name, envelope in listed.items()
    ]


def manifests() -> list[Manifest]:
    """Manifests with everything that one can hold."""
    image = TensorContract((28, 28, 1), "int8", 0x800001, -31, -128, "1")
    scores = TensorContract((10,), "int8", 0x800000, -31, -128, "probability")
    steps = (Step("grey", ()), Step("scale", (3_921_569, -(2**63))), Step("resize", (2**63 - 1, 0)))
    plain = Manifest(
        model="digits",
        version=3,
        security_counter=2**32 - 1,
        min_agent=(0, 1),
        artifacts=(
            Artifact("tflite", "any", MANY_CHUNKS),
            Artifact("plan", "cortex-m7", MANY_CHUNKS, 50_000),
            Artifact("plan", "any", ONE_CHUNK, 16_200),
            Artifact("plan", "cortex-m4", MANY_CHUNKS, 1),
        ),
        input=image,
        output=scores,
        output_kind="classes",
        labels=tuple("0123456789"),
        preprocessing=steps,
        observe=ONE_CHUNK,
        vectors=BlobRef(DIGEST, 0, 256),
        trial=Trial(50, 2),
    )
    series = TensorContract((640,), "int8", 0xFFFFFF, -24, 127, "g")
    anomaly = Manifest(
        model="bearing",
        version=1,
        security_counter=0,
        min_agent=(1, 2, 65_535),
        artifacts=(Artifact("plan", "cortex-m4", ONE_CHUNK),),
        input=series,
        output=series,
        output_kind="reconstruction",
        labels=("normal", "anomaly"),
        preprocessing=(Step("fft_bands", tuple(range(-8, 8))),),
        observe=ONE_CHUNK,
        vectors=MANY_CHUNKS,
        trial=Trial(0, 0, 3600),
        source=RawContract((2048, 3), "g", 1_000_000),
        threshold=2**48 - 1,
        sources=("https://example.org/blobs",),
    )
    bare = Manifest(
        "a", 0, 0, (), (), TensorContract((), "", 0, -(2**15), 2**15 - 1, ""), scores, "logits", (), (),
        ONE_CHUNK, ONE_CHUNK, Trial(0, 0), RawContract((), ""), 0,
    )  # fmt: skip
    return [plain, anomaly, bare]


def refused_manifests() -> dict[str, bytes]:
    """Payloads that decode, and name what no device fetches."""
    plain = manifests()[0]
    blobs = {
        "chunks_too_small": BlobRef(DIGEST, 10, 255),
        "chunks_too_large": BlobRef(DIGEST, 10, 65_537),
        "too_large": BlobRef(DIGEST, 64 * 1024 * 1024 + 1, 65_536, DIGEST),
        "without_its_chunk_list": BlobRef(DIGEST, 4097, 4096),
    }
    return {
        **{f"observe_{name}": encode(dataclasses.replace(plain, observe=ref)) for name, ref in blobs.items()},
        **{f"vectors_{name}": encode(dataclasses.replace(plain, vectors=ref)) for name, ref in blobs.items()},
        **{
            f"artifact_{name}": encode(
                dataclasses.replace(plain, artifacts=(Artifact("tflite", "any", ref),))
            )
            for name, ref in blobs.items()
        },
    }


def desired_states() -> list[Desired]:
    """Desired states for a device with one model, ``digits``."""
    cut = Transfer(DIGEST, BlobRef(DIGEST, 100_000, 1024, DIGEST))
    patch = Transfer(DIGEST, ONE_CHUNK, bytes(reversed(DIGEST)), "aligned")
    model = DesiredModel(
        DIGEST,
        900,
        ReportPolicy(50, 0, 65_535),
        CapturePolicy(250, 100),
        True,
        (patch, cut, patch, cut),
        500,
        3,
        9,
    )
    return [
        Desired("plant", "cam-01", 3, {"digits": model, "a": DesiredModel(), "words": model}, 2**64 - 1),
        Desired("plant", "cam-01", 2**32 - 1, {"digits": DesiredModel()}),
        Desired("plant", "cam-01", 0, {"words": model}),
        Desired("", "", 0, {}),
    ]


def documents() -> list[dict[str, object]]:
    """Signed documents under the root ``first``, each with what is to be made of it."""
    payload = encode(manifests()[0])
    good = sign(payload, "manifest", [key(3)])
    signature = dump([b"\xa1\x01\x27", {4: key_id(public_bytes(key(3)))}, bytes(64)])
    other_kind = dump([b"\xa1\x01\x26", {4: key_id(public_bytes(key(3)))}, bytes(64)])

    def wrapped(*signatures: bytes, unprotected: bytes = b"\xa0") -> bytes:
        listed = bytes([0x80 + len(signatures)]) + b"".join(signatures)
        return COSE_SIGN_TAG + b"\x84\x40" + unprotected + dump(payload) + listed

    own = good[-(len(good) - good.rindex(b"\x83\x43\xa1\x01\x27")) :]
    listed = {
        "good": good,
        "by_two": sign(payload, "manifest", [key(3), key(4)]),
        "good_after_bad_ones": sign(payload, "manifest", [key(99), key(6), key(5)]),
        "by_a_deploy_key": sign(payload, "manifest", [key(6)]),
        "by_a_root_key": sign(payload, "manifest", [key(1)]),
        "by_a_stranger": sign(payload, "manifest", [key(99)]),
        "unsigned": sign(payload, "manifest", []),
        "for_another_purpose": sign(payload, "desired", [key(3)]),
        "another_payload": good.replace(b"digits", b"digitt"),
        "eight_signatures": sign(payload, "manifest", [key(n) for n in (90, 91, 92, 93, 94, 95, 96, 3)]),
        "nine_signatures": sign(payload, "manifest", [key(n) for n in (90, 91, 92, 93, 94, 95, 96, 97, 3)]),
        "an_unknown_header_beside": wrapped(own, unprotected=b"\xa1\x09\x81\x01"),
        "another_kind_of_signature_before": wrapped(other_kind, own),
        "what_is_no_signature_before": wrapped(b"\x01", b"\xa0", b"\x83\x40\xa0\x40", own),
        "a_signature_of_63_bytes": wrapped(
            dump([b"\xa1\x01\x27", {4: key_id(public_bytes(key(3)))}, bytes(63)])
        ),
        "a_signature_of_zeros": wrapped(signature),
        "a_key_id_of_text": wrapped(dump([b"\xa1\x01\x27", {4: "12345678"}, bytes(64)])),
        "an_unprotected_header_beside_the_key_id": wrapped(own[:5] + b"\xa2\x01\x01" + own[6:]),
        "signatures_in_a_map": COSE_SIGN_TAG + b"\x84\x40\xa0" + dump(payload) + b"\xa0",
        "five_parts": COSE_SIGN_TAG + b"\x85\x40\xa0" + dump(payload) + b"\x80\x00",
        "a_protected_header": COSE_SIGN_TAG + b"\x84\x41\xa0\xa0" + dump(payload) + b"\x81" + own,
        "another_tag": b"\xd8\x61" + good[2:],
        "no_tag": good[2:],
        "bytes_behind": good + b"\x00",
        "empty": b"",
        "only_the_tag": COSE_SIGN_TAG,
    }
    twice = trust_root(1, ROLES, threshold=2)
    return [
        {
            "name": name,
            "envelope": envelope.hex(),
            "accepted": accepts(verify, envelope, "manifest", Role.RELEASE, FIRST),
            "by_two": accepts(verify, envelope, "manifest", Role.RELEASE, twice),
            "manifest": accepts(open_manifest, envelope, hashlib.sha256(envelope).digest(), FIRST),
        }
        for name, envelope in listed.items()
    ] + [
        {
            "name": name,
            "envelope": (envelope := sign(refused, "manifest", [key(3)])).hex(),
            "accepted": True,
            "by_two": False,
            "manifest": accepts(open_manifest, envelope, hashlib.sha256(envelope).digest(), FIRST),
        }
        for name, refused in refused_manifests().items()
    ]


def self_tests() -> list[str]:
    """Self-test vectors as they travel."""
    return [
        encode(message).hex()
        for message in (
            SelfTest((bytes(range(256)) * 3, b"\x80"), (b"\x00\x7f", b"\xff"), 2),
            SelfTest((), (), 0),
            SelfTest((b"\x01", b"\x02"), (b"\x03",), 255),
        )
    ]


def files() -> dict[str, object]:
    """File name to content."""
    return {
        "roots": roots(),
        "documents": documents(),
        "manifests": [
            {"payload": encode(manifest).hex(), "envelope": seal(manifest, [key(3)]).hex()}
            for manifest in manifests()
        ],
        "desired": [
            {"payload": encode(desired).hex(), "envelope": sign(encode(desired), "desired", [key(6)]).hex()}
            for desired in desired_states()
        ],
        "self_tests": self_tests(),
    }


def render(document: object) -> str:
    """The text of a vector file."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in files().items():
        (FOLDER / f"{name}.json").write_text(render(document))
