"""The arena: measured by the interpreter itself, every byte of it accounted for, then counted for 32 bits."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from targets.fit_models import model

from edgeops.core.errors import MissingExtra
from edgeops.targets import arena, measure
from edgeops.targets.arena import MARGIN, MEASURED_32, MEASURED_64, on_device, replay
from edgeops.targets.measure import Allocations, RuntimeRefuses, measure_allocations
from edgeops.tflite.flatbuffer import read_graph

EXACT = ("separable", "residual", "dense", "dense_per_channel", "floating")


def measured(name: str) -> Allocations:
    return measure_allocations(model(name), read_graph(model(name)))


@pytest.mark.parametrize("name", EXACT)
def test_every_byte_that_the_64_bit_build_allocates_is_accounted_for(name: str) -> None:
    graph = read_graph(model(name))
    found = measured(name)
    assert replay(graph, 64) == found.tail
    assert found.head >= graph.main.peak_live_bytes
    answer = on_device(found, graph)
    assert answer.source == MEASURED_32
    assert answer.kept_64 == 0
    assert answer.persistent == replay(graph, 32) < found.tail
    assert answer.tensors == found.head


def test_what_is_not_accounted_for_keeps_its_64_bit_size_and_is_named() -> None:
    graph = read_graph(model("mixed"))
    found = measured("mixed")
    answer = on_device(found, graph)
    assert 0 < answer.kept_64 == found.tail - replay(graph, 64)
    assert answer.persistent == replay(graph, 32) + answer.kept_64 < found.tail
    assert answer.source == f"{MEASURED_32} except CONCATENATION"


def test_nothing_is_corrected_where_the_accounting_says_more_than_was_measured() -> None:
    graph = read_graph(model("separable"))
    strange = Allocations(head=384, tail=replay(graph, 64) - 4, start_extra=32)
    answer = on_device(strange, graph)
    assert answer.source == MEASURED_64
    assert (answer.bytes, answer.start_bytes) == (strange.total, strange.total + 32)


def test_the_arena_has_a_margin_and_whole_words() -> None:
    graph = read_graph(model("separable"))
    answer = on_device(Allocations(1000, replay(graph, 64), 100), graph)
    exact = 1000 + replay(graph, 32)
    assert exact * (1 + MARGIN) <= answer.bytes < exact * (1 + MARGIN) + 4
    assert answer.bytes % 4 == 0
    assert answer.start_bytes - answer.bytes == 100


def test_a_model_with_small_tensors_needs_more_to_start_than_it_keeps() -> None:
    assert measured("dense").start_extra > 0
    assert measured("residual").start_extra == 0


def test_per_channel_weights_of_a_dense_layer_cost_two_words_each() -> None:
    per_tensor, per_channel = read_graph(model("dense")), read_graph(model("dense_per_channel"))
    assert replay(per_channel, 32) - replay(per_tensor, 32) == 2 * 4 * (8 + 4 + 16)


def test_the_sizes_of_a_32_bit_build_are_never_larger() -> None:
    for pairs in (arena._PARAMETERS, arena._OPERATOR_DATA):
        assert all(narrow <= wide for wide, narrow in pairs.values())
    assert all(narrow < wide for wide, narrow in arena._ALLOCATOR_OBJECTS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unsupported", "Didn't find op for builtin opcode 'TILE'"),
        ("vanishing", "ends with SIGABRT while it allocates: a softmax reads values of scale .*e-09"),
    ],
)
def test_a_model_that_the_interpreter_refuses_or_dies_of_gives_its_reason(name: str, words: str) -> None:
    with pytest.raises(RuntimeRefuses, match=words):
        measured(name)


def test_the_interpreter_is_held_to_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "probe.py"
    slow.write_text(
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass\n"
    )
    monkeypatch.setattr(measure, "PROBE", slow)
    with pytest.raises(RuntimeRefuses, match=r"within 1 s of CPU time"):
        measure_allocations(model("dense"), read_graph(model("dense")), cpu_seconds=1)
    slow.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(RuntimeRefuses, match="did not finish allocating within 1 s"):
        measure_allocations(model("dense"), read_graph(model("dense")), wall_seconds=1)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (f"import os; os.kill(os.getpid(), {signal.SIGSEGV})", "ends with SIGSEGV"),
        ("raise MemoryError", "needs more than 2050 MiB"),
        ("raise KeyError('strange')", "KeyError: 'strange'"),
        ('print(\'{"allocations": "", "start_bytes": 1}\')', "pinned version"),
        ("import sys; sys.exit(3)", "no reason"),
    ],
)
def test_however_the_interpreter_ends_the_tool_goes_on(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(f"import sys; sys.stdin.buffer.read()\n{program}\n")
    monkeypatch.setattr(measure, "PROBE", probe)
    with pytest.raises(RuntimeRefuses, match=words):
        measure_allocations(model("dense"), read_graph(model("dense")))


def test_an_arena_that_was_too_small_is_tried_again_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured("residual")
    monkeypatch.setattr(measure, "_generous_arena", lambda graph: 2048)
    assert measured("residual").total == whole.total


def test_without_the_wheel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        measured("dense")
    assert "edgeops[train]" in str(caught.value.fix)


def test_the_probe_needs_nothing_of_edgeops() -> None:
    text = measure.PROBE.read_text()
    assert "import edgeops" not in text and "from edgeops" not in text
    assert stat.S_ISREG(os.stat(measure.PROBE).st_mode)
    assert Path(sys.executable).exists()
