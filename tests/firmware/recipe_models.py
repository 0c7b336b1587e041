"""Models of the shipped recipes, trained for one round on real data, with the int8 inputs that they are tested on."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.bench_recipes import DATA, EDGEOPS, ROWS

EPOCHS = 1
"""A model that has seen each input once has weights of real kinds; how good it is does not matter here."""
WITH_DATA = ("keyword", "vibration", "anomaly", "image")
NAMES = ("digits", *WITH_DATA)


@dataclass(frozen=True, eq=False)
class Trained:
    """An int8 model, and ``test_inputs`` (N, *shape) int8: the whole test part of its dataset."""

    tflite: bytes
    test_inputs: NDArray[np.int8]


@cache
def trained(name: str) -> Trained:
    """The recipe ``name``, trained; skips without what it learns from."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("sklearn")
    from edgeops.data.dataset import new_dataset
    from edgeops.data.sources import read_source
    from edgeops.training.pipeline import train
    from edgeops.training.recipe import load_recipe, shipped_recipes

    with tempfile.TemporaryDirectory() as folder:
        if name in WITH_DATA:
            dataset = _ingested(name, Path(folder))
        else:
            dataset = new_dataset(name, read_source(f"sklearn:{name}"))
        recipe = Path(folder) / "recipe.toml"
        text = shipped_recipes()[name].read_text()
        recipe.write_text(re.sub(r"^epochs = \d+", f"epochs = {EPOCHS}", text, flags=re.MULTILINE))
        result = train(load_recipe(recipe), dataset, seed=1)
    return Trained(result.tflite, result.test_inputs)


def _ingested(name: str, folder: Path):  # type: ignore[no-untyped-def]  # a Dataset, imported late
    from edgeops.control.datasets import load_dataset
    from edgeops.control.workspace import Workspace

    data = os.environ.get(DATA)
    if not data:
        pytest.skip(
            f"set {DATA} to a folder with the data of the recipe {name} (benchmarks/bench_recipes.py)"
        )
    (file, dataset, *options), split = next((row[1], row[2]) for row in ROWS if row[3] == name)
    add = ["data", "add", str(Path(data) / file), "--name", dataset, "--split", split, *options]
    for arguments in (["init", str(folder / "workspace")], [*add, "--workspace", str(folder / "workspace")]):
        subprocess.run([*EDGEOPS, *arguments], check=True, capture_output=True, timeout=600)
    return load_dataset(Workspace(folder / "workspace"), dataset)[0]
