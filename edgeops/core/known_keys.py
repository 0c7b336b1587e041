"""Refusing keys that nobody knows: the same words for recipes, ``edgeops.toml`` and ``agent.toml``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from edgeops.core.errors import ConfigError


def refuse_unknown(table: Mapping[str, object], known: Iterable[str], file: str, section: str = "") -> None:
    """Raise ``ConfigError`` naming the first unknown key of ``table`` and the nearest known one."""
    names = list(known)
    for key, value in table.items():
        if key not in names:
            where = f"{section}.{key}" if section else key
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(names))}"
            raise ConfigError(
                f"{file}: unknown key {where!r}; {hint}",
                fix=f"correct or remove {where!r} in {file}",
                file=file,
                key=where,
                value=value,
                nearest=near[0] if near else None,
            )
