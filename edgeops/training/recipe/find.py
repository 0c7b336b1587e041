"""Finding a recipe: by its path, or by the name of one that EdgeOps ships."""

from __future__ import annotations

import difflib
from pathlib import Path

from edgeops.core.errors import NotFoundError
from edgeops.training.recipe.load import RECIPE_FILE

_PACKAGE = Path(__file__).resolve().parents[2]


def find_recipe(text: str) -> Path:
    """The recipe file that ``text`` means: a path, or the name of a recipe that EdgeOps ships.

    Raises ``NotFoundError`` listing the known names.
    """
    given = Path(text)
    if given.is_file():
        return given
    if (given / RECIPE_FILE).is_file():
        return given / RECIPE_FILE
    known = shipped_recipes()
    if text in known:
        return known[text]
    names = ", ".join(sorted(known)) or "none"
    near = "".join(difflib.get_close_matches(text, known, 1))
    raise NotFoundError(
        f"no recipe at {text}, and none shipped of that name (shipped: {names})"
        + (f"; did you mean {near!r}?" if near else ""),
        fix="give the path of a recipe.toml, of its folder, or a shipped name",
        recipe=text,
    )


def shipped_recipes() -> dict[str, Path]:
    """Name to recipe file: of the checkout's ``models`` folder, or of the wheel's ``edgeops/_recipes``."""
    for folder in (_PACKAGE / "_recipes", _PACKAGE.parent / "models"):
        files = sorted(folder.glob(f"*/{RECIPE_FILE}"))
        if files:
            return {file.parent.name: file for file in files}
    return {}
