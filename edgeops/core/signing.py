"""Signatures: COSE_Sign (RFC 9052) with Ed25519, a threshold, and a trust root with roles.

Envelopes are tagged COSE_Sign (tag 98), so that any COSE library can check them. The purpose of a document
is bound in as external additional data: a signature over a manifest is worth nothing over a desired state.
Root rules follow The Update Framework: a new root is signed by a threshold of the old root keys *and* of its
own, and its version is exactly one higher.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgeops.core.codec import Bytes, ListOf, MapOf, Message, Text, UInt, decode, dump, encode, load, wire
from edgeops.core.errors import TrustError, WireError

COSE_SIGN_TAG = b"\xd8\x62"  # tag 98; kept out of the codec, which knows no tags
ALGORITHM = 1
KEY_ID = 4
EDDSA = -8
MAX_SIGNATURES = 8
MAX_ENVELOPE_BYTES = 16384
_PROTECTED = dump({ALGORITHM: EDDSA})


class Role(Enum):
    """Who may sign what. ``root`` signs trust roots, ``release`` manifests, ``deploy`` desired states."""

    ROOT = "root"
    RELEASE = "release"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class TrustRoot(Message):
    """The keys a device believes, by role, and how many of them must sign."""

    MAX_BYTES = 4096
    fleet: str = wire(1, Text(64))
    version: int = wire(2, UInt(32))
    threshold: int = wire(3, UInt(8))
    keys: dict[bytes, bytes] = wire(4, MapOf(Bytes(8, 8), Bytes(32, 32), 32))
    roles: dict[str, tuple[bytes, ...]] = wire(5, MapOf(Text(16), ListOf(Bytes(8, 8), 16), 8))


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of the public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(public: bytes) -> bytes:
    """The first 8 bytes of the SHA-256 of a public key."""
    return hashlib.sha256(public).digest()[:8]


def _to_be_signed(purpose: str, payload: bytes) -> bytes:
    # RFC 9052 section 4.4: context, body protected, signer protected, external data, payload.
    return dump(["Signature", b"", _PROTECTED, f"edgeops/v1/{purpose}".encode(), payload])


def sign(payload: bytes, purpose: str, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """A COSE_Sign envelope round ``payload``, signed once by each key."""
    document = _to_be_signed(purpose, payload)
    signatures = [[_PROTECTED, {KEY_ID: key_id(public_bytes(key))}, key.sign(document)] for key in keys]
    return COSE_SIGN_TAG + dump([b"", {}, payload, signatures])


def unverified_payload(envelope: bytes) -> bytes:
    """The payload without any check, to show it to a person; raises ``WireError``."""
    return _open(envelope)[0]


def _open(envelope: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    if not envelope.startswith(COSE_SIGN_TAG):
        raise WireError("not a COSE_Sign envelope")
    item = load(envelope[len(COSE_SIGN_TAG) :], MAX_ENVELOPE_BYTES)
    match item:
        case [b"", {}, bytes(payload), list(signatures)] if len(signatures) <= MAX_SIGNATURES:
            found = []
            for signature in signatures:
                match signature:
                    case [bytes(protected), {4: bytes(kid)}, bytes(raw)] if protected == _PROTECTED:
                        found.append((kid, raw))
            return payload, found
    raise WireError("a malformed COSE_Sign envelope")


def verify(envelope: bytes, purpose: str, role: Role, trust: TrustRoot) -> bytes:
    """Return the payload if a threshold of the role's keys signed it; raises ``TrustError``.

    Each key counts once, however often it signed.
    """
    try:
        payload, signatures = _open(envelope)
    except WireError as error:
        raise TrustError(f"unreadable {purpose}: {error.message}", purpose=purpose) from error
    allowed = set(trust.roles.get(role.value, ()))
    document = _to_be_signed(purpose, payload)
    good: set[bytes] = set()
    for kid, raw in signatures:
        public = trust.keys.get(kid)
        if kid in allowed and public is not None and key_id(public) == kid and _valid(public, raw, document):
            good.add(kid)
    if len(good) < max(1, trust.threshold):
        raise TrustError(
            f"{purpose} is signed by {len(good)} of the {role.value} keys where {max(1, trust.threshold)} are needed",
            purpose=purpose,
            role=role.value,
            valid=len(good),
        )
    return payload


def _valid(public: bytes, signature: bytes, document: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, document)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_root(root: TrustRoot, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """The envelope of a trust root."""
    return sign(encode(root), "trust", keys)


def accept_first_root(envelope: bytes) -> TrustRoot:
    """A trust root that came with the enrolment: it must be signed by its own root keys."""
    root = _read_root(envelope)
    verify(envelope, "trust", Role.ROOT, root)
    return root


def accept_next_root(current: TrustRoot, envelope: bytes) -> TrustRoot:
    """The successor of ``current``, or ``current`` itself when it is what came; raises ``TrustError``."""
    root = _read_root(envelope)
    if root == current:
        return current
    if root.fleet != current.fleet or root.version != current.version + 1:
        raise TrustError(
            f"trust root version {root.version} does not follow {current.version}",
            version=root.version,
            current=current.version,
        )
    verify(envelope, "trust", Role.ROOT, current)
    verify(envelope, "trust", Role.ROOT, root)
    return root


def _read_root(envelope: bytes) -> TrustRoot:
    try:
        return decode(TrustRoot, unverified_payload(envelope))
    except WireError as error:
        raise TrustError(f"unreadable trust root: {error.message}", purpose="trust") from error
