"""Built-in architectures, and those that a recipe brings as Python code.

Every layer has a fixed name: names reach the bytes of the ``.tflite``, and the same recipe must give the same
bytes whatever was built before it in the process.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from edgeops.core.errors import ConfigError
from edgeops.training.backend import load_tensorflow
from edgeops.training.recipe import Recipe

Builder = Callable[..., Any]


def small_cnn(
    input_shape: tuple[int, ...], n_classes: int, *, filters: list[int], dense: int, dropout: float
) -> Any:
    """A keras model of 3x3 convolutions, halved once after the second, then one dense layer and a softmax.

    Takes (N, height, width, channels) float32 and gives (N, n_classes) probabilities.
    """
    _, keras = load_tensorflow()
    layers = keras.layers
    image = keras.Input(input_shape, name="image")
    x = image
    for number, size in enumerate(filters, start=1):
        x = layers.Conv2D(size, 3, padding="same", activation="relu", name=f"conv_{number}")(x)
        if number == min(2, len(filters)):
            x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(dense, activation="relu", name="dense")(x)
    scores = layers.Dense(n_classes, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="small_cnn")


BUILDERS: Mapping[str, Builder] = MappingProxyType({"small_cnn": small_cnn})


def build(recipe: Recipe, input_shape: tuple[int, ...], n_classes: int) -> Any:
    """The recipe's untrained keras model: (N, *input_shape) float32 to (N, n_classes) probabilities.

    Raises ``ConfigError`` when the recipe's own code does not load or gives a model of other shapes.
    """
    chosen = recipe.architecture
    builder = BUILDERS[chosen.kind] if chosen.python is None else _own_builder(recipe)
    model = builder(input_shape, n_classes, **chosen.parameters)
    expected = ((None, *input_shape), (None, n_classes))
    found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    if found != expected:
        raise ConfigError(
            f"{recipe.path}: the model maps {found[0]} to {found[1]}, not {expected[0]} to {expected[1]}",
            file=str(recipe.path),
            key="architecture",
        )
    return model


def _own_builder(recipe: Recipe) -> Builder:
    """The function that ``architecture.python`` names; its file runs with all rights of this process."""
    assert recipe.architecture.python is not None
    path, function = recipe.architecture.python
    spec = importlib.util.spec_from_file_location(f"edgeops_recipe_{recipe.digest[:12]}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        builder = getattr(module, function)
    except (SyntaxError, ImportError, AttributeError, NameError) as error:
        raise ConfigError(
            f"{path}:{function} does not load: {error}",
            fix=f"define {function}(input_shape, n_classes, **parameters) -> keras.Model in {path.name}",
            file=str(recipe.path),
            key="architecture.python",
        ) from error
    return builder
