"""A retrain in a workspace: captured samples in, the cheapest version that is proven better out, or a proposal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select
from support.registry import NOW
from support.trained import digits_workspace, train_recipe, write_recipe

from edgeops.control.datasets import load_dataset
from edgeops.control.plans import PlanShelf
from edgeops.control.reproduce import reproduce
from edgeops.control.retrain_by_hand import find_retrain
from edgeops.control.retrain_proposals import decline, selector_of, specialise
from edgeops.control.retrain_world import champion, holdout_share
from edgeops.control.retraining import run_retrain
from edgeops.control.training_jobs import Trained
from edgeops.control.workspace import Workspace
from edgeops.core.errors import DataError, NotFoundError, UsageError
from edgeops.core.features.steps import quantized_input
from edgeops.core.manifest import open_manifest
from edgeops.data.dataset import Part
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    CapturedSample,
    Device,
    DeviceModel,
    LabelTruth,
    ModelVersion,
    Retrain,
    Run,
)

LONGER = ("epochs = 2", "epochs = 8")
LARGER = ("filters = [4, 8]", "filters = [8, 16]")


def drifted(workspace: Workspace, trained: Trained, *, relabelled: bool = False, count: int = 250) -> int:
    """An alert of six devices in the north whose camera has slipped, with labelled samples; its number.

    ``relabelled``: the images are as before, and it is what they mean that changed.
    """
    base, _ = load_dataset(workspace, "digits")
    inputs, targets = base.part(Part.FIELD)
    inputs = np.asarray(inputs[:count], np.float32)
    seen = inputs * np.float32(0.999) if relabelled else np.roll(inputs, 2, axis=2) * np.float32(0.7)
    truths = (targets[:count] + 1) % 10 if relabelled else targets[:count]
    manifest = PlanShelf(workspace.blobs).manifest(trained.version.manifest_sha256 or "")
    prefix = (trained.version.manifest_sha256 or "")[:16]
    with workspace.registry.session() as session:
        alert = Alert(model_version_id=trained.version.id or 0, state="open", opened_at=NOW)
        session.add(alert)
        for number in range(12):
            session.add(
                Device(
                    id=f"d{number:02d}",
                    attributes={"site": "south" if number % 2 else "north"},
                    enrolled_at=NOW,
                )
            )
            session.add(
                DeviceModel(
                    device_id=f"d{number:02d}",
                    model=trained.version.model,
                    lifecycle="CONFIRMED",
                    generation=1,
                    confirmed=trained.version.manifest_sha256,
                    updated_at=NOW,
                )
            )
        session.flush()
        for number in range(0, 12, 2):
            session.add(
                AlertDevice(
                    alert_id=alert.id or 0,
                    device_id=f"d{number:02d}",
                    boot=1,
                    sequence=1,
                    windows_seen=1,
                    raised_at=NOW,
                )
            )
        for number, (image, truth) in enumerate(zip(seen, truths, strict=True)):
            device, prediction = f"d{number % 6 * 2:02d}", f"p{number}"
            tensor = quantized_input(manifest, image.reshape(8, 8, 1)).tobytes()
            session.add(
                CapturedSample(
                    prediction=prediction,
                    device_id=device,
                    model=trained.version.model,
                    manifest=trained.version.manifest_sha256 or "",
                    tensor=tensor,
                    received_at=NOW,
                )
            )
            session.add(
                LabelTruth(
                    prediction=prediction,
                    device_id=device,
                    model=trained.version.model,
                    manifest_prefix=prefix,
                    boot=1,
                    sequence=1,
                    predicted=0,
                    truth=int(truth),
                    received_at=NOW,
                )
            )
        session.flush()
        return alert.id or 0


def lies(workspace: Workspace, trained: Trained) -> None:
    """What a device said before anybody looked: an input of another size, and a label that there is not."""
    digest = trained.version.manifest_sha256 or ""
    with workspace.registry.session() as session:
        for prediction, size, truth in (("short", 7, 1), ("strange", 64, 99)):
            of = {"prediction": prediction, "device_id": "d00", "model": trained.version.model}
            session.add(CapturedSample(**of, manifest=digest, tensor=bytes(size), received_at=NOW))
            about = {"manifest_prefix": digest[:16], "boot": 1, "sequence": 1, "predicted": 0}
            session.add(LabelTruth(**of, **about, truth=truth, received_at=NOW))


def retrain_row(workspace: Workspace, retrain_id: int | None) -> Retrain:
    with workspace.registry.reading() as session:
        return session.get_one(Retrain, retrain_id)


class TestAWorldThatChanged:
    @pytest.fixture(scope="class")
    @classmethod
    def told(
        cls, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[Workspace, Trained, Trained, Retrain, list[str]]:
        folder = tmp_path_factory.mktemp("changed")
        workspace = digits_workspace(folder / "w")
        more = '\n[retrain]\nmargin_on_test = 0.1\nstrategies = ["recalibrate", "head", "frozen_scale"]\n'
        first = train_recipe(workspace, write_recipe(folder, LONGER, LARGER, ("[report]", more + "[report]")))
        alert = drifted(workspace, first)
        lies(workspace, first)
        lines: list[str] = []
        retrain = find_retrain(workspace, alert, NOW)
        second = run_retrain(workspace, retrain.id or 0, say=lines.append)
        return workspace, first, second, retrain_row(workspace, retrain.id), lines

    def test_the_version_that_is_better_is_registered(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        _, first, second, row, _ = told
        assert (row.state, second.version.state) == ("REGISTERED", "registered"), row.attempts
        assert second.version.parent_id == first.version.id
        assert second.version.selector is None
        assert all(gate["passed"] for gate in row.gates)

    def test_every_attempt_is_kept_with_its_gates_and_its_cost(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        _, _, second, row, lines = told
        assert [attempt["strategy"] for attempt in row.attempts] == [line.split(":")[0] for line in lines[1:]]
        assert second.run.record["attempts"] == row.attempts
        for attempt in row.attempts:
            assert {"gates", "seconds", "push_bytes", "changed_bytes", "artifact_bytes"} <= attempt.keys()
        by_name = {attempt["strategy"]: attempt for attempt in row.attempts}
        assert by_name["recalibrate"]["push_bytes"] == 0
        assert not by_name["recalibrate"]["passed"]  # what has slipped is not put right by a gain
        taken = by_name[second.run.record["strategy"]]
        assert taken["passed"] and taken["push_bytes"] < 0.3 * taken["artifact_bytes"]

    def test_what_a_device_lied_about_is_left_out_and_counted(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        """One sample of another size, or one label too high, failed every retrain of the version."""
        _, _, second, row, lines = told
        assert lines[0] == "left out: 2 samples that are no inputs of tiny@1, or of no label"
        assert (row.samples, second.run.record["unusable_samples"]) == (250, 2)
        assert row.labels_to == 252  # they are no new samples the next time either

    def test_only_what_is_taken_becomes_a_version(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        workspace, first, second, _, _ = told
        with workspace.registry.reading() as session:
            numbers = [row.version for row in session.exec(select(ModelVersion))]
        assert numbers == [first.version.version, second.version.version]

    def test_captured_samples_are_a_dataset_version_with_a_part_held_out(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        workspace, _, second, row, _ = told
        dataset, _ = load_dataset(workspace, second.run.record["captured_in"])
        assert row.dataset_id == second.dataset.id
        held = dataset.parts == Part.CAPTURE_HOLDOUT
        assert 30 < held.sum() < 100
        assert all(dataset.origins[i].startswith("captured:d") for i in np.flatnonzero(held))

    def test_a_small_change_remembers_where_its_scales_come_from(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        workspace, first, second, _, _ = told
        found = champion(workspace, second.version, second.run)
        assert found.tflite != found.base == workspace.blobs.get(first.version.artifact_sha256)
        assert found.base_weights == workspace.blobs.get(first.run.record["weights_sha256"])

    def test_it_is_not_called_reproducible(
        self, told: tuple[Workspace, Trained, Trained, Retrain, list[str]]
    ) -> None:
        workspace, _, second, _, _ = told
        with pytest.raises(UsageError, match="began with an older version"):
            reproduce(workspace, second.run.id or 0)


class TestTwoWorlds:
    @pytest.fixture
    def proposed(self, tmp_path: Path) -> tuple[Workspace, Trained, Retrain]:
        workspace = digits_workspace(tmp_path / "w")
        more = '\n[retrain]\ncaptured_weight = 20\nstrategies = ["fine_tune"]\n'
        recipe = write_recipe(tmp_path, LONGER, ("[report]", more + "[report]"))
        alert = drifted(workspace, train_recipe(workspace, recipe), relabelled=True)
        retrain = find_retrain(workspace, alert, NOW)
        return workspace, run_retrain(workspace, retrain.id or 0), retrain_row(workspace, retrain.id)

    def test_a_version_for_the_cohort_is_proposed_and_taken_when_a_person_says_so(
        self, proposed: tuple[Workspace, Trained, Retrain]
    ) -> None:
        workspace, trained, row = proposed
        assert (row.state, trained.version.state) == ("PROPOSED", "rejected")
        assert trained.version.manifest_sha256 is None  # nothing is signed before a person accepts
        assert row.proposal["selector"] == 'site = "north"'
        assert row.reason is not None and row.reason.startswith(
            "No single model serves both worlds: fine_tune has"
        )
        assert 'a version for site = "north" alone, tiny@2' in row.reason
        version = specialise(workspace, row.id or 0)
        assert (version.state, version.selector) == ("registered", 'site = "north"')
        digest = version.manifest_sha256 or ""
        manifest = open_manifest(workspace.blobs.get(digest), bytes.fromhex(digest), workspace.trust[0])
        assert (manifest.version, manifest.artifacts[0].blob.hex) == (2, version.artifact_sha256)
        assert all(workspace.blobs.get(ref.hex) for ref in (manifest.observe, manifest.vectors))
        assert retrain_row(workspace, row.id).state == "REGISTERED"
        with pytest.raises(UsageError, match="is REGISTERED: it proposes no version"):
            specialise(workspace, row.id or 0)

    def test_a_proposal_that_is_declined_is_over(self, proposed: tuple[Workspace, Trained, Retrain]) -> None:
        workspace, _, row = proposed
        decline(workspace, row.id or 0)
        assert retrain_row(workspace, row.id).state == "REJECTED"
        with pytest.raises(NotFoundError, match="no retrain 77"):
            decline(workspace, 77)


class TestWhatCannotBeUndone:
    def test_a_model_behind_a_front_end_learns_from_its_own_inputs(self, tmp_path: Path) -> None:
        """A resized image does not give the sensor's back, as a spectrogram does not give its sound."""
        workspace = digits_workspace(tmp_path / "w")
        resized = 'steps = [{ op = "scale", factor = 0.0625 }, { op = "resize", height = 8, width = 8 }]'
        more = '\n[retrain]\nmargin_on_test = 0.2\nstrategies = ["frozen_scale"]\n'
        recipe = write_recipe(
            tmp_path,
            LONGER,
            LARGER,
            ('steps = [{ op = "scale", factor = 0.0625 }]', resized),
            ("[report]", more + "[report]"),
        )
        first = train_recipe(workspace, recipe)
        retrain = find_retrain(workspace, drifted(workspace, first), NOW)
        second = run_retrain(workspace, retrain.id or 0)
        kept, row = load_dataset(workspace, "digits.captured@1")
        assert kept.item_shape == (8, 8, 1)
        assert set(kept.counts()) >= {"train", "capture_holdout"} and kept.counts()["capture_holdout"] > 30
        assert retrain_row(workspace, retrain.id).dataset_id == row.id
        assert second.dataset.name == "digits"
        attempt = second.run.record["attempts"][0]
        assert attempt["gates"][-2]["value"] > attempt["gates"][-2]["limit"]


@pytest.mark.parametrize(("samples", "share"), [(20, 0.4), (150, 0.4), (200, 0.3), (300, 0.2), (5000, 0.2)])
def test_few_samples_hold_more_of_themselves_out(samples: int, share: float) -> None:
    assert holdout_share(samples) == pytest.approx(share)


def test_whom_a_proposal_is_for() -> None:
    assert selector_of("cohort", 'site = "north"', ["a", "b"]) == 'site = "north"'
    assert selector_of("scattered", None, ["b", "a"]) == 'device = "a" or device = "b"'
    assert selector_of("fleet", None, ["a", "b"]) == ""


def test_without_labelled_samples_nothing_is_tried(tmp_path: Path) -> None:
    workspace = digits_workspace(tmp_path / "w")
    trained = train_recipe(workspace, write_recipe(tmp_path))
    with workspace.registry.session() as session:
        alert = Alert(model_version_id=trained.version.id or 0, state="open", opened_at=NOW)
        session.add(alert)
    retrain = find_retrain(workspace, alert.id, NOW)
    with pytest.raises(DataError, match="no labelled samples of tiny@1 have come"):
        run_retrain(workspace, retrain.id or 0)
    assert retrain_row(workspace, retrain.id).state == "FAILED"


def test_a_version_without_its_weights_is_said(tmp_path: Path) -> None:
    workspace = digits_workspace(tmp_path / "w")
    version = ModelVersion(
        model="m",
        version=3,
        state="registered",
        run_id=1,
        artifact_sha256="",
        artifact_bytes=0,
        created_at=NOW,
    )
    run = Run(recipe="r", recipe_digest="d", dataset_id=1, seed=1, seconds=1.0, created_at=NOW)
    with pytest.raises(DataError, match="m@3 was registered without its weights"):
        champion(workspace, version, run)
