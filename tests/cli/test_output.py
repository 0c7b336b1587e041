"""What a command prints: values as a person reads them, and CSV that another program can read."""

from __future__ import annotations

import csv
import io
import json

import pytest

from edgeops.cli.output import Format, cell, print_rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (34280.0, "34280"),
        (0.99501, "0.995"),
        (1e9, "1000000000"),
        (None, "-"),
        (True, "yes"),
        ({"a": 1, "b": [1, 2]}, "a=1  b=1, 2"),
        ([], "-"),
    ],
)
def test_a_cell_is_what_a_person_reads(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_csv_field_with_parts_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    parts = {"train": 881, "test": 401}
    print_rows([{"name": "digits", "parts": parts}], ["name", "parts"], Format.CSV, "none")
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["name", "parts"]
    assert json.loads(row[1]) == parts
