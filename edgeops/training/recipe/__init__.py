"""A recipe: everything that decides how a model is made and judged, in one TOML file.

``keys`` says which keys there are, ``sections`` is what they become, ``load`` reads a file, ``find`` looks one
up by name, ``describe`` makes the JSON schema and the documentation of it.
"""

from edgeops.training.recipe.find import find_recipe, shipped_recipes
from edgeops.training.recipe.load import RECIPE_FILE, load_recipe
from edgeops.training.recipe.sections import Augmentation, Recipe

__all__ = ["RECIPE_FILE", "Augmentation", "Recipe", "find_recipe", "load_recipe", "shipped_recipes"]
