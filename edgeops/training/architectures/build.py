"""Building a recipe's model, whether its architecture is built in or the recipe's own code."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from edgeops.core.errors import ConfigError
from edgeops.training.architectures.catalogue import ARCHITECTURES
from edgeops.training.recipe.sections import Recipe
from edgeops.training.recipe.wrong import wrong


def build(recipe: Recipe, keras: Any, input_shape: tuple[int, ...], n_classes: int) -> Any:
    """The recipe's untrained model of ``keras``: (N, *input_shape) float32 to (N, n_classes) probabilities.

    An architecture that finds anomalies gives back its input's shape. Raises ``ConfigError`` when the input
    does not suit it, or the recipe's own code does not load or gives a model of other shapes.
    """
    chosen = recipe.architecture
    if chosen.python is not None:
        model = _own_builder(recipe)(input_shape, n_classes, **chosen.parameters)
    else:
        built_in = ARCHITECTURES[chosen.kind]
        if built_in.rank and len(input_shape) != built_in.rank:
            others = [
                name
                for name, other in ARCHITECTURES.items()
                if other.rank in (0, len(input_shape)) and other.reconstructs == built_in.reconstructs
            ]
            raise wrong(
                recipe,
                "architecture.kind",
                f"{chosen.kind!r} takes inputs of {built_in.rank} dimensions; after preprocessing they have "
                f"shape {input_shape}",
                fix=f"set architecture.kind to {' or '.join(others)}, or preprocessing.steps that give "
                f"{built_in.rank} dimensions"
                if others
                else None,
            )
        try:
            model = built_in.build(keras, input_shape, n_classes, **chosen.parameters)
        except ValueError as error:
            raise wrong(
                recipe, "architecture", f"{chosen.kind!r} does not build for inputs of {input_shape}: {error}"
            ) from error
    wanted = (None, *input_shape) if recipe.finds_anomalies else (None, n_classes)
    found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    if found != ((None, *input_shape), wanted):
        raise wrong(
            recipe,
            "architecture",
            f"the model maps {found[0]} to {found[1]}, not {(None, *input_shape)} to {wanted}",
        )
    return model


def with_parameters(recipe: Recipe, changed: Mapping[str, Any]) -> Recipe:
    """The same recipe with other parameters of its architecture: a teacher, or a trial of a search.

    Raises ``ConfigError`` for a parameter that the architecture does not have.
    """
    chosen = recipe.architecture
    unknown = sorted(changed.keys() - chosen.parameters.keys())
    if unknown:
        raise wrong(
            recipe,
            "architecture",
            f"{chosen.kind!r} has no parameter {unknown[0]!r}; it has {', '.join(sorted(chosen.parameters))}",
        )
    return dataclasses.replace(
        recipe, architecture=dataclasses.replace(chosen, parameters={**chosen.parameters, **changed})
    )


def _own_builder(recipe: Recipe) -> Callable[..., Any]:
    """The function that ``architecture.python`` names; its file runs with all rights of this process."""
    assert recipe.architecture.python is not None
    path, function = recipe.architecture.python
    spec = importlib.util.spec_from_file_location(f"edgeops_recipe_{recipe.digest[:12]}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        builder: Callable[..., Any] = getattr(module, function)
    except (SyntaxError, ImportError, AttributeError, NameError) as error:
        raise ConfigError(
            f"{path}:{function} does not load: {error}",
            fix=f"define {function}(input_shape, n_classes, **parameters) -> keras.Model in {path.name}",
            file=str(recipe.path),
            key="architecture.python",
        ) from error
    return builder
