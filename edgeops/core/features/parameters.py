"""The named parameters of preprocessing steps: checked, and written as billionths as a manifest carries them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeops.core.errors import InputError
from edgeops.core.manifest import NANO

REQUIRED: Any = object()
MAX_PARAMETERS = 16
LIMIT = 9e9  # billionths of it fit 63 bits

Named = Mapping[str, Any]
"""Parameters by name: int where ``whole``, str where there are ``choices``, a tuple where ``many``, else float."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its default (or ``REQUIRED``), and its range, both ends included.

    ``choices`` are names, on the wire their index. ``many`` lists how many numbers it may be; all parameters
    of one operation that are many have the same number.
    """

    name: str
    default: Any = REQUIRED
    low: float = -LIMIT
    high: float = LIMIT
    whole: bool = False
    choices: tuple[str, ...] = ()
    many: tuple[int, ...] = ()
    about: str = ""

    def check(self, op: str, value: object) -> Any:
        """The value as ``Named`` has it; raises ``InputError`` naming operation and parameter."""
        if self.choices:
            if value not in self.choices:
                raise _wrong(op, self.name, f"is {', '.join(map(repr, self.choices))}", value)
            return value
        if self.many:
            values = value if isinstance(value, list | tuple) else (value,)
            if len(values) not in self.many:
                counts = " or ".join(map(str, self.many))
                raise _wrong(op, self.name, f"is {counts} numbers", value)
            return tuple(self._number(op, one) for one in values)
        return self._number(op, value)

    def _number(self, op: str, value: object) -> int | float:
        number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if isinstance(value, bool) or not isinstance(value, int | float) or not number:
            raise _wrong(op, self.name, "is a whole number" if self.whole else "is a number", value)
        if abs(value) > LIMIT:  # what is too large for a float must not be made one
            raise _wrong(op, self.name, f"lies in {self.low:g} to {self.high:g}", value)
        if self.whole and value != int(value):
            raise _wrong(op, self.name, "is a whole number", value)
        rounded = int(value) if self.whole else round(value * NANO) / NANO
        if not self.low <= rounded <= self.high:
            raise _wrong(op, self.name, f"lies in {self.low:g} to {self.high:g}", value)
        return rounded


def check_named(op: str, parameters: Sequence[Parameter], given: Mapping[str, object]) -> dict[str, Any]:
    """All parameters by name with their defaults filled in; raises ``InputError`` for anything else."""
    known = [parameter.name for parameter in parameters]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
            raise InputError(
                f"preprocessing step {op!r} has no parameter {name!r}; {hint}", op=op, parameter=name
            )
    named = {}
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        if value is REQUIRED:
            raise InputError(
                f"preprocessing step {op!r} needs {parameter.name!r}", op=op, parameter=parameter.name
            )
        named[parameter.name] = parameter.check(op, value)
    if len({len(named[parameter.name]) for parameter in parameters if parameter.many}) > 1:
        names = " and ".join(repr(parameter.name) for parameter in parameters if parameter.many)
        raise InputError(f"preprocessing step {op!r}: {names} need the same number of values", op=op)
    return named


def to_nano(parameters: Sequence[Parameter], named: Named) -> tuple[int, ...]:
    """Checked parameters in the order of their declaration, in billionths; many values one after the other."""
    flat: list[int] = []
    for parameter in parameters:
        value = named[parameter.name]
        if parameter.choices:
            flat.append(parameter.choices.index(value) * NANO)
        else:
            flat.extend(round(one * NANO) for one in (value if parameter.many else (value,)))
    return tuple(flat)


def from_nano(op: str, parameters: Sequence[Parameter], flat: Sequence[int]) -> dict[str, Any]:
    """The inverse of ``to_nano``, checked again: a manifest may come from another version."""
    lists = sum(1 for parameter in parameters if parameter.many)
    rest = len(flat) - (len(parameters) - lists)
    each = rest // lists if lists else 0
    if rest < 0 or each * lists != rest:
        raise InputError(
            f"preprocessing step {op!r} has {len(flat)} parameters; this version does not know that form",
            op=op,
        )
    given: dict[str, object] = {}
    at = 0
    for parameter in parameters:
        taken = [_plain(one, parameter.whole) for one in flat[at : at + (each if parameter.many else 1)]]
        at += len(taken)
        if parameter.choices:
            index = taken[0]
            inside = index == int(index) and 0 <= index < len(parameter.choices)
            given[parameter.name] = parameter.choices[int(index)] if inside else index
        else:
            given[parameter.name] = tuple(taken) if parameter.many else taken[0]
    return check_named(op, parameters, given)


def _plain(nano: int, whole: bool) -> int | float:
    too_large = abs(nano) > LIMIT * NANO  # refused in a moment; a float may not hold it
    return nano // NANO if too_large or (whole and nano % NANO == 0) else nano / NANO


def _wrong(op: str, name: str, wanted: str, value: object) -> InputError:
    return InputError(
        f"preprocessing step {op!r}: {name!r} {wanted}, not {value!r}", op=op, parameter=name, value=value
    )
