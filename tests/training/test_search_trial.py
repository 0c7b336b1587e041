"""One trial of a search, trained for real: what is judged, what costs no training, and what is only an answer."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeops.core.errors import DataError
from edgeops.data.dataset import Dataset, Part, new_dataset, save
from edgeops.data.items import Items
from edgeops.training import search_trial
from edgeops.training.quantize import open_model
from edgeops.training.recipe.load import read_document
from edgeops.training.search_space import own_values, search_space
from edgeops.training.search_trial import TargetFit, TrialFigures, TrialJob, run_trial

RECIPE = """\
[recipe]
name = "tiny"
task = "{task}"
[data]
name = "items"
[preprocessing]
steps = [{{ op = "resize", height = 8, width = 8 }}, {{ op = "scale", factor = 0.004 }}]
[architecture]
{architecture}
[training]
epochs = {epochs}
batch_size = 16
learning_rate = 0.01
[gates]
max_artifact_bytes = {limit}
[search]
space = [{entry}]
"""
SMALL = 'kind = "small_cnn"\nfilters = [4]\ndense = 8'
DENSE = '{ key = "architecture.dense", low = 4, high = 12 }'
SIZE = '{ key = "preprocessing.steps.0.height", also = ["preprocessing.steps.0.width"], choices = [8, 1] }'


class Check:
    """A target that takes models up to so many bytes, and remembers what it was asked."""

    def __init__(self, most: int = 10**6) -> None:
        self.most = most
        self.asked: list[bytes] = []

    def __call__(self, tflite: bytes) -> TargetFit:
        self.asked.append(tflite)
        fits = len(tflite) <= self.most
        reasons = () if fits else ("it is too large",)
        return TargetFit(fits, reasons, len(tflite), 1000, 500, (1.0, 2.0), len(tflite) / self.most)


@pytest.fixture(scope="module")
def items() -> Dataset:
    """Two kinds of images: bright above, or bright below."""
    rng = np.random.default_rng(4)
    targets = np.arange(240) % 2
    images = rng.integers(0, 60, (240, 8, 8))
    images[targets == 0, :4] += 150
    images[targets == 1, 4:] += 150
    labels = ("normal", "other")
    return new_dataset("items", Items(images.astype(np.uint8), targets.astype(np.int64), labels, (), "image"))


@pytest.fixture(scope="module")
def folder(items: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("items") / "1"
    save(items, made)
    return made


def job(
    place: Path,
    dataset: Path,
    architecture: str = SMALL,
    entry: str = DENSE,
    *,
    limit: int = 100_000,
    epochs: int = 2,
    task: str = "classification",
) -> TrialJob:
    path = place / "recipe.toml"
    path.write_text(
        RECIPE.format(architecture=architecture, entry=entry, limit=limit, epochs=epochs, task=task)
    )
    source, document = read_document(path)
    return TrialJob(source, document, search_space(source, document), dataset, seed=3, epochs=None)


def run(there: TrialJob, check: Check, **values: Any) -> TrialFigures:
    own = own_values(there.space) or {}
    return run_trial(there, check, {**own, **{f"architecture.{name}": v for name, v in values.items()}})


def forbid(monkeypatch: pytest.MonkeyPatch, names: Sequence[str]) -> None:
    def forbidden(*args: object) -> None:
        raise AssertionError("this must not be called")

    for name in names:
        monkeypatch.setattr(search_trial, name, forbidden)


def test_what_fits_is_trained_and_judged(tmp_path: Path, folder: Path) -> None:
    check = Check()
    found = run(job(tmp_path, folder), check)
    assert found.feasible
    assert found.violation == 0
    assert found.quality is not None and found.quality > 0.9
    untrained, trained = check.asked
    assert untrained != trained
    assert found.fit == check(trained)
    assert run(job(tmp_path, folder), Check(), dense=12).fit != found.fit


def test_the_same_trial_gives_the_same_figures(tmp_path: Path, folder: Path) -> None:
    first, second = Check(), Check()
    there = run(job(tmp_path, folder), first)
    again = run(pickle.loads(pickle.dumps(job(tmp_path, folder))), second)
    assert second.asked == first.asked
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(there, seconds=0)
    assert TrialFigures.from_dict(json.loads(json.dumps(there.to_dict()))) == there


def test_what_does_not_fit_is_not_trained(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, ["train_float", "validation_quality"])
    check = Check(most=1000)
    found = run(job(tmp_path, folder), check)
    assert (found.feasible, found.quality, found.reasons) == (False, None, ("it is too large",))
    assert len(check.asked) == 1
    assert found.violation == pytest.approx(len(check.asked[0]) / 1000 - 1)


def test_what_cannot_be_measured_untrained_is_measured_when_it_is_trained(
    tmp_path: Path, folder: Path
) -> None:
    class Undecided(Check):
        def __call__(self, tflite: bytes) -> TargetFit:
            fit = super().__call__(tflite)
            if len(self.asked) > 1:
                return fit
            return dataclasses.replace(
                fit, fits=False, reasons=("it is refused",), share=None, undecided=True
            )

    found = run(job(tmp_path, folder), Undecided())
    assert found.feasible
    assert found.reasons == ()


def test_an_untrained_model_has_scores_that_a_softmax_can_take(tmp_path: Path, folder: Path) -> None:
    """TensorFlow Lite Micro ends the process where their scale is below 2**-26."""
    entry = '{ key = "training.batch_size", low = 16, high = 32 }'
    asked = Check(most=1)
    run_trial(job(tmp_path, folder, 'kind = "ds_cnn"', entry), asked, {"training.batch_size": 16})
    interpreter = open_model(asked.asked[0])
    (softmax,) = [one for one in interpreter._get_ops_details() if one["op_name"] == "SOFTMAX"]
    (taken,) = softmax["inputs"]
    scales = {one["index"]: one["quantization"][0] for one in interpreter.get_tensor_details()}
    assert scales[taken] > 2**-12


def test_nor_is_what_the_recipes_own_gate_would_refuse(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, ["train_float"])
    found = run(job(tmp_path, folder, limit=500), Check())
    assert found.reasons[0].endswith("gates.max_artifact_bytes is 500")
    assert found.fit is not None and not found.fit.fits
    assert found.violation > 1


def test_what_does_not_build_is_an_answer_and_no_error(tmp_path: Path, folder: Path) -> None:
    there, check = job(tmp_path, folder, entry=SIZE), Check()
    found = run_trial(there, check, {"preprocessing.steps.0.height": 1})
    assert (found.fit, found.quality, check.asked) == (None, None, [])
    assert "does not build for inputs of (1, 1, 1)" in found.reasons[0]
    assert run_trial(there, check, {"preprocessing.steps.0.height": 8}).feasible


def test_the_test_part_is_never_looked_at(tmp_path: Path, items: Dataset, folder: Path) -> None:
    wrong = np.where(items.parts == Part.TEST, 1 - items.targets, items.targets)
    save(dataclasses.replace(items, targets=wrong), tmp_path / "wrong")
    there, misled = Check(), Check()
    quality = run(job(tmp_path, folder), there).quality
    assert run(job(tmp_path, tmp_path / "wrong"), misled).quality == quality
    assert misled.asked == there.asked


def test_a_dataset_that_cannot_be_used_is_an_error(tmp_path: Path, items: Dataset) -> None:
    parts = np.where(items.parts == Part.VALIDATION, np.uint8(Part.TRAIN), items.parts)
    save(dataclasses.replace(items, parts=parts), tmp_path / "few")
    with pytest.raises(DataError, match="'validation' of items@1 is empty"):
        run(job(tmp_path, tmp_path / "few"), Check())


def test_where_anomalies_are_found_it_is_judged_by_what_is_restored(tmp_path: Path, folder: Path) -> None:
    entry = '{ key = "architecture.code", low = 2, high = 8 }'
    kind = 'kind = "autoencoder"\nunits = 16\nlayers = 1\ncode = 4'

    def explained(epochs: int) -> float:
        found = run(job(tmp_path, folder, kind, entry, epochs=epochs, task="anomaly"), Check())
        assert found.quality is not None
        return found.quality

    assert explained(1) < explained(25) < 1
