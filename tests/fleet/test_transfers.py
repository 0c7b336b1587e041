"""Ways to a version that its manifest does not name: chunks that fit the broker, and patches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select
from support.packages import FLEET, KEYS, MODEL, TFLITE, Package, build
from support.registry import NOW, add_devices, add_version

from edgeops.core import topics
from edgeops.core.codec import decode
from edgeops.core.errors import DoesNotFit
from edgeops.core.manifest import MAX_CHUNK_BYTES, Artifact, BlobRef, blob_ref
from edgeops.core.messages import Desired, ReportPolicy, Transfer
from edgeops.core.patches import apply_patch
from edgeops.core.signing import Role, unverified_payload
from edgeops.fleet.chunking import check_payload, cut, fits, payload_bytes
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.patches import patch_between, saved_bytes
from edgeops.fleet.transfers import Ways, as_plain, from_plain
from edgeops.registry.blobs import BlobStore
from edgeops.registry.store import open_registry
from edgeops.registry.tables import (
    BlobPublication,
    Deployment,
    DesiredState,
    Device,
    DeviceModel,
    Patch,
    Rollout,
)

POLICY = ReportPolicy(10, 0, 1000)


def altered(share: float, seed: int = 0) -> bytes:
    """The tiny model's bytes with a share of them changed a little."""
    rng = np.random.default_rng(seed)
    values = np.frombuffer(TFLITE, np.uint8).copy()
    places = rng.random(len(values)) < share
    values[places] += rng.integers(1, 4, places.sum(), np.uint8)
    return values.tobytes()


OLD, NEAR = build(1), build(2, tflite=altered(0.02))
FAR = build(3, tflite=np.random.default_rng(1).bytes(len(TFLITE)))


@pytest.fixture
def session(tmp_path: Path):
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        add_devices(opened, "a", "b")
        for package in (OLD, NEAR, FAR):
            add_version(opened, package)
        yield opened
    registry.close()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "blobs")
    for package in (OLD, NEAR, FAR):
        put(store, package)
    return store


def put(store: BlobStore, package: Package) -> None:
    for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
        store.put(blob)


def writer(blobs: BlobStore, packet_bytes: int | None = None) -> DesiredWriter:
    return DesiredWriter(FLEET, KEYS[Role.DEPLOY], POLICY, Ways(FLEET, blobs, packet_bytes, lambda: NOW))


def offered(session, device: str = "a") -> tuple[Transfer, ...]:
    row = session.get(DesiredState, device)
    return decode(Desired, unverified_payload(row.document)).models[MODEL].transfers


def offer(writer: DesiredWriter, session, package: Package, device: str = "a") -> tuple[Transfer, ...]:
    writer.change(session, device, MODEL, manifest=package.digest.hex(), manifest_bytes=len(package.envelope))
    return offered(session, device)


def runs(session, package: Package, device: str = "a", **other: object) -> None:
    row = DeviceModel(
        device_id=device,
        model=MODEL,
        lifecycle="CONFIRMED",
        generation=1,
        confirmed=package.digest.hex(),
        artifact=package.manifest.artifacts[0].blob.hex,
        updated_at=NOW,
    )
    for key, value in other.items():
        setattr(row, key, value)
    session.merge(row)
    session.flush()


def patches(session) -> list[Patch]:
    return list(session.exec(select(Patch)))


class TestChunking:
    SHA = "ab" * 32

    @given(size=st.integers(0, 200_000), packet=st.integers(600, 70_000))
    def test_what_is_cut_fits_the_packets_or_is_refused_with_a_size_that_would_do(
        self, size: int, packet: int
    ) -> None:
        blob = bytes(size)
        ref = blob_ref(blob, MAX_CHUNK_BYTES)[0]
        try:
            again, listing = cut(FLEET, ref, blob, packet)
        except DoesNotFit as refused:
            again, listing = cut(FLEET, ref, blob, int(str(refused.fields["needed"])))
            assert int(str(refused.fields["needed"])) > packet
            return
        longest = payload_bytes(topics.chunk(FLEET, ref.hex, 999_999), packet)
        assert min(again.size, again.chunk_bytes) <= longest
        assert len(listing or b"") <= longest
        assert fits(FLEET, again, packet)
        assert (again.sha256, again.size) == (ref.sha256, size)

    def test_a_broker_without_a_limit_takes_everything(self) -> None:
        assert fits(FLEET, BlobRef(bytes(32), 10**7, MAX_CHUNK_BYTES, bytes(32)), None)
        check_payload("t", 10**9, None, "x")

    def test_a_payload_that_does_not_fit_names_both_numbers(self) -> None:
        with pytest.raises(
            DoesNotFit, match=r"needs a packet of 1011 bytes, the broker takes 1000"
        ) as refused:
            check_payload("t", 1000, 1000, "this")
        check_payload("t", 1000, int(str(refused.value.fields["needed"])), "this")

    def test_the_largest_packet_is_what_mqtt_counts(self) -> None:
        # fixed header 1, remaining length 2, topic length 2, packet number 2: a payload of 300 on "a/b" is 310 bytes
        assert payload_bytes("a/b", 313) == 300


class TestSmallPackets:
    def test_where_the_manifest_fits_there_is_nothing_to_say(self, session, blobs: BlobStore) -> None:
        assert offer(writer(blobs), session, OLD) == ()
        assert offer(writer(blobs, 4096), session, NEAR) == ()

    def test_parts_that_do_not_fit_are_cut_otherwise(self, session, blobs: BlobStore) -> None:
        big = build(4, chunk_bytes=4096)
        put(blobs, big)
        add_version(session, big)
        transfers = offer(writer(blobs, 1500), session, big)
        assert transfers
        for transfer in transfers:
            assert transfer.base is None
            assert transfer.target == transfer.blob.sha256
            assert fits(FLEET, transfer.blob, 1500)
            assert transfer.blob.chunk_list is not None
            listing = blobs.get(transfer.blob.chunk_list.hex())
            assert blob_ref(big.blobs[transfer.target.hex()], transfer.blob.chunk_bytes) == (
                transfer.blob,
                listing,
            )

    def test_a_document_or_manifest_that_cannot_be_cut_is_refused(self, session, blobs: BlobStore) -> None:
        with pytest.raises(DoesNotFit, match="the manifest of tiny@1 needs a packet of"):
            offer(writer(blobs, 400), session, OLD)
        assert session.get(DesiredState, "a") is None

    def test_a_blob_keeps_the_chunks_that_it_is_published_in(self, session, blobs: BlobStore) -> None:
        ref = OLD.manifest.artifacts[0].blob
        session.add(
            BlobPublication(sha256=ref.hex, chunk_bytes=256, chunks=9, bytes=ref.size, published_at=NOW)
        )
        session.flush()
        (transfer,) = offer(writer(blobs), session, OLD)
        assert (transfer.target, transfer.blob.chunk_bytes) == (ref.sha256, 256)

    def test_a_new_limit_renews_what_was_desired(self, session, blobs: BlobStore) -> None:
        big = build(4, chunk_bytes=4096)
        put(blobs, big)
        add_version(session, big)
        assert offer(writer(blobs), session, big) == ()
        before = session.get(DesiredState, "a").generation
        assert writer(blobs, 1500).refresh(session) == []
        assert offered(session)
        assert session.get(DesiredState, "a").generation == before + 1
        assert writer(blobs, 1500).refresh(session) == []
        assert session.get(DesiredState, "a").generation == before + 1

    def test_one_that_cannot_be_renewed_is_told_and_holds_nobody_else_up(
        self, session, blobs: BlobStore
    ) -> None:
        offer(writer(blobs), session, OLD)
        DesiredWriter(FLEET, KEYS[Role.DEPLOY], POLICY).change(session, "b", MODEL, manifest="ab" * 32)
        stricter = DesiredWriter(FLEET, KEYS[Role.DEPLOY], ReportPolicy(20, 0, 1000), Ways(FLEET, blobs))
        (line,) = stricter.refresh(session)
        assert line.startswith("desired state of b")
        said = decode(Desired, unverified_payload(session.get(DesiredState, "a").document))
        assert said.models[MODEL].report.window_inferences == 20


class TestPatches:
    def test_a_device_is_offered_a_patch_from_what_it_runs(self, session, blobs: BlobStore) -> None:
        runs(session, OLD)
        (transfer,) = offer(writer(blobs), session, NEAR)
        assert transfer.base == OLD.manifest.artifacts[0].blob.sha256
        assert transfer.target == NEAR.manifest.artifacts[0].blob.sha256
        patch = blobs.get(transfer.blob.hex)
        assert apply_patch(transfer.codec, TFLITE, patch, len(TFLITE)) == altered(0.02)
        assert len(patch) < 0.9 * len(TFLITE)

    def test_one_that_has_not_said_what_it_runs_is_not(self, session, blobs: BlobStore) -> None:
        assert offer(writer(blobs), session, NEAR) == ()

    def test_a_patch_that_saves_too_little_is_not_offered_and_not_made_again(
        self, session, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs(session, OLD)
        assert offer(writer(blobs), session, FAR) == ()
        (row,) = patches(session)
        assert (row.sha256, row.target_bytes) == (None, len(TFLITE))
        monkeypatch.setattr("edgeops.fleet.patches.make_patch", None)
        runs(session, OLD, "b")
        assert offer(writer(blobs), session, FAR, "b") == ()

    def test_what_a_slot_holds_needs_no_patch(self, session, blobs: BlobStore) -> None:
        runs(session, OLD, previous=NEAR.digest.hex())
        assert offer(writer(blobs), session, NEAR) == ()
        assert patches(session) == []

    def test_naming_a_blob_that_was_never_released_gets_no_patch_of_it(
        self, session, blobs: BlobStore
    ) -> None:
        secret = blobs.put(altered(0.01, seed=9))
        runs(session, OLD, artifact=secret)
        assert offer(writer(blobs), session, NEAR) == ()
        unreleased = build(9, tflite=altered(0.01, seed=9))
        put(blobs, unreleased)
        runs(session, unreleased)
        assert offer(writer(blobs), session, NEAR) == ()
        assert patches(session) == []

    def test_a_base_that_the_store_has_not_gets_the_whole_blob(
        self, session, blobs: BlobStore, tmp_path: Path
    ) -> None:
        runs(session, OLD)
        digest = OLD.manifest.artifacts[0].blob.hex
        (tmp_path / "blobs" / digest[:2] / digest).unlink()
        assert offer(writer(blobs), session, NEAR) == ()

    def test_a_device_takes_the_artifact_of_its_class(self, session, blobs: BlobStore) -> None:
        plan = blob_ref(blobs.put(b"plan").encode(), 512)[0]

        def add_plan(manifest):
            return replace(manifest, artifacts=(*manifest.artifacts, Artifact("plan", "rp2040", plan)))

        both = build(5, tflite=altered(0.02, seed=5), change=add_plan)
        put(blobs, both)
        add_version(session, both)
        device = session.get(Device, "b")
        device.target, device.takes = "rp2040", ["plan"]
        for name in "ab":
            runs(session, OLD, name)
        assert [t.base is not None for t in offer(writer(blobs), session, both, "a")] == [True]
        targets = {t.target for t in offer(writer(blobs), session, both, "b")}
        assert targets <= {plan.sha256}

    def test_the_same_version_again_keeps_what_was_offered(self, session, blobs: BlobStore) -> None:
        runs(session, OLD)
        first = offer(writer(blobs), session, NEAR)
        generation = session.get(DesiredState, "a").generation
        runs(session, NEAR)
        assert offer(writer(blobs), session, NEAR) == first
        writer(blobs).refresh(session)
        assert session.get(DesiredState, "a").generation == generation

    def test_another_version_brings_its_own_ways(self, session, blobs: BlobStore) -> None:
        runs(session, OLD)
        offer(writer(blobs), session, NEAR)
        assert offer(writer(blobs), session, FAR) == ()

    def test_a_blob_patches_itself_never(self, session, blobs: BlobStore) -> None:
        digest = OLD.manifest.artifacts[0].blob.hex
        row = patch_between(session, blobs, digest, digest, NOW)
        assert row is not None
        assert row.sha256 is None

    @pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"altered")])
    def test_a_patch_that_the_store_lost_holds_no_rollout(self, session, blobs: BlobStore, harm) -> None:
        runs(session, OLD)
        offer(writer(blobs), session, NEAR)
        (row,) = [patch for patch in patches(session) if patch.sha256]
        harm(blobs._path(row.sha256))
        runs(session, OLD, "b")
        transfers = offer(writer(blobs), session, NEAR, "b")
        assert all(blobs.get(transfer.blob.hex) for transfer in transfers)


class TestSavedBytes:
    def rollout(self, session, package: Package) -> int:
        version = add_version(session, package)
        rollout = Rollout(model_version_id=version.id or 0, state="COMPLETED", created_at=NOW)
        session.add(rollout)
        session.flush()
        return rollout.id or 0

    @pytest.mark.parametrize(
        ("state", "counted"), [("confirmed", True), ("offered", False), ("failed", False)]
    )
    def test_it_is_what_devices_that_confirmed_did_not_fetch(
        self, session, blobs: BlobStore, state: str, counted: bool
    ) -> None:
        new = build(6, tflite=altered(0.03, seed=6))
        put(blobs, new)
        number = self.rollout(session, new)
        for device in "ab":
            runs(session, OLD, device)
            offer(writer(blobs), session, new, device)
        session.add(Deployment(rollout_id=number, device_id="a", state=state, before=OLD.digest.hex()))
        session.add(Deployment(rollout_id=number, device_id="b", state="confirmed", before=None))
        session.flush()
        (patch,) = patches(session)
        assert saved_bytes(session, number) == (patch.target_bytes - patch.bytes if counted else 0)

    def test_without_patches_nothing_is_saved(self, session, blobs: BlobStore) -> None:
        number = self.rollout(session, build(7))
        assert saved_bytes(session, number) == 0
        assert saved_bytes(session, 999) == 0


@given(
    st.builds(
        Transfer,
        st.binary(min_size=32, max_size=32),
        st.builds(
            BlobRef,
            st.binary(min_size=32, max_size=32),
            st.integers(0, 2**32 - 1),
            st.integers(256, 65536),
            st.none() | st.binary(min_size=32, max_size=32),
        ),
        st.none() | st.binary(min_size=32, max_size=32),
        st.text("abc", max_size=16),
    )
)
def test_a_transfer_survives_the_registry(transfer: Transfer) -> None:
    assert from_plain(as_plain(transfer)) == transfer
