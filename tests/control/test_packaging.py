"""A version in two forms, ``.tflite`` and execution plan: what is packaged, and what is said where one is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.trained import digits_workspace, write_recipe

from edgeops.compile import compile_plan
from edgeops.control import packaging
from edgeops.control.datasets import load_dataset
from edgeops.control.model_cards import model_card
from edgeops.control.packaging import COMPILES, TOO_LONG, Packaged, forms_of, packaged
from edgeops.control.training_jobs import Trained, register, require_gates
from edgeops.control.workspace import Workspace
from edgeops.core.codec import decode, encode
from edgeops.core.errors import DataError, GateFailed, WireError
from edgeops.core.manifest import Manifest
from edgeops.core.selftest import SelfTest, difference
from edgeops.core.signing import unverified_payload
from edgeops.registry.lineage import lineage
from edgeops.registry.tables import DatasetVersion, ModelVersion
from edgeops.reports.model_card_page import render_html, render_markdown
from edgeops.targets.micro import has_micro, micro_outputs
from edgeops.training.package import SELF_TEST_TOLERANCE, SELF_TESTS, self_test_vectors
from edgeops.training.pipeline import TrainingResult, train
from edgeops.training.recipe import Recipe, load_recipe

needs_micro = pytest.mark.skipif(not has_micro(), reason="tflite-micro has wheels for x86-64 Linux only")
NO_TILE = DataError("the operator TILE is not among those that a plan has", operator="TILE")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    folder = tmp_path_factory.mktemp("trained")
    recipe = load_recipe(write_recipe(folder / "recipe"))
    dataset, _ = load_dataset(digits_workspace(folder / "farm"), "digits")
    return train(recipe, dataset, 1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return digits_workspace(tmp_path / "farm")


def recipe_of(folder: Path, runtimes: str = "") -> Recipe:
    """The tiny recipe, with what it says of ``[package] runtimes``."""
    extra = f"[package]\nruntimes = {runtimes}\n[report]" if runtimes else "[report]"
    return load_recipe(write_recipe(folder, ("[report]", extra)))


def registered(workspace: Workspace, recipe: Recipe, result: TrainingResult) -> Trained:
    _, row = load_dataset(workspace, "digits")
    assert isinstance(row, DatasetVersion)
    return register(workspace, recipe, row, result, result.gates)


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(model: bytes) -> None:
        raise NO_TILE

    monkeypatch.setattr(packaging, "compile_plan", refusing)


def manifest_of(workspace: Workspace, version: ModelVersion) -> Manifest:
    return decode(Manifest, unverified_payload(workspace.blobs.get(version.manifest_sha256 or "")))


class TestBothForms:
    def test_a_version_is_packaged_as_tflite_and_as_plan(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        trained = registered(workspace, recipe_of(tmp_path), result)
        tflite, plan = manifest_of(workspace, trained.version).artifacts
        made = compile_plan(result.tflite)
        assert (tflite.runtime, tflite.target, tflite.arena_bytes) == ("tflite", "any", 0)
        assert (plan.runtime, plan.target, plan.arena_bytes) == ("plan", "any", made.arena_bytes)
        assert workspace.blobs.get(plan.blob.hex) == made.plan
        assert plan.blob.chunk_list is not None and workspace.blobs.get(plan.blob.chunk_list.hex())
        document = trained.as_dict()
        assert [(a["runtime"], a["bytes"]) for a in document["artifacts"]] == [  # type: ignore[attr-defined]
            ("tflite", len(result.tflite)),
            ("plan", made.plan_bytes),
        ]
        assert document["not_packaged"] == {}

    def test_the_same_result_gives_the_same_package(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        recipe = recipe_of(tmp_path)
        one, two = (packaged(workspace, recipe, result, 1).package for _ in range(2))
        assert one.envelope == two.envelope and one.blobs == two.blobs

    def test_card_and_lineage_show_both(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        version = registered(workspace, recipe_of(tmp_path), result).version
        made = compile_plan(result.tflite)
        card = model_card(workspace, "tiny@1")
        for page in (render_markdown(card), render_html(card)):
            assert f"{len(result.tflite)} bytes, sha256 {version.artifact_sha256}" in page
            assert f"{made.plan_bytes} bytes" in page and f"arena {made.arena_bytes} bytes" in page
        with workspace.registry.reading() as session:
            document = lineage(session, session.get_one(ModelVersion, version.id))
        assert [form["runtime"] for form in document["artifacts"]] == ["tflite", "plan"]


class TestSelfTest:
    @needs_micro
    def test_the_packaged_vectors_pass_on_the_plan_too(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        version = registered(workspace, recipe_of(tmp_path), result).version
        test = decode(SelfTest, workspace.blobs.get(manifest_of(workspace, version).vectors.hex))
        shape = result.validation_inputs.shape[1:]
        inputs = np.stack([np.frombuffer(one, np.int8).reshape(shape) for one in test.inputs])
        outputs = micro_outputs(result.tflite, inputs)
        assert outputs is not None and len(outputs) == len(test.outputs) == SELF_TESTS
        pairs = zip(test.outputs, outputs, strict=True)
        assert [difference(want, got, test.tolerance) for want, got in pairs] == [None] * SELF_TESTS

    def test_an_input_on_which_the_plan_answers_otherwise_is_no_vector(self, result: TrainingResult) -> None:
        of_input = {
            x.tobytes(): y for x, y in zip(result.validation_inputs, result.validation_outputs, strict=True)
        }
        refused: list[bytes] = []

        def other(inputs: NDArray[np.int8]) -> NDArray[np.int8]:
            outputs = np.stack([of_input[x.tobytes()] for x in inputs])
            for row in range(0, len(inputs), 2):
                outputs[row] = -outputs[row][::-1]
                refused.append(inputs[row].tobytes())
            return outputs

        vectors = self_test_vectors(result, other)
        assert len(vectors.inputs) == SELF_TESTS and refused
        assert not {*vectors.inputs} & {*refused}

    def test_rounding_by_as_many_steps_as_are_allowed_passes(self, result: TrainingResult) -> None:
        def off(by: int) -> SelfTest:
            wanted = {
                x.tobytes(): y
                for x, y in zip(result.validation_inputs, result.validation_outputs, strict=True)
            }

            def outputs(inputs: NDArray[np.int8]) -> NDArray[np.int8]:
                # all but the highest class, which stays so
                true = np.stack([wanted[x.tobytes()] for x in inputs]).astype(np.int16)
                highest = true == true.max(axis=1, keepdims=True)
                return np.where(highest, true, true - by).clip(-128, 127).astype(np.int8)

            return self_test_vectors(result, outputs)

        assert len(off(SELF_TEST_TOLERANCE).inputs) == SELF_TESTS
        with pytest.raises(DataError, match="on none of 24 validation inputs"):
            off(SELF_TEST_TOLERANCE + 1)

    def test_where_nobody_can_tell_they_are_those_of_the_tflite(self, result: TrainingResult) -> None:
        assert self_test_vectors(result, lambda inputs: None) == self_test_vectors(result)

    @needs_micro
    def test_a_model_that_tflm_cannot_run_tells_nothing(self, result: TrainingResult) -> None:
        assert micro_outputs(b"no model", result.validation_inputs[:2]) is None
        assert micro_outputs(result.tflite, result.validation_inputs[:0]) is None


class TestWithoutAPlan:
    def test_a_recipe_may_leave_it_out(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        trained = registered(workspace, recipe_of(tmp_path, '["tflite"]'), result)
        (only,) = manifest_of(workspace, trained.version).artifacts
        assert only.runtime == "tflite"
        assert "[package] runtimes" in trained.run.record["not_packaged"]["plan"]

    def test_a_recipe_may_be_for_microcontrollers_alone(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        trained = registered(workspace, recipe_of(tmp_path, '["plan"]'), result)
        (only,) = manifest_of(workspace, trained.version).artifacts
        assert only.runtime == "plan"
        assert workspace.blobs.get(trained.version.artifact_sha256) == result.tflite
        assert "not for devices" in render_markdown(model_card(workspace, "tiny@1"))

    def test_what_cannot_be_compiled_is_packaged_without_and_the_reason_is_kept(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse(monkeypatch)
        trained = registered(workspace, recipe_of(tmp_path), result)
        assert trained.version.state == "registered"
        assert [a.runtime for a in manifest_of(workspace, trained.version).artifacts] == ["tflite"]
        assert trained.as_dict()["not_packaged"] == {"plan": NO_TILE.message}
        assert f"none: {NO_TILE.message}" in render_markdown(model_card(workspace, "tiny@1"))
        with workspace.registry.reading() as session:
            row = session.get_one(ModelVersion, trained.version.id)
            assert lineage(session, row)["not_packaged"] == {"plan": NO_TILE.message}

    def test_a_recipe_that_names_it_has_the_version_rejected(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse(monkeypatch)
        trained = registered(workspace, recipe_of(tmp_path, '["tflite", "plan"]'), result)
        assert trained.version.state == "rejected" and trained.version.manifest_sha256 is None
        with pytest.raises(GateFailed, match="it cannot be compiled to a plan: the operator TILE") as caught:
            require_gates(trained)
        assert "take plan out of [package] runtimes" in (caught.value.fix or "")

    def test_the_gate_of_one_that_compiles_passes(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path
    ) -> None:
        trained = registered(workspace, recipe_of(tmp_path, '["tflite", "plan"]'), result)
        assert [g["passed"] for g in trained.run.gates if g["name"] == COMPILES] == [True]

    def test_a_manifest_without_room_for_it_goes_without(
        self, workspace: Workspace, result: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = recipe_of(tmp_path)

        def made(how: Recipe) -> Packaged:
            return packaged(workspace, how, result, 1, forms_of(how, result))

        whole = made(recipe)
        monkeypatch.setattr(Manifest, "MAX_BYTES", len(encode(whole.package.manifest)) - 1)
        less = made(recipe)
        assert [a.runtime for a in less.package.manifest.artifacts] == ["tflite"]
        assert less.left_out == {"plan": TOO_LONG}
        with pytest.raises(WireError):
            made(dataclasses.replace(recipe, package=dataclasses.replace(recipe.package, required=True)))


def test_the_forms_do_not_change_the_model(tmp_path: Path) -> None:
    plain, alone = recipe_of(tmp_path / "a"), recipe_of(tmp_path / "b", '["plan"]')
    assert plain.digest == alone.digest
    assert (plain.package.runtimes, plain.package.required) == (("tflite", "plan"), False)
    assert (alone.package.runtimes, alone.package.required) == (("plan",), True)
