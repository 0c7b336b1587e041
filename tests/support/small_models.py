"""Recipes, data and models small enough to be trained within a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeops.training.architectures.build import build
from edgeops.training.arrays import Float32
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import TrainingSet
from edgeops.training.recipe import Recipe, load_recipe

# kind to input shape and parameters
SMALL: dict[str, tuple[tuple[int, ...], str]] = {
    "small_cnn": ((8, 8, 1), "filters = [4, 8]\ndense = 16"),
    "ds_cnn": ((20, 8, 1), "filters = 8\nblocks = 2\ndropout = 0.1"),
    "cnn_1d": ((32, 2), "filters = [6, 8]\ndense = 8"),
    "dense": ((6,), "units = [16, 8]"),
    "resnet_8": ((16, 16, 1), "filters = [4, 8]"),
    "autoencoder": ((16,), "units = 12\nlayers = 2\ncode = 3"),
}


def small_recipe(folder: Path, kind: str, more: str = "", parameters: str | None = None) -> Recipe:
    """A recipe of one architecture; ``more`` are further sections, ``[training]`` with its epochs among them."""
    shape, usual = SMALL[kind]
    task = 'task = "anomaly"\n' if kind == "autoencoder" else ""
    text = (
        f'[recipe]\nname = "small"\n{task}[data]\nname = "blobs"\n'
        f'kind = "{"image" if len(shape) == 3 else "series"}"\n'
        f'[architecture]\nkind = "{kind}"\n{usual if parameters is None else parameters}\n'
    )
    path = folder / "recipe.toml"
    path.write_text(text + (more if "[training]" in more else f"[training]\nepochs = 2\n{more}"))
    return load_recipe(path)


def blobs(
    shape: tuple[int, ...], classes: int = 3, train: int = 120, validation: int = 60, noise: float = 1.0
) -> TrainingSet:
    """A cloud of inputs round a pattern for each class."""
    rng = np.random.default_rng(1)
    patterns = rng.normal(size=(classes, *shape))
    targets = rng.integers(0, classes, train + validation)
    inputs = (patterns[targets] + noise * rng.normal(size=(train + validation, *shape))).astype(np.float32)
    kept = (inputs[train:], targets[train:])
    return TrainingSet(inputs[:train], targets[:train], np.arange(train), kept, classes)


def random_model(recipe: Recipe, shape: tuple[int, ...], classes: int = 3, seed: int = 1) -> Any:
    """The recipe's model with no weight, bias or statistic left as it was initialised."""
    _, keras = load_tensorflow()
    keras.utils.set_random_seed(seed)
    model = build(recipe, keras, shape, classes)
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" not in variable.path:
            change = 0.2 * rng.normal(size=variable.shape)
            # a variance stays positive
            variable.assign(variable.numpy() + (abs(change) if "variance" in variable.path else change))
    return model


def unsettle(model: Any, pairs: tuple[tuple[str, str], ...], spread: float) -> None:
    """Scale channels by very different factors, and undo it in the layer that reads them.

    In float nothing changes, since a ReLU lies between; int8 has one scale for all channels of a tensor.
    """
    rng = np.random.default_rng(5)
    for maker, reader in pairs:
        weights = model.get_layer(maker).get_weights()
        factors = np.exp(spread * rng.normal(size=weights[0].shape[-1])).astype(np.float32)
        model.get_layer(maker).set_weights([weights[0] * factors, weights[1] * factors, *weights[2:]])
        kernel, *rest = model.get_layer(reader).get_weights()
        model.get_layer(reader).set_weights([kernel / factors[:, None], *rest])


def settle(model: Any, x: Float32) -> None:
    """Give every normalisation the statistics of these inputs."""
    for layer in model.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    model(x, training=True)
