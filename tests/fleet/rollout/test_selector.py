"""Selectors: what is written is what is selected, and what is not understood is quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import UsageError
from edgeops.fleet.rollout.selector import (
    MAX_DEPTH,
    Compare,
    Either,
    Every,
    Not,
    Selector,
    keys_of,
    parse_selector,
)

CAMERA = {"device": "cam-01", "site": "berlin", "target": "rp2040", "line": "3 a"}
KEYS = st.sampled_from(["site", "target", "line", "device", "unknown"])
VALUES = st.sampled_from(["berlin", "rp2040", "3 a", 'quo"te', "back\\slash", "", "and", "cam-01"])


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("   ", True),
        ('site = "berlin"', True),
        ("site = berlin", True),
        ("site=berlin", True),
        ('site = "Berlin"', False),
        ('site != "paris"', True),
        ('altitude != "high"', True),
        ('altitude = "high"', False),
        ('not altitude = "high"', True),
        ('site = "berlin" and target = "rp2040"', True),
        ('site = "berlin" and target = "esp32s3"', False),
        ('site = "paris" or target = "rp2040"', True),
        ('site = "paris" or site = "rome" and target = "rp2040"', False),
        ('(site = "paris" or site = "berlin") and target = "rp2040"', True),
        ('target in ("esp32s3", "rp2040")', True),
        ("target in (esp32s3)", False),
        ('device like "cam-*"', True),
        ('device like "cam-?"', False),
        ('not (site = "berlin" and line = "3 a")', False),
    ],
)
def test_selects(text: str, selected: bool) -> None:
    assert parse_selector(text).selects(CAMERA) is selected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("site", "after 'site' is missing at its end"),
        ('site "berlin"', "after 'site' is missing before"),
        ("site = ", "a value is missing at its end"),
        ('= "berlin"', "the name of an attribute is missing"),
        ('site = "berlin" target = "x"', "'and' or 'or' is missing before"),
        ('site = "berlin" and', "the name of an attribute is missing at its end"),
        ('(site = "berlin"', "'\\)' is missing at its end"),
        ('target in ("a", )', "a value is missing"),
        ("target in a", "'\\(' is missing"),
        ('site = "berlin', "missing before"),
        ("and = x", "the name of an attribute is missing before"),
        ("site ~ x", "after 'site' is missing"),
    ],
)
def test_what_is_not_understood_is_quoted_with_a_way_to_write_it(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_selector(text)
    assert "site =" in (caught.value.fix or "")


@pytest.mark.parametrize(
    "text", ["(" * (MAX_DEPTH + 5) + "a=b" + ")" * (MAX_DEPTH + 5), "not " * 500 + "a=b"]
)
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(UsageError, match="deep"):
        parse_selector(text)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(selector: Selector) -> str:
    match selector:
        case Compare(key, "in", values):
            return f"{key} in ({', '.join(map(quoted, values))})"
        case Compare(key, operator, values):
            return f"{key} {operator} {quoted(values[0])}"
        case Not(of):
            return f"not ({written(of)})"
        case Every(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case Either(parts):
            return " or ".join(f"({written(part)})" for part in parts)


COMPARES = st.one_of(
    st.builds(lambda k, o, v: Compare(k, o, (v,)), KEYS, st.sampled_from(["=", "!="]), VALUES),
    st.builds(lambda k, v: Compare(k, "in", tuple(v)), KEYS, st.lists(VALUES, min_size=1, max_size=3)),
)
SELECTORS: st.SearchStrategy[Selector] = st.recursive(
    COMPARES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: Every(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda parts: Either(tuple(parts)), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)


@given(SELECTORS, st.dictionaries(KEYS, VALUES))
def test_what_is_written_reads_back_as_the_same_choice(selector: Selector, device: dict[str, str]) -> None:
    back = parse_selector(written(selector))
    assert back.selects(device) == selector.selects(device)
    assert keys_of(back) == keys_of(selector)


@given(st.text(alphabet='ab=!()",\\ andornotinlike*', max_size=40))
def test_any_text_is_a_selector_or_a_usage_error(text: str) -> None:
    try:
        parse_selector(text).selects(CAMERA)
    except UsageError as error:
        assert error.fix
