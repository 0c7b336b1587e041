"""The manifest: one signed document that carries, or names by digest, all that a device needs of a model.

Its core stays within 2 KB and travels as a blob of one chunk; larger parts (the model, chunk lists, the
observation plan, self-test vectors) are blobs that it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeops.core.codec import DIGEST, ListOf, Message, Nested, SInt, Text, UInt, decode, encode, wire
from edgeops.core.errors import TrustError, WireError
from edgeops.core.signing import MAX_ENVELOPE_BYTES, Role, TrustRoot, sign, verify
from edgeops.core.tensors import TensorSpec, scale_from_integers, scale_to_integers

PURPOSE = "manifest"
MIN_CHUNK_BYTES = 256
MAX_CHUNK_BYTES = 65536
MAX_BLOB_BYTES = 64 * 1024 * 1024
NANO = 1_000_000_000

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "Artifact",
    "BlobRef",
    "Manifest",
    "RawContract",
    "Step",
    "TensorContract",
    "Trial",
]


@dataclass(frozen=True, slots=True)
class BlobRef(Message):
    """A blob by digest. Blobs longer than one chunk name the list of their chunks' digests, itself a blob."""

    sha256: bytes = wire(1, DIGEST)
    size: int = wire(2, UInt(32))
    chunk_bytes: int = wire(3, UInt(32))
    chunk_list: bytes | None = wire(4, DIGEST, default=None)

    @property
    def hex(self) -> str:
        """The digest in hexadecimal, as it stands in topics."""
        return self.sha256.hex()

    @property
    def chunks(self) -> int:
        """How many chunks the blob is cut into; an empty blob has none."""
        return -(-self.size // self.chunk_bytes)


@dataclass(frozen=True, slots=True)
class Artifact(Message):
    """One form of the model: ``tflite`` for Linux-class devices, ``plan`` for microcontrollers.

    ``arena_bytes`` is the working memory that it needs, 0 where that is not known.
    """

    runtime: str = wire(1, Text(16))
    target: str = wire(2, Text(32))
    blob: BlobRef = wire(3, Nested(BlobRef))
    arena_bytes: int = wire(4, UInt(32), default=0)


@dataclass(frozen=True, slots=True)
class TensorContract(Message):
    """Shape without batch, dtype, quantization (scale = mantissa * 2**exponent, exact float32) and unit."""

    shape: tuple[int, ...] = wire(1, ListOf(UInt(32), 6))
    dtype: str = wire(2, Text(8))
    scale_mantissa: int = wire(3, UInt(32))
    scale_exponent: int = wire(4, SInt(16))
    zero_point: int = wire(5, SInt(16))
    unit: str = wire(6, Text(24))

    @classmethod
    def of(cls, spec: TensorSpec, unit: str) -> TensorContract:
        """The contract of a tensor."""
        mantissa, exponent = scale_to_integers(spec.scale)
        return cls(spec.shape, spec.dtype, mantissa, exponent, spec.zero_point, unit)

    @property
    def spec(self) -> TensorSpec:
        """The tensor that the contract asks for."""
        scale = scale_from_integers(self.scale_mantissa, self.scale_exponent)
        return TensorSpec(self.shape, self.dtype, scale, self.zero_point)


@dataclass(frozen=True, slots=True)
class RawContract(Message):
    """What the sensor gives for one input, before preprocessing: shape, unit, and sample rate in millihertz."""

    shape: tuple[int, ...] = wire(1, ListOf(UInt(32), 6))
    unit: str = wire(2, Text(24))
    sample_rate_mhz: int | None = wire(3, UInt(32), default=None)


@dataclass(frozen=True, slots=True)
class Step(Message):
    """One preprocessing step: an operation and its parameters in billionths (nano units)."""

    op: str = wire(1, Text(16))
    parameters: tuple[int, ...] = wire(2, ListOf(SInt(64), 16))


@dataclass(frozen=True, slots=True)
class Trial(Message):
    """When a new model counts as healthy: so many inferences with at most so many errors.

    ``seconds``: or so long, whichever comes first, after one good inference at least; 0 waits for the inferences.
    """

    inferences: int = wire(1, UInt(32))
    max_errors: int = wire(2, UInt(32))
    seconds: int = wire(3, UInt(32), default=0)


@dataclass(frozen=True, slots=True)
class Manifest(Message):
    """The contract of one model version.

    ``source`` stands there where preprocessing changes the shape: without it the sensor gives what the model
    takes. ``threshold`` is for the output kind ``reconstruction``, in the unit of ``edgeops.core.outputs``.
    ``sources`` are addresses below which a blob is found by its digest in hexadecimal, used where the broker does
    not deliver.
    """

    MAX_BYTES = 2048
    model: str = wire(1, Text(64))
    version: int = wire(2, UInt(32))
    security_counter: int = wire(3, UInt(32))
    min_agent: tuple[int, ...] = wire(4, ListOf(UInt(16), 3))
    artifacts: tuple[Artifact, ...] = wire(5, ListOf(Nested(Artifact), 8))
    input: TensorContract = wire(6, Nested(TensorContract))
    output: TensorContract = wire(7, Nested(TensorContract))
    output_kind: str = wire(8, Text(16))
    labels: tuple[str, ...] = wire(9, ListOf(Text(32), 64))
    preprocessing: tuple[Step, ...] = wire(10, ListOf(Nested(Step), 16))
    observe: BlobRef = wire(11, Nested(BlobRef))
    vectors: BlobRef = wire(12, Nested(BlobRef))
    trial: Trial = wire(13, Nested(Trial))
    source: RawContract | None = wire(14, Nested(RawContract), default=None)
    threshold: int | None = wire(15, UInt(48), default=None)
    sources: tuple[str, ...] = wire(16, ListOf(Text(200), 3), default=())

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """The shape of one raw input, as the sensor gives it."""
        return self.input.shape if self.source is None else self.source.shape

    def artifact(self, runtime: str, target: str) -> Artifact | None:
        """The artifact for a device's runtime and target class, or None."""
        for candidate in self.artifacts:
            if candidate.runtime == runtime and candidate.target in (target, "any"):
                return candidate
        return None


def seal(manifest: Manifest, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """The signed envelope of a manifest; its SHA-256 is the manifest digest."""
    return sign(encode(manifest), PURPOSE, keys)


def open_manifest(envelope: bytes, digest: bytes, trust: TrustRoot) -> Manifest:
    """Verify digest and signatures and return the manifest; raises ``TrustError``."""
    if hashlib.sha256(envelope).digest() != digest:
        raise TrustError("the manifest's bytes do not match their digest", digest=digest.hex())
    payload = verify(envelope, PURPOSE, Role.RELEASE, trust)
    try:
        manifest = decode(Manifest, payload)
    except WireError as error:
        raise TrustError(f"the manifest does not decode: {error.message}", digest=digest.hex()) from error
    for ref in [*(artifact.blob for artifact in manifest.artifacts), manifest.observe, manifest.vectors]:
        if not MIN_CHUNK_BYTES <= ref.chunk_bytes <= MAX_CHUNK_BYTES or ref.size > MAX_BLOB_BYTES:
            raise TrustError("the manifest names a blob of a size that is not allowed", digest=digest.hex())
        if ref.chunks > 1 and ref.chunk_list is None:
            raise TrustError("the manifest names a blob without its chunk list", digest=digest.hex())
    return manifest


def chunk_digests(blob: bytes, chunk_bytes: int) -> bytes:
    """The chunk list of a blob: the SHA-256 of each chunk, one after the other."""
    return b"".join(
        hashlib.sha256(blob[start : start + chunk_bytes]).digest()
        for start in range(0, len(blob), chunk_bytes)
    )


def blob_ref(blob: bytes, chunk_bytes: int) -> tuple[BlobRef, bytes | None]:
    """The reference of a blob, and its chunk list where it has more than one chunk."""
    digest = hashlib.sha256(blob).digest()
    if len(blob) <= chunk_bytes:
        return BlobRef(digest, len(blob), chunk_bytes), None
    listing = chunk_digests(blob, chunk_bytes)
    if len(listing) > MAX_CHUNK_BYTES:
        raise WireError(f"a blob of {len(blob)} bytes has too many chunks of {chunk_bytes} bytes")
    return BlobRef(digest, len(blob), chunk_bytes, hashlib.sha256(listing).digest()), listing
