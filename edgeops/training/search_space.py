"""What a search varies: which keys of a recipe, between which values; and the recipe that a trial's values give.

Pure: a search space is data, and so are a trial's values.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeops.core.errors import ConfigError
from edgeops.core.features.parameters import REQUIRED as NEEDED
from edgeops.core.features.parameters import Parameter
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

_Error = Callable[[str], ConfigError]


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
        space = list(_suited(source, document, _default_entries(document, recipe)))
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
    if dimension.whole:
        return int(drawn)
    return drawn if drawn == dimension.own else _short(drawn)


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


def _suited(
    source: Source, document: Mapping[str, Any], entries: Iterable[SearchEntry]
) -> Iterator[Dimension]:
    """What a default offers, less what this recipe does not take: a width at the end of its range."""
    for entry in entries:
        with contextlib.suppress(ConfigError):
            yield _of_entry(source, document, entry)


def _choice_of(entry: SearchEntry, keys: tuple[str, ...], own: Any, error: _Error) -> Dimension:
    if entry.low is not None or entry.high is not None or entry.vary != VALUE:
        raise error("has 'choices', which go without 'low', 'high' and 'vary'")
    dimension = Dimension(entry.key, keys, choices=entry.choices)
    if len(set(dimension.labels)) < len(dimension.labels):
        raise error(f"has a choice twice: {list(entry.choices)}")
    label = _label(own)
    return Dimension(entry.key, keys, choices=entry.choices, own=label if label in dimension.labels else None)


def _range_of(entry: SearchEntry, keys: tuple[str, ...], found: list[Any], error: _Error) -> Dimension:
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
    one = entry.vary == SCALE or all(other == found[0] for other in found)
    inside = low <= own <= high and (not step or abs((own - low) / step - round((own - low) / step)) < 1e-9)
    return Dimension(
        name, keys, entry.vary, low, high, step, entry.log, whole, own=own if inside and one else None
    )


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
        if isinstance(value, Mapping):
            value = value[part] if part in value else _default(document, path)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(".".join(path))
    spec = _spec(document, parts)
    decimal = isinstance(spec, Key) and spec.type is float
    decimal = decimal or (isinstance(spec, Parameter) and not (spec.whole or spec.many or spec.choices))
    return float(value) if decimal and isinstance(value, int) else value


def _default(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What a key has that the document does not name; raises ``KeyError`` where there is no such key."""
    if len(path) == 1 and path[0] in _SEARCHABLE:
        return {}
    spec = _spec(document, path)
    if spec is None or spec.default is REQUIRED or spec.default is NEEDED:
        raise KeyError(".".join(path))
    return copy.deepcopy(spec.default)


def _spec(document: Mapping[str, Any], path: Sequence[str]) -> Key | Parameter | None:
    """What is known about a key of a recipe."""
    match list(path):
        case ["architecture", name]:
            built_in = ARCHITECTURES.get(document["architecture"].get("kind", ""))
            return built_in.parameters.get(name) if built_in else None
        case ["preprocessing", "steps", place, name]:
            operation = OPERATIONS.get(document["preprocessing"]["steps"][int(place)].get("op"))
            return next((p for p in operation.parameters if p.name == name), None) if operation else None
        case ["training", table, name] if table in _TABLES:
            return _TABLES[table].get(name)
        case [section, name]:
            return SECTIONS.get(section, {}).get(name)
    return None


def _put(document: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    place: Any = document
    for depth, part in enumerate(parts[:-1]):
        if isinstance(place, list):
            place = place[int(part)]
            continue
        if part not in place:
            place[part] = _default(document, parts[: depth + 1])
        place = place[part]
    place[int(parts[-1]) if isinstance(place, list) else parts[-1]] = value


def _default_entries(document: Mapping[str, Any], recipe: Recipe) -> Iterator[SearchEntry]:
    """Width and depth of a built-in architecture, size of the input, learning rate."""
    built_in = ARCHITECTURES.get(recipe.architecture.kind)
    for name, key in (built_in.parameters if built_in else {}).items():
        own = recipe.architecture.parameters[name]
        dotted = f"architecture.{name}"
        if key.type is list and not key.length:
            yield _entry((dotted,), SCALE, 1 - _HALF, 1 + _HALF, _EIGHTH)
            yield _entry((dotted,), LENGTH, max(1, len(own) - 1), len(own) + 1)
        elif name in _DEPTHS:
            yield from _around(dotted, own, max(1, own // 2), 1, key)
        elif name in _WIDTHS:
            yield from _wider(dotted, own, key)
    for place, step in enumerate(document.get("preprocessing", {}).get("steps", [])):
        for names, vary in _SIZES.get(step["op"], ()):
            keys = tuple(f"preprocessing.steps.{place}.{name}" for name in names)
            if vary == SCALE:
                yield _entry(keys, SCALE, 1 - _HALF, 1 + _HALF, _EIGHTH)
            else:
                parameter = next(p for p in OPERATIONS[step["op"]].parameters if p.name == names[0])
                yield from _wider(keys[0], _find(document, keys[0].split(".")), parameter)
    rate = recipe.training.learning_rate
    yield _entry(("training.learning_rate",), VALUE, rate / _RATE_SPAN, rate * _RATE_SPAN, log=True)


def _wider(key: str, own: float, limits: Key | Parameter) -> Iterator[SearchEntry]:
    """From half to one and a half times the own value, in eighths of it (a small whole number: in ones)."""
    step = max(1, own // 8) if isinstance(own, int) else own * _EIGHTH
    yield from _around(key, own, min(4, int(own * _HALF / step + 1e-9)), step, limits)


def _around(key: str, own: float, steps: int, step: float, limits: Key | Parameter) -> Iterator[SearchEntry]:
    """So many steps down and up from the own value, as far as they are allowed; nothing where none is."""
    low = -math.inf if limits.low is None else limits.low
    high = math.inf if limits.high is None else limits.high
    allowed = [own + place * step for place in range(-steps, steps + 1) if low <= own + place * step <= high]
    if len(allowed) > 1:
        yield _entry((key,), VALUE, allowed[0], allowed[-1], step)


def _entry(
    keys: tuple[str, ...], vary: str, low: float, high: float, step: float = 0.0, *, log: bool = False
) -> SearchEntry:
    return SearchEntry(keys[0], keys[1:], vary, _short(low), _short(high), _short(step) or None, log, ())
