"""What an update costs as a patch, by the codec and by how the new model was made: real pairs, trained here.

A parent and three children of each model: trained again from scratch, fine-tuned within the parent's scales, and only
its last layer fine-tuned. ``EDGEOPS_DATA`` names a folder with ``fsdd_speech.tar.gz`` for the keyword model. Codecs
whose packages are not installed (zstandard, bsdiff4, detools) are left out of the notes.
"""

from __future__ import annotations

import importlib
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeops.core.errors import EdgeOpsError
from edgeops.core.patches import CODECS, make_patch
from edgeops.fleet.patches import CODEC

MODELS = Path(__file__).parents[1] / "models"
DATA = "EDGEOPS_DATA"
KINDS = ("retrained", "frozen_scale", "head")
# model, dataset, epochs of the parent, epochs of a fine-tuning
TRAINED = (("digits", 6, 2), ("keyword", 4, 1))
Size = Callable[[bytes, bytes], int]


def rows() -> list[dict[str, Any]]:
    """A row for each model and kind of child: the patch that is offered, as a share of the whole blob."""
    found = []
    codecs = sizes()
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as folder:
        for model, epochs, further in TRAINED:
            dataset = dataset_in(Path(folder) / model, model)
            pairs = children(model, dataset, epochs, further) if dataset is not None else {}
            for kind in KINDS:
                if kind in pairs:
                    base, target = pairs[kind]
                    shares = {name: size(base, target) / len(target) for name, size in codecs.items()}
                    listed = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
                    found.append(row(model, kind, shares[CODEC], f"of {len(target)} bytes: {listed}"))
                else:
                    found.append(row(model, kind, None, f"set {DATA} to a folder with its dataset"))
    return found


def row(model: str, kind: str, share: float | None, note: str) -> dict[str, Any]:
    """One row."""
    name = f"patch_{model}_{kind}"
    return {"name": name, "value": share, "unit": "of blob", "better": "lower", "peer": None, "note": note}


def dataset_in(folder: Path, model: str) -> Any:
    """The model's dataset, ingested into a workspace of its own; None where its data are not here."""
    from edgeops.control.datasets import add_dataset, load_dataset
    from edgeops.control.settings import Settings
    from edgeops.control.workspace import init_workspace
    from edgeops.data.readers.entry import Request

    workspace = init_workspace(folder, Settings("bench"))
    if model == "digits":
        add_dataset(workspace, "sklearn:digits", "digits")
    else:
        archive = Path(os.environ.get(DATA) or folder) / "fsdd_speech.tar.gz"
        if not archive.exists():
            return None
        add_dataset(workspace, str(archive), model, Request(pattern="{label}/{speaker}_nohash_{take}"))
    return load_dataset(workspace, model)[0]


def children(model: str, dataset: Any, epochs: int, further: int) -> dict[str, tuple[bytes, bytes]]:
    """Pairs (parent, child) of ``.tflite`` bytes by kind. The children learn from inputs of a sensor that moved."""
    from edgeops.data.splitting import Part
    from edgeops.training.finetune import Strategy, fine_tune
    from edgeops.training.fit import TrainingSet
    from edgeops.training.pipeline import train
    from edgeops.training.prepare import prepare
    from edgeops.training.recipe import load_recipe
    from edgeops.training.weights import rebuilt, to_bytes

    recipe = load_recipe(MODELS / model / "recipe.toml")
    recipe = replace(recipe, training=replace(recipe.training, epochs=epochs))
    parent = train(recipe, dataset, 1)
    pairs = {"retrained": (parent.tflite, train(recipe, dataset, 2).tflite)}
    data = prepare(recipe, dataset)
    moved = (0.9 * data.inputs + np.random.default_rng(0).normal(0, 0.05, data.inputs.shape)).astype(
        np.float32
    )
    validation = data.part(Part.VALIDATION)
    seen = TrainingSet(moved, data.targets, data.rows(Part.TRAIN), validation, len(data.labels))
    weights = to_bytes(parent.fitted.model)
    for strategy in (Strategy.FROZEN_SCALE, Strategy.HEAD):
        network = rebuilt(recipe, parent.input.shape, len(data.labels), weights)
        tuned = fine_tune(recipe, network, parent.tflite, seen, strategy, 1, epochs=further)
        pairs[str(strategy)] = (parent.tflite, tuned.tflite)
    return pairs


def sizes() -> dict[str, Size]:
    """How long the update is, by codec: ours, and those of others that are installed."""
    found: dict[str, Size] = {}
    for name in CODECS:
        try:
            make_patch(name, b"base", b"target")
        except EdgeOpsError:
            continue  # what it is made with is not installed
        found[name] = lambda base, target, name=name: len(make_patch(name, base, target))  # type: ignore[misc]
    if zstandard := _installed("zstandard"):

        def packed(plain: bytes, **options: Any) -> int:
            return len(zstandard.ZstdCompressor(level=22, **options).compress(plain))

        def patch_from(base: bytes, target: bytes) -> int:
            known = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            return packed(target, dict_data=known)

        def difference(base: bytes, target: bytes) -> int:
            length = max(len(base), len(target))
            old, new = (np.frombuffer(b.ljust(length, b"\0"), np.uint8) for b in (base, target))
            return packed((new - old)[: len(target)].tobytes())

        found["zstd alone"] = lambda base, target: packed(target)
        found["zstd --patch-from"] = patch_from
        found["difference + zstd"] = difference
    if bsdiff4 := _installed("bsdiff4"):
        found["bsdiff4"] = lambda base, target: len(bsdiff4.diff(base, target))
    if detools := _installed("detools"):

        def in_detools(base: bytes, target: bytes, compression: str) -> int:
            patch = io.BytesIO()
            detools.create_patch(io.BytesIO(base), io.BytesIO(target), patch, compression=compression)
            return len(patch.getvalue())

        for how in ("lzma", "heatshrink"):
            found[f"detools {how}"] = lambda base, target, how=how: in_detools(base, target, how)  # type: ignore[misc]
    return found


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    for measured in rows():
        value = measured["value"]
        print(f"{measured['name']:28} {'-' if value is None else f'{value:.1%}'}  {measured['note']}")
