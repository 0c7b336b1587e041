"""The selector language is what ``docs/rollouts.in.md`` says that it is."""

from __future__ import annotations

import re
from pathlib import Path

from edgeops.fleet.membership import attributes_of
from edgeops.fleet.rollout import selector
from edgeops.fleet.rollout.selector import keys_of, parse_selector
from edgeops.registry.tables import Device

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rollouts.in.md"


def tables() -> list[list[list[str]]]:
    """The tables of the section, each as rows of cells."""
    text = PAGE.read_text().split("## Which devices")[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        for table in found
    ]


def fleet() -> dict[str, dict[str, str]]:
    """The devices of the example, as a selector sees them."""
    devices = []
    for name, target, pairs in tables()[0]:
        attributes = dict(pair.split("=") for pair in pairs.split(", ") if pair)
        devices.append(Device(id=name.strip("`"), target=target, attributes=attributes, enrolled_at=0.0))
    return {device.id: attributes_of(device) for device in devices}


def test_every_example_selects_what_stands_beside_it() -> None:
    devices = fleet()
    assert len(devices) == 3
    for written, _, example, selects in tables()[1]:
        chosen = parse_selector(example.strip("`"))
        found = [name for name, attributes in devices.items() if chosen.selects(attributes)]
        assert ", ".join(found) == selects, example
        assert all(part in example for part in written.strip("`").split()), written


def test_every_word_and_mark_of_the_language_has_a_line() -> None:
    written = {row[0].strip("`") for row in tables()[1]}
    assert written == {*selector.WORDS, "=", "!=", "( )"}


def test_every_name_that_all_devices_have_is_in_the_table_and_no_other() -> None:
    seen = Device(id="d", target="linux", runtime="litert 2.1", agent="1", attributes={}, enrolled_at=0.0)
    names = {row[0].strip("`") for row in tables()[2]} - {"any other"}
    assert names == attributes_of(seen).keys()
    assert attributes_of(seen)["runtime"] == "litert"


def test_what_is_said_of_quotes_and_tags_holds() -> None:
    assert parse_selector(r'a = "b\"c"').selects({"a": 'b"c'})
    assert keys_of(parse_selector("ring = canary")) == {"ring"}
    assert not parse_selector("site = Berlin").selects({"site": "berlin"})
