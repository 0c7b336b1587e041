"""What a search varies: which keys of a recipe, between which values; and the recipe that a trial's values give.

Pure: a search space is data, and so are a trial's values.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeops.core.errors import ConfigError
from edgeops.core.features.parameters import REQUIRED as NEEDED
from edgeops.core.features.steps import OPERATIONS
from edgeops.training.architectures.catalogue import ARCHITECTURES
from edgeops.training.recipe.keys import AUGMENTATION, DISTILLATION, LENGTH, PRUNING, SCALE, SECTIONS, VALUE
from edgeops.training.recipe.load import recipe_of
from edgeops.training.recipe.sections import Recipe, SearchEntry
from edgeops.training.schema import REQUIRED, Key, Source

Values = Mapping[str, Any]
"""A trial's values by the names of the dimensions."""

# what decides a model; everything else says what it is judged by
_SEARCHABLE = ("data", "preprocessing", "architecture", "training", "quantization")
_FIXED = {"training.epochs": "it is the same for all trials: --epochs", "data.name": "--dataset says it"}
_TABLES = {"augmentation": AUGMENTATION, "pruning": PRUNING, "distillation": DISTILLATION}

_WIDTHS = ("filters", "units", "dense", "width")
_DEPTHS = ("blocks", "layers")
# what decides the size of the input, by operation: keys that change together, and how
_SIZES: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "resize": ((("height", "width"), SCALE),),
    "log_mel": ((("mels",), VALUE), (("frame_step",), VALUE)),
    "mfcc": ((("coefficients",), VALUE), (("frame_step",), VALUE)),
    "fft_bands": ((("bands",), VALUE),),
}
_HALF, _EIGHTH = 0.5, 0.125
_RATE_SPAN = 3.0
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that is varied: ``keys`` of a recipe, in one of three ways.

    value: they get what is drawn. scale: it multiplies the recipe's own number, or each of a list. length: the
    list is cut to it, or its last item repeated. Drawn from ``low`` to ``high``, both included, in steps of
    ``step`` where that is not zero, on a logarithmic scale where ``log``, whole numbers only where ``whole``;
    or one of ``choices``. ``own`` is what the recipe itself has; None where it is none of these.
    """

    name: str
    keys: tuple[str, ...]
    vary: str = VALUE
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()
    own: Any = None

    @property
    def labels(self) -> tuple[Any, ...]:
        """The choices as plain values: a list as JSON."""
        return tuple(_label(choice) for choice in self.choices)


def search_space(source: Source, document: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """What ``[search]`` of a recipe says, or what suits its architecture where it says nothing.

    Raises ``ConfigError`` naming the line for a key that the recipe does not have or a range that does not
    suit it, and for a recipe of which nothing can be varied.
    """
    recipe = recipe_of(source, document)
    if recipe.search.space:
        space = [_of_entry(source, document, entry) for entry in recipe.search.space]
    else:
        space = list(_default_space(source, document, recipe))
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise source.error("search.space", f"'search.space' varies {name!r} twice", name)
    if not space:
        raise source.error(
            "search", f"nothing of {source.path} is varied by default; list it under [search] space"
        )
    return tuple(space)


def own_values(space: Sequence[Dimension]) -> Values | None:
    """The values that give the recipe as it is; None where its own lie outside of the space."""
    if any(dimension.own is None for dimension in space):
        return None
    return {dimension.name: dimension.own for dimension in space}


def apply_values(document: Mapping[str, Any], space: Sequence[Dimension], values: Values) -> dict[str, Any]:
    """A copy of a recipe's document with a trial's values in it; numbers keep six digits.

    Raises ``KeyError`` for a key that neither the document nor its defaults have.
    """
    changed = copy.deepcopy(dict(document))
    for dimension in space:
        for key in dimension.keys:
            parts = key.split(".")
            _put(changed, parts, _changed(dimension, _find(changed, parts), values[dimension.name]))
    return changed


def recipe_with(
    source: Source,
    document: Mapping[str, Any],
    space: Sequence[Dimension],
    values: Values,
    epochs: int | None = None,
) -> Recipe:
    """The checked recipe of a trial, with other ``epochs`` where they are given.

    Raises ``ConfigError`` where the values together make no recipe.
    """
    changed = apply_values(document, space, values)
    if epochs is not None:
        changed["training"]["epochs"] = epochs
    return recipe_of(source, changed)


def _label(choice: Any) -> Any:
    return choice if isinstance(choice, str | int | float) else json.dumps(choice)


def _changed(dimension: Dimension, own: Any, drawn: Any) -> Any:
    if dimension.choices:
        return copy.deepcopy(dimension.choices[dimension.labels.index(drawn)])
    if dimension.vary == SCALE:
        return [_scaled(item, drawn) for item in own] if isinstance(own, list) else _scaled(own, drawn)
    if dimension.vary == LENGTH:
        count = int(drawn)
        return own[:count] + [own[-1]] * (count - len(own))
    return int(drawn) if dimension.whole else _short(drawn)


def _scaled(value: float, factor: float) -> float:
    """A whole number stays one, and does not become zero."""
    if isinstance(value, int):
        return max(round(value * factor), min(value, 1))
    return _short(value * factor)


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _of_entry(source: Source, document: Mapping[str, Any], entry: SearchEntry) -> Dimension:
    """A checked dimension; every key must be there, of the right kind, and take both ends."""

    def error(problem: str) -> ConfigError:
        return source.error("search.space", f"'search.space': {entry.key!r} {problem}", entry.key)

    keys = (entry.key, *entry.also)
    found = []
    for key in keys:
        if key in _FIXED:
            raise error(f"is not varied; {_FIXED[key]}")
        if key.split(".")[0] not in _SEARCHABLE:
            raise error(f"is not varied: only what lies in {', '.join(_SEARCHABLE)} is")
        try:
            found.append(_find(document, key.split(".")))
        except KeyError as missing:
            raise source.error(
                "search.space", f"'search.space' names {key!r}, but this recipe has no {missing}", key
            ) from missing
    if entry.choices:
        dimension = _choice_of(entry, keys, found[0], error)
    else:
        dimension = _range_of(entry, keys, found, error)
    for end in dimension.labels or (dimension.low, dimension.high):
        drawn = int(end) if dimension.whole and not dimension.choices else end
        try:
            recipe_with(source, document, [dimension], {dimension.name: drawn})
        except ConfigError as refused:
            raise error(f"cannot be {drawn!r}: {refused.message.partition(': ')[2]}") from refused
    return dimension


def _choice_of(entry: SearchEntry, keys: tuple[str, ...], own: Any, error: Any) -> Dimension:
    if entry.low is not None or entry.high is not None or entry.vary != VALUE:
        raise error("has 'choices', which go without 'low', 'high' and 'vary'")
    dimension = Dimension(entry.key, keys, choices=entry.choices)
    if len(set(dimension.labels)) < len(dimension.labels):
        raise error(f"has a choice twice: {list(entry.choices)}")
    label = _label(own)
    return Dimension(entry.key, keys, choices=entry.choices, own=label if label in dimension.labels else None)


def _range_of(entry: SearchEntry, keys: tuple[str, ...], found: list[Any], error: Any) -> Dimension:
    low, high, step = entry.low, entry.high, entry.step or 0.0
    if low is None or high is None or not low < high:
        raise error("needs 'low' and a larger 'high', or 'choices'")
    if step < 0 or (entry.log and (low <= 0 or step)):
        raise error("needs a positive step; with 'log', a positive 'low' and no step")
    for own in found:
        problem = _unsuited(entry.vary, own)
        if problem:
            raise error(problem)
    whole = entry.vary == LENGTH or (entry.vary == VALUE and isinstance(found[0], int))
    if whole and any(not number.is_integer() for number in (low, high, step)):
        raise error("takes whole numbers only")
    if entry.vary == LENGTH and low < 1:
        raise error("needs at least one item")
    if entry.vary == SCALE and low <= 0:
        raise error("needs a factor above 0")
    if step:
        high = low + step * int((high - low) / step + 1e-9)
    own = {VALUE: found[0], SCALE: 1.0, LENGTH: len(found[0]) if entry.vary == LENGTH else 0}[entry.vary]
    name = entry.key if entry.vary == VALUE else f"{entry.key}.{entry.vary}"
    inside = low <= own <= high and (not step or abs((own - low) / step - round((own - low) / step)) < 1e-9)
    return Dimension(name, keys, entry.vary, low, high, step, entry.log, whole, own=own if inside else None)


def _unsuited(vary: str, own: Any) -> str:
    """Why a value cannot be varied that way; empty where it can."""
    numbers = own if isinstance(own, list) else [own]
    counted = all(isinstance(item, int | float) and not isinstance(item, bool) for item in numbers)
    if vary == LENGTH:
        return "" if isinstance(own, list) and own else f"is {own!r}, and only a list has a length"
    if isinstance(own, list) and vary == VALUE:
        return f"is {own!r}: give 'choices', vary its scale or length, or name one item, such as '.0'"
    return "" if counted else f"is {own!r}, no number: give 'choices'"


def _find(document: Mapping[str, Any], parts: Sequence[str]) -> Any:
    """The value of a key, its default where the document does not say; raises ``KeyError``."""
    value: Any = document
    for depth, part in enumerate(parts):
        path = parts[: depth + 1]
        if isinstance(value, dict | Mapping):
            value = value[part] if part in value else _default(document, path)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(".".join(path))
    return value


def _default(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What a key has that the document does not name; raises ``KeyError`` where there is no such key."""
    found: Any = REQUIRED
    match list(path):
        case [("training" | "search" | "architecture" | "data" | "quantization" | "preprocessing")]:
            found = {}
        case ["architecture", name]:
            built_in = ARCHITECTURES.get(document["architecture"].get("kind", ""))
            found = _of_key(built_in.parameters.get(name) if built_in else None)
        case ["preprocessing", "steps", place, name]:
            operation = OPERATIONS.get(document["preprocessing"]["steps"][int(place)].get("op"))
            parameters = operation.parameters if operation else ()
            found = next(
                (p.default for p in parameters if p.name == name and p.default is not NEEDED), REQUIRED
            )
        case ["training", table, name] if table in _TABLES:
            found = _of_key(_TABLES[table].get(name))
        case [section, name]:
            found = _of_key(SECTIONS.get(section, {}).get(name))
    if found is REQUIRED:
        raise KeyError(".".join(path))
    return copy.deepcopy(found)


def _of_key(key: Key | None) -> Any:
    return REQUIRED if key is None else key.default


def _put(document: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    place: Any = document
    for depth, part in enumerate(parts[:-1]):
        if isinstance(place, list):
            place = place[int(part)]
        else:
            place = place.setdefault(
                part, _default(document, parts[: depth + 1]) if part not in place else None
            )
    place[int(parts[-1]) if isinstance(place, list) else parts[-1]] = value


def _default_space(source: Source, document: Mapping[str, Any], recipe: Recipe) -> Iterator[Dimension]:
    """Width and depth of a built-in architecture, size of the input, learning rate."""
    built_in = ARCHITECTURES.get(recipe.architecture.kind)
    for name, key in (built_in.parameters if built_in else {}).items():
        own = recipe.architecture.parameters[name]
        dotted = f"architecture.{name}"
        if key.type is list and not key.length:
            yield _entry_of(source, document, dotted, SCALE, 1 - _HALF, 1 + _HALF, _EIGHTH)
            yield _entry_of(source, document, dotted, LENGTH, max(1, len(own) - 1), len(own) + 1)
        elif name in _DEPTHS:
            yield from _around(source, document, dotted, own, max(1, own // 2), 1, key.low, key.high)
        elif name in _WIDTHS:
            yield from _wider(source, document, dotted, own, key.low, key.high)
    for place, entry in enumerate(document.get("preprocessing", {}).get("steps", [])):
        for keys, vary in _SIZES.get(entry["op"], ()):
            dotted, *also = (f"preprocessing.steps.{place}.{key}" for key in keys)
            if vary == SCALE:
                yield _entry_of(source, document, dotted, SCALE, 1 - _HALF, 1 + _HALF, _EIGHTH, also=also)
            else:
                parameter = next(p for p in OPERATIONS[entry["op"]].parameters if p.name == keys[0])
                own = _find(document, dotted.split("."))
                yield from _wider(source, document, dotted, own, parameter.low, parameter.high)
    rate, limits = recipe.training.learning_rate, SECTIONS["training"]["learning_rate"]
    low, high = max(rate / _RATE_SPAN, limits.low or 0.0), min(rate * _RATE_SPAN, limits.high or rate)
    yield _entry_of(source, document, "training.learning_rate", VALUE, _short(low), _short(high), log=True)


def _wider(
    source: Source,
    document: Mapping[str, Any],
    dotted: str,
    own: float,
    low: float | None,
    high: float | None,
) -> Iterator[Dimension]:
    """From half to one and a half times the own value, in eighths of it (a small whole number: in ones)."""
    if isinstance(own, int):
        step = max(1, own // 8)
        yield from _around(source, document, dotted, own, min(4, own // (2 * step)), step, low, high)
    else:
        yield from _around(source, document, dotted, own, 4, _short(own * _EIGHTH), low, high)


def _around(
    source: Source,
    document: Mapping[str, Any],
    dotted: str,
    own: float,
    steps: int,
    step: float,
    low: float | None,
    high: float | None,
) -> Iterator[Dimension]:
    """So many steps down and up from the own value, as far as they are allowed; nothing where none is."""
    allowed = [own + place * step for place in range(-steps, steps + 1)]
    allowed = [v for v in allowed if (low is None or v >= low) and (high is None or v <= high)]
    if len(allowed) > 1:
        yield _entry_of(source, document, dotted, VALUE, _short(allowed[0]), _short(allowed[-1]), step)


def _entry_of(
    source: Source,
    document: Mapping[str, Any],
    key: str,
    vary: str,
    low: float,
    high: float,
    step: float = 0.0,
    *,
    log: bool = False,
    also: Sequence[str] = (),
) -> Dimension:
    entry = SearchEntry(key, tuple(also), vary, float(low), float(high), float(step) or None, log, ())
    return _of_entry(source, document, entry)
