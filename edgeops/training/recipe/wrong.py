"""What is found wrong with a recipe only once its data is there."""

from __future__ import annotations

from edgeops.core.errors import ConfigError
from edgeops.training.recipe.sections import Recipe
from edgeops.training.schema import Source


def wrong(recipe: Recipe, key: str, problem: str, fix: str | None = None, **fields: object) -> ConfigError:
    """A ``ConfigError`` that names file, line and key; without ``fix``, to correct that key is the way out."""
    try:
        text = recipe.path.read_text()
    except (
        OSError,
        UnicodeDecodeError,
    ):  # a recorded recipe, whose file is gone: then there is no line to name
        text = ""
    error = Source(recipe.path, text).error(key, problem, **fields)
    if fix is not None:
        error.fix = fix
    return error
