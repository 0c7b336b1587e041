"""Every shipped recipe, start to signed manifest, on a few generated inputs of its kind: one epoch each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeops.core.codec import encode
from edgeops.core.features.steps import quantized_input
from edgeops.core.outputs import class_scores
from edgeops.data.dataset import Dataset
from edgeops.data.items import item_digests
from edgeops.data.recordings import Recordings
from edgeops.data.splitting import Part
from edgeops.training.evaluate import predict_int8
from edgeops.training.package import build_package
from edgeops.training.pipeline import train
from edgeops.training.recipe import Recipe, load_recipe, shipped_recipes

CYCLE = (Part.TRAIN, Part.TRAIN, Part.VALIDATION, Part.TEST)


def generated(recipe: Recipe) -> Dataset:
    """Twelve items a class that differ by class, of the kind and size that the recipe takes."""
    rng = np.random.default_rng(1)
    labels = ("ball", "normal") if recipe.data.kind == "series" else ("no", "yes")
    slices: Mapping[str, tuple[str, ...]] = {}
    rate = 0.0
    items = []
    for index in range(24):
        kind = index % 2
        if recipe.data.kind == "image":
            side = 8 if recipe.name == "digits" else 32
            shape = (side, side) if recipe.name == "digits" else (side, side, 3)
            items.append(rng.integers(0, 120 + 100 * kind, shape).astype(np.uint8))
        elif recipe.data.kind == "audio":
            rate = 8000.0
            time = np.arange(6000 + 100 * index)
            items.append(
                (9000 * np.sin(time * (0.1 + 0.3 * kind)) + rng.normal(0, 90, len(time))).astype(np.int16)
            )
        else:
            rate = 12_000.0
            time = np.arange(80_000 + index)
            wave = np.sin(time * (0.9 - 0.7 * kind)) + rng.normal(0, 0.1, len(time))
            items.append(wave.astype(np.float32)[:, None])
    if recipe.data.kind == "series":
        slices = {"load_hp": tuple("0" if i % 2 else str(i // 2 % 3) for i in range(24))}
    uniform = len({item.shape for item in items}) == 1
    inputs = np.stack(items) if uniform else Recordings.of(items)
    assert len(set(item_digests(inputs))) == 24
    return Dataset(
        recipe.data.name,
        1,
        inputs,
        np.arange(24) % 2,
        labels,
        np.array([CYCLE[i // 2 % 4] for i in range(24)], np.uint8),
        ("source",) * 24,
        recipe.data.kind,
        slices=slices,
        sample_rate_hz=rate,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_a_recipe_becomes_a_manifest_that_a_device_can_follow(name: str) -> None:
    shipped = load_recipe(shipped_recipes()[name])
    recipe = dataclasses.replace(shipped, training=dataclasses.replace(shipped.training, epochs=1))
    dataset = generated(recipe)
    result = train(recipe, dataset, 1)
    manifest = build_package(result, recipe, 1, [Ed25519PrivateKey.generate()]).manifest
    assert len(encode(manifest)) <= 2048
    # one raw input, as a sensor gives it, goes through the manifest's own front end and the model
    raw = np.asarray(dataset.inputs[0])[: manifest.raw_shape[0]]
    if len(raw) < manifest.raw_shape[0]:
        raw = np.pad(raw, (0, manifest.raw_shape[0] - len(raw)))
    quantized = quantized_input(manifest, raw)
    output = predict_int8(result.tflite, quantized[None])[0]
    scores = class_scores(manifest, quantized, output)
    assert scores.shape == (len(manifest.labels),)
    assert scores.dtype == np.int8
