"""Models that nobody vouches for: `check` answers or says what is wrong, in bounded time and memory."""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from targets.fit_models import NAMES, model

from edgeops.cli.main import run as run_app
from edgeops.core.errors import ConfigError, DataError
from edgeops.targets import measure
from edgeops.targets.arena import replay
from edgeops.targets.catalogue import find_target
from edgeops.targets.check import check_fit
from edgeops.targets.measure import RuntimeRefuses, measure_allocations
from edgeops.tflite.flatbuffer import read_graph
from edgeops.tflite.graph import Graph, Operator, Subgraph, Tensor

schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")

TARGET = find_target("stm32l4r5")
WORDS = st.sampled_from([0, 1, 2, 255, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1])


def changed(change: Any, name: str = "dense") -> bytes:
    import flatbuffers

    theirs = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model(name), 0))
    change(theirs)
    builder = flatbuffers.Builder(0)
    builder.Finish(theirs.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["edgeops", "check", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_app()
    return int(ended.value.code or 0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.tuples(st.integers(0, 5000), WORDS), min_size=1, max_size=3))
def test_words_that_are_counts_offsets_and_shapes_never_end_the_tool(
    name: str, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(model(name))
    for place, value in changes:
        at = 4 * place % (len(content) - 4)
        content[at : at + 4] = value.to_bytes(4, "little")
    try:
        report = check_fit(bytes(content), TARGET)
    except DataError as error:
        assert "\n" not in error.message and len(error.message) < 500
    else:
        assert report.fits == (not report.reasons)
        assert all(len(reason) < 2500 and reason.isprintable() for reason in report.reasons)
        json.dumps(report.document())


def huge_shape(theirs: Any) -> None:
    theirs.subgraphs[0].tensors[theirs.subgraphs[0].inputs[0]].shape = [1, 1 << 29]


def many_numbers(theirs: Any) -> None:
    theirs.subgraphs[0].tensors[0].shape = [1] * 100_000


def many_codes(theirs: Any) -> None:
    theirs.operatorCodes = [
        schema.OperatorCodeT(deprecatedBuiltinCode=32, builtinCode=32, customCode=f"op{i}")
        for i in range(2000)
    ]


def custom(theirs: Any, count: int = 100, name: str = "\x1b[2Jop\n{}") -> None:
    theirs.operatorCodes = [
        schema.OperatorCodeT(deprecatedBuiltinCode=32, builtinCode=32, customCode=name.format(i))
        for i in range(count)
    ]
    operator = theirs.subgraphs[0].operators[0]
    theirs.subgraphs[0].operators = [copy.copy(operator) for _ in range(count)]
    for number, made in enumerate(theirs.subgraphs[0].operators):
        made.opcodeIndex = number


def reads_itself(theirs: Any) -> None:
    operator = theirs.subgraphs[0].operators[0]
    operator.inputs = [operator.outputs[0], *operator.inputs[1:]]


def without_ends(theirs: Any) -> None:
    theirs.subgraphs[0].inputs, theirs.subgraphs[0].outputs = [], []


def scalar_weights(theirs: Any) -> None:
    theirs.subgraphs[0].tensors[theirs.subgraphs[0].operators[0].inputs[1]].shape = []


def several_graphs(theirs: Any) -> None:
    theirs.subgraphs = theirs.subgraphs * 3


def dynamic_batch(theirs: Any) -> None:
    tensor = theirs.subgraphs[0].tensors[theirs.subgraphs[0].inputs[0]]
    tensor.shapeSignature = [-1, *tensor.shape[1:]]


def negative_batch(theirs: Any) -> None:
    tensor = theirs.subgraphs[0].tensors[theirs.subgraphs[0].inputs[0]]
    tensor.shape = [-1, *tensor.shape[1:]]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (huge_shape, 3, "it needs an arena beyond 512 MiB"),
        (many_numbers, 2, "a shape of 100000 numbers"),
        (many_codes, 2, "it lists 2000 different operators"),
        (custom, 3, "and 88 more"),
        (negative_batch, 2, r"has shape [-1, "),
        (reads_itself, 0, ""),
        (without_ends, 0, ""),
        (scalar_weights, 0, ""),
        (several_graphs, 0, ""),
        (dynamic_batch, 0, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_exit_status_says_whether_it_fits_or_is_no_model(
    change: Any, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(change))
    assert status(monkeypatch, str(path), "--target", "stm32l4r5") == code
    shown = capsys.readouterr()
    assert words in shown.err
    assert "\x1b" not in shown.out + shown.err and len(shown.err) < 3000


def test_a_folder_in_place_of_a_model_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(monkeypatch, str(tmp_path), "--target", "stm32l4r5") == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_dense_layer_whose_weights_are_a_single_number_has_no_channels() -> None:
    def tensor(shape: tuple[int, ...], held: int = 0) -> Tensor:
        return Tensor("t", shape, "int8", held, 4, 0.1, 0, False)

    layer = Operator("FULLY_CONNECTED", (0, 1), (2,))
    graph = Graph((Subgraph((tensor((1, 4)), tensor((), 4), tensor((1, 4))), (0,), (2,), (layer,)),), 0)
    assert replay(graph, 32) > 0


class TestTheMeasuringProcess:
    @pytest.mark.parametrize(
        ("printed", "words"),
        [
            ("", "without an answer"),
            ("[1]", "without an answer"),
            ("[" * 100_000, "without an answer"),
            ('{"allocations": "x"}', "pinned version"),
            ('{"allocations": "x", "start_bytes": "many"}', "pinned version"),
            ('{"refused": "\\\\u001b[2J first\\\\nsecond"}', r"^\?\[2J first$"),
        ],
    )
    def test_whatever_it_answers_is_a_reason(
        self, printed: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        probe = tmp_path / "probe.py"
        probe.write_text(
            f"import sys; sys.stdin.buffer.read(); print({printed.replace(chr(92) * 2, chr(92))!r})\n"
        )
        monkeypatch.setattr(measure, "PROBE", probe)
        with pytest.raises(RuntimeRefuses, match=words):
            measure_allocations(model("dense"), read_graph(model("dense")))

    def test_what_it_forked_ends_with_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fork holds the pipes open: waiting for them would take as long as the fork does."""
        probe, noted = tmp_path / "probe.py", tmp_path / "pid"
        probe.write_text(
            "import os, pathlib, time\n"
            "if os.fork() == 0:\n"
            f"    pathlib.Path({str(noted)!r}).write_text(str(os.getpid()))\n"
            "    time.sleep(600)\n"
            "time.sleep(600)\n"
        )
        monkeypatch.setattr(measure, "PROBE", probe)
        with pytest.raises(RuntimeRefuses, match="did not finish allocating within 2 s"):
            measure_allocations(model("dense"), read_graph(model("dense")), wall_seconds=2)
        state = Path(f"/proc/{noted.read_text()}/stat")
        for _ in range(200):
            if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
                return
            time.sleep(0.05)
        os.kill(int(noted.read_text()), signal.SIGKILL)
        pytest.fail("the fork goes on")

    def test_all_attempts_share_one_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given_seconds = []

        def probe(model: bytes, graph: Graph, arena: int, cpu: int, wall: float) -> dict[str, object] | None:
            given_seconds.append(wall)
            return {"refused": "Failed to allocate"} if len(given_seconds) < 3 else None

        monkeypatch.setattr(measure, "_probe", probe)
        with pytest.raises(RuntimeRefuses, match="within 5 s"):
            measure_allocations(model("dense"), read_graph(model("dense")), wall_seconds=5)
        assert 5 >= given_seconds[0] > given_seconds[1] > given_seconds[2]


@pytest.mark.parametrize("content", ["x = " + "[" * 100_000, f"[board]\nmhz = 1{'0' * 5000}\n"])
def test_a_description_of_a_board_that_breaks_the_parser_is_one_clear_error(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "board.toml").write_text(content)
    with pytest.raises(ConfigError, match=r"board\.toml"):
        find_target(str(tmp_path / "board.toml"))
