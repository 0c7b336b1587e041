"""Which devices a rollout is for: ``site = "berlin" and target in ("rp2040", "esp32s3")``. Pure.

::

    expression = term { "or" term }
    term       = factor { "and" factor }
    factor     = "not" factor | "(" expression ")" | KEY comparison
    comparison = ("=" | "!=") VALUE | "like" VALUE | "in" "(" VALUE { "," VALUE } ")"

A value stands in double quotes, or bare where it is one word. ``like`` takes ``*`` and ``?``. An attribute that
a device does not have equals nothing, so ``site != "berlin"`` holds for a device without a site. The empty
expression selects every device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NoReturn

from edgeops.core.errors import UsageError

FIX = """write it as 'site = "berlin" and target = "rp2040"'"""
MAX_DEPTH = 50
WORDS = frozenset({"and", "or", "not", "in", "like"})
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<mark>!=|[=(),])|(?P<word>[^\s"=!(),]+)|(?P<bad>\S))"""
)


@dataclass(frozen=True, slots=True)
class Compare:
    """One attribute against values: ``=``, ``!=``, ``in`` or ``like``."""

    key: str
    operator: str
    values: tuple[str, ...]

    def selects(self, attributes: Mapping[str, str]) -> bool:
        """Whether a device with these attributes is meant."""
        value = attributes.get(self.key)
        if self.operator == "!=":
            return value != self.values[0]
        if value is None:
            return False
        if self.operator == "like":
            return fnmatchcase(value, self.values[0])
        return value in self.values


@dataclass(frozen=True, slots=True)
class Not:
    """The devices that ``of`` does not select."""

    of: Selector

    def selects(self, attributes: Mapping[str, str]) -> bool:
        """Whether a device with these attributes is meant."""
        return not self.of.selects(attributes)


@dataclass(frozen=True, slots=True)
class Every:
    """All parts must select the device; without parts, every device."""

    parts: tuple[Selector, ...] = ()

    def selects(self, attributes: Mapping[str, str]) -> bool:
        """Whether a device with these attributes is meant."""
        return all(part.selects(attributes) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts must select the device."""

    parts: tuple[Selector, ...]

    def selects(self, attributes: Mapping[str, str]) -> bool:
        """Whether a device with these attributes is meant."""
        return any(part.selects(attributes) for part in self.parts)


Selector = Compare | Not | Every | Either


def parse_selector(text: str) -> Selector:
    """The selector that ``text`` says; raises ``UsageError`` that quotes the place that is not understood."""
    tokens = _tokens(text)
    if not tokens:
        return Every()
    reader = _Reader(text, tokens)
    found = reader.expression(0)
    reader.end()
    return found


def keys_of(selector: Selector) -> frozenset[str]:
    """The attributes that a selector asks for."""
    match selector:
        case Compare(key):
            return frozenset({key})
        case Not(of):
            return keys_of(of)
        case Every(parts) | Either(parts):
            return frozenset().union(*(keys_of(part) for part in parts))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "text", "mark", "word" or "bad"
    value: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "bad"
        value = match.group(kind)
        if kind == "text":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.append(_Token(kind, value, match.start(kind)))
    return found


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._next = 0

    def expression(self, depth: int) -> Selector:
        parts = [self._term(depth)]
        while self._word("or"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def end(self) -> None:
        if self._next < len(self._tokens):
            self._refuse("'and' or 'or'")

    def _term(self, depth: int) -> Selector:
        parts = [self._factor(depth)]
        while self._word("and"):
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _factor(self, depth: int) -> Selector:
        if depth > MAX_DEPTH:
            raise UsageError(f"selector is nested more than {MAX_DEPTH} deep", fix=FIX)
        if self._word("not"):
            return Not(self._factor(depth + 1))
        if self._mark("("):
            inner = self.expression(depth + 1)
            self._need(")")
            return inner
        token = self._peek()
        if token is None or token.kind != "word" or token.value in WORDS:
            self._refuse("the name of an attribute")
        self._next += 1
        return self._comparison(token.value)

    def _comparison(self, key: str) -> Selector:
        if self._mark("="):
            return Compare(key, "=", (self._value(),))
        if self._mark("!="):
            return Compare(key, "!=", (self._value(),))
        if self._word("like"):
            return Compare(key, "like", (self._value(),))
        if self._word("in"):
            self._need("(")
            values = [self._value()]
            while self._mark(","):
                values.append(self._value())
            self._need(")")
            return Compare(key, "in", tuple(values))
        self._refuse(f"=, !=, in or like after {key!r}")

    def _value(self) -> str:
        token = self._peek()
        if token is None or token.kind not in ("text", "word"):
            self._refuse("a value")
        self._next += 1
        return token.value

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _word(self, word: str) -> bool:
        return self._take("word", word)

    def _mark(self, mark: str) -> bool:
        return self._take("mark", mark)

    def _take(self, kind: str, value: str) -> bool:
        token = self._peek()
        if token is None or (token.kind, token.value) != (kind, value):
            return False
        self._next += 1
        return True

    def _need(self, mark: str) -> None:
        if not self._mark(mark):
            self._refuse(repr(mark))

    def _refuse(self, wanted: str) -> NoReturn:
        token = self._peek()
        where = f"before {self._text[token.at :][:20]!r}" if token else "at its end"
        raise UsageError(
            f"selector {self._text!r}: {wanted} is missing {where}", fix=FIX, selector=self._text
        )
