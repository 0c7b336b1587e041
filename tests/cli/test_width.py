"""What every showing command looks like in a terminal of 80 columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.terminal import in_terminal, lines_on_screen
from support.trained import digits_workspace, train_recipe, write_recipe

from edgeops.cli.layout import GAP, fitted, lines_of, wrapped
from edgeops.cli.output import Format
from edgeops.cli.quantize import _print as print_quantized
from edgeops.control.devices import enroll_device
from edgeops.control.foreign_models import QuantizedFile
from edgeops.training.layer_report import LayerFigures

COLUMNS = 80
DEVICE = "a-camera-with-a-rather-long-name-0"

# the command, and how the head of its table begins; "" where it shows one thing
SHOWING = [
    (["data", "list"], "dataset items"),
    (["data", "show", "digits"], "class items"),
    (["data", "diff", "digits@1", "digits@1"], ""),
    (["run", "list"], "run model"),
    (["run", "show", "1"], ""),
    (["run", "show", "1", "--all"], ""),
    (["run", "compare", "1", "2"], "what run 1 run 2"),
    (["model", "list"], "model state"),
    (["model", "show", "tiny@1"], ""),
    (["model", "card", "tiny@1"], ""),
    (["device", "list"], "device connection"),
    (["device", "show", DEVICE], ""),
    (["rollout", "list"], ""),
    (["fleet", "status"], "device health"),
    (["drift", "status"], ""),
    (["key", "show"], ""),
    (["doctor"], "check state detail"),
    (["target", "list"], "target core"),
    (["target", "show", "stm32l4r5"], ""),
]
WITHOUT_WORKSPACE = ("target",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent of a workspace ``farm`` that has two runs and a device."""
    folder = tmp_path_factory.mktemp("width")
    workspace = digits_workspace(folder / "farm")
    train_recipe(workspace, write_recipe(folder / "first"))
    strict = ("[report]", "[gates]\nmin_int8_accuracy = 1.0\n[report]")
    train_recipe(workspace, write_recipe(folder / "second", ("epochs = 2", "epochs = 1"), strict))
    enroll_device(workspace, DEVICE, {"site": "somewhere-far-away"}, None, 100)
    return folder


def screen(folder: Path, command: list[str], **environment: str) -> list[str]:
    where = [] if command[0] in WITHOUT_WORKSPACE else ["-w", "farm"]
    return lines_on_screen(in_terminal(*command, *where, columns=COLUMNS, folder=folder, **environment))


@pytest.mark.parametrize(("command", "head"), SHOWING, ids=[" ".join(command) for command, _ in SHOWING])
def test_no_line_is_wider_than_the_terminal_and_the_table_shows_what_it_is_for(
    folder: Path, command: list[str], head: str
) -> None:
    lines = screen(folder, command)
    assert any(line.strip() for line in lines)
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert "Traceback" not in "".join(lines)
    assert any(" ".join(line.split()).startswith(head) for line in lines), lines


def test_a_comparison_has_both_runs_and_what_was_measured_at_the_top(folder: Path) -> None:
    lines = [line.split() for line in screen(folder, ["run", "compare", "1", "2"])]
    assert [line[0] for line in lines[1:3]] == ["metrics.float.accuracy", "metrics.int8.accuracy"]
    assert ["settings.training.epochs", "2", "1"] in lines
    digests = next(line[1:] for line in lines if line[:1] == ["sha256"])
    assert [len(digest) for digest in digests] == [12, 12]


def test_a_run_shows_its_gates_as_training_did_and_only_settings_that_were_chosen(folder: Path) -> None:
    text = "\n".join(screen(folder, ["run", "show", "1"]))
    assert re.search(r"^gates +min_int8_accuracy OK \(0\.\d+, limit 0\)$", text, re.MULTILINE)
    assert re.search(r"^settings training epochs +2$", text, re.MULTILINE)
    assert "settings training threads" not in text
    assert "settings training threads" in "\n".join(screen(folder, ["run", "show", "1", "--all"]))


def test_a_digest_is_shortened_for_people_only(folder: Path) -> None:
    shown = "\n".join(screen(folder, ["model", "show", "tiny@1"]))
    assert re.search(r"sha256=[0-9a-f]{12}  bytes=", shown)
    assert re.search(
        r'"sha256": "[0-9a-f]{64}"', "\n".join(screen(folder, ["model", "show", "tiny", "--json"]))
    )


def test_a_card_is_laid_out_in_a_terminal_and_markdown_elsewhere(folder: Path) -> None:
    lines = screen(folder, ["model", "card", "tiny@1"])
    assert lines[0].strip() == "tiny@1"
    assert not any(line.startswith(("#", "|")) for line in lines)
    plain = in_terminal("--plain", "model", "card", "tiny@1", "-w", "farm", folder=folder)
    assert plain.startswith("# tiny@1\r\n") and "\x1b[" not in plain
    assert "\x1b[" not in in_terminal("model", "card", "tiny@1", "-w", "farm", folder=folder, NO_COLOR="1")


def test_the_doctor_names_the_remedy_of_what_failed(folder: Path) -> None:
    lines = [line for line in screen(folder, ["doctor"]) if line]
    assert lines[-2:] == ["error: 1 check failed: broker", "Fix: start one: edgeops broker run --port 1883"]


def test_layers_keep_what_the_report_is_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "model/block_13_depthwise/BatchNorm/FusedBatchNormV3;model/block_13/Relu6"
    layers = [LayerFigures(name, "DEPTHWISE_CONV_2D", (3, 3, 256), 21.5, 117, -3.25, 0.001234)]
    monkeypatch.setattr("edgeops.cli.output.terminal_width", lambda stream=None: COLUMNS)
    print_quantized(QuantizedFile([], layers, 10), True, False, Format.TABLE)
    head, *rows = [line for line in capsys.readouterr().out.splitlines() if line]
    assert head.split() == ["layer", "snr", "db", "worst", "db", "channel", "saturated"]
    assert rows[0].split()[-4:] == ["21.5", "-3.25", "117", "0.001234"]
    assert "".join(row.split()[0] for row in rows) == name
    assert max(map(len, [head, *rows])) <= COLUMNS


words = st.text("abc", min_size=1, max_size=30)
texts = st.lists(words, max_size=8).map(" ".join)


@given(st.integers(1, 7).flatmap(lambda n: st.lists(st.lists(texts, min_size=n, max_size=n), min_size=1)),
       st.integers(20, 100), st.integers(1, 7))  # fmt: skip
def test_a_table_fits_and_keeps_its_first_columns_and_every_character(
    table: list[list[str]], width: int, keep: int
) -> None:
    widths = fitted(table, width, keep)
    assert sum(widths) + GAP * (len(widths) - 1) <= width
    assert len(widths) >= min(keep, len(table[0]))
    for row in table:
        lines = lines_of(row, widths)
        assert all(len(line) <= width for line in lines)
        starts = [sum(widths[:i]) + GAP * i for i in range(len(widths))]
        for text, start, size in zip(row, starts, widths, strict=False):
            shown = "".join(line[start : start + size] for line in lines)
            assert "".join(shown.split()) == "".join(text.split())


@given(texts, st.integers(30, 60))
def test_no_word_is_broken_where_each_fits(text: str, width: int) -> None:
    assert " ".join(wrapped(text, width)).split() == text.split()


def test_the_least_important_column_goes_first_and_names_stay_whole() -> None:
    name = "a-name-that-must-not-be-cut-whatever-happens"
    table = [["device", "why", "agent"], [name, "a sentence that may be wrapped", "x" * 30]]
    widths = fitted(table, COLUMNS, keep=2)
    assert widths[0] == len(name)
    assert len(widths) == 2
