"""The manifest: small, signed, and never pointing at what a device must not fetch."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packages import KEYS, build, key, trust_root

from edgeops.core.codec import encode, to_item
from edgeops.core.errors import TrustError, WireError
from edgeops.core.manifest import (
    MAX_BLOB_BYTES,
    MAX_CHUNK_BYTES,
    MIN_CHUNK_BYTES,
    Artifact,
    Manifest,
    RawContract,
    TensorContract,
    blob_ref,
    chunk_digests,
    open_manifest,
    seal,
)
from edgeops.core.signing import Role, sign
from edgeops.core.tensors import TensorSpec

TRUST = trust_root()
PACKAGE = build()


def opened(manifest: Manifest) -> Manifest:
    envelope = seal(manifest, [KEYS[Role.RELEASE]])
    return open_manifest(envelope, hashlib.sha256(envelope).digest(), TRUST)


class TestSize:
    def test_with_ten_labels_the_core_and_its_envelope_stay_within_2_kb(self) -> None:
        labels = tuple(f"a class with a name of {n:08}" for n in range(10))
        artifact = PACKAGE.manifest.artifacts[0]
        manifest = replace(
            PACKAGE.manifest, labels=labels, artifacts=(artifact, replace(artifact, runtime="plan"))
        )
        assert len(encode(manifest)) <= 1024
        assert len(seal(manifest, [KEYS[Role.RELEASE]])) <= 2048

    def test_more_than_2_kb_is_not_sealed(self) -> None:
        with pytest.raises(WireError, match="2048"):
            seal(replace(PACKAGE.manifest, labels=("x" * 32,) * 64), [KEYS[Role.RELEASE]])


class TestOpening:
    def test_what_was_sealed_is_what_is_opened(self) -> None:
        assert open_manifest(PACKAGE.envelope, PACKAGE.digest, TRUST) == PACKAGE.manifest

    def test_other_bytes_than_the_digest_names(self) -> None:
        with pytest.raises(TrustError, match="digest"):
            open_manifest(PACKAGE.envelope, bytes(32), TRUST)

    @pytest.mark.parametrize("signer", [KEYS[Role.DEPLOY], KEYS[Role.ROOT], key("stranger")])
    def test_a_key_that_may_not_release(self, signer: object) -> None:
        envelope = seal(PACKAGE.manifest, [signer])  # type: ignore[list-item]
        with pytest.raises(TrustError, match="release"):
            open_manifest(envelope, hashlib.sha256(envelope).digest(), TRUST)

    def test_signed_nonsense_is_a_trust_error_too(self) -> None:
        envelope = sign(b"\x01", "manifest", [KEYS[Role.RELEASE]])
        with pytest.raises(TrustError, match="does not decode"):
            open_manifest(envelope, hashlib.sha256(envelope).digest(), TRUST)

    @pytest.mark.parametrize("part", ["observe", "vectors", "artifact"])
    @pytest.mark.parametrize(
        "change",
        [
            {"chunk_bytes": 0},
            {"chunk_bytes": MIN_CHUNK_BYTES - 1},
            {"chunk_bytes": MAX_CHUNK_BYTES + 1},
            {"size": MAX_BLOB_BYTES + 1},
            {"size": MAX_CHUNK_BYTES * 2, "chunk_list": None},
        ],
        ids=str,
    )
    def test_a_blob_that_breaks_the_bounds(self, part: str, change: dict[str, int]) -> None:
        manifest = PACKAGE.manifest
        if part == "artifact":
            bad = replace(manifest.artifacts[0].blob, **change)
            manifest = replace(manifest, artifacts=(Artifact("tflite", "linux", bad),))
        else:
            manifest = replace(manifest, **{part: replace(getattr(manifest, part), **change)})
        with pytest.raises(TrustError, match="names a blob"):
            opened(manifest)


class TestBlobs:
    @given(blob=st.binary(max_size=3000), chunk_bytes=st.integers(MIN_CHUNK_BYTES, 1000))
    def test_a_list_of_chunk_digests_where_there_is_more_than_one_chunk(
        self, blob: bytes, chunk_bytes: int
    ) -> None:
        ref, listing = blob_ref(blob, chunk_bytes)
        assert (ref.sha256, ref.size) == (hashlib.sha256(blob).digest(), len(blob))
        pieces = [blob[i * chunk_bytes : (i + 1) * chunk_bytes] for i in range(ref.chunks)]
        assert b"".join(pieces) == blob
        assert (listing is not None) == (ref.chunk_list is not None) == (ref.chunks > 1)
        if listing is not None:
            assert listing == b"".join(hashlib.sha256(piece).digest() for piece in pieces)
            assert ref.chunk_list == hashlib.sha256(listing).digest()

    def test_an_empty_blob_has_no_chunk(self) -> None:
        assert blob_ref(b"", 256)[0].chunks == 0
        assert chunk_digests(b"", 256) == b""

    def test_a_list_longer_than_a_chunk_is_refused(self) -> None:
        with pytest.raises(WireError, match="too many chunks"):
            blob_ref(bytes(256 * (MAX_CHUNK_BYTES // 32 + 1)), 256)


class TestArtifacts:
    @pytest.mark.parametrize(
        ("runtime", "target", "found"),
        [
            ("tflite", "linux", True),
            ("tflite", "mps2", False),
            ("plan", "linux", False),
            ("plan", "mps2", True),
        ],
    )
    def test_the_one_for_runtime_and_target(self, runtime: str, target: str, found: bool) -> None:
        first = PACKAGE.manifest.artifacts[0]
        manifest = replace(PACKAGE.manifest, artifacts=(first, Artifact("plan", "mps2", first.blob)))
        assert (manifest.artifact(runtime, target) is not None) is found

    def test_any_target(self) -> None:
        anywhere = replace(PACKAGE.manifest.artifacts[0], target="any")
        assert replace(PACKAGE.manifest, artifacts=(anywhere,)).artifact("tflite", "esp32") == anywhere


@given(scale=st.floats(2**-60, 2**20, width=32), zero_point=st.integers(-128, 127))
def test_a_float32_scale_travels_exactly(scale: float, zero_point: int) -> None:
    spec = TensorSpec((8, 8, 1), "int8", scale, zero_point)
    assert TensorContract.of(spec, "level").spec == spec


class TestSource:
    def test_without_one_the_sensor_gives_what_the_model_takes(self) -> None:
        assert PACKAGE.manifest.raw_shape == PACKAGE.manifest.input.shape == (8, 8, 1)

    def test_it_travels_and_so_does_the_threshold(self) -> None:
        source = RawContract((16_000,), "level", 16_000_000)
        manifest = replace(PACKAGE.manifest, source=source, threshold=2**48 - 1)
        assert opened(manifest) == manifest
        assert manifest.raw_shape == (16_000,)

    def test_a_manifest_of_before_keeps_its_bytes(self) -> None:
        assert not {14, 15} & to_item(PACKAGE.manifest).keys()
