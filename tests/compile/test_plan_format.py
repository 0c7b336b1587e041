"""The compiler's list of fields is that of the C header, byte by byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeops.compile import plan_format as form
from edgeops.compile.plan_format import Fields, OpCode, OpFlag, PlanType

INCLUDE = Path(__file__).resolve().parents[2] / "firmware_stubs" / "include"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
HEAD = 5
STRUCTURES: dict[str, tuple[Fields, str]] = {
    "eo_plan_header": (form.HEADER, ""),
    "eo_plan_tensor": (form.TENSOR, ""),
    "eo_plan_reset": (form.RESET, ""),
    "eo_lstm_gate": (form.LSTM_GATE, ""),
    "eo_op_conv": (form.RECORDS[OpCode.CONV_2D], "head."),
    "eo_op_fully_connected": (form.RECORDS[OpCode.FULLY_CONNECTED], "head."),
    "eo_op_pool": (form.RECORDS[OpCode.MAX_POOL_2D], "head."),
    "eo_op_mean": (form.RECORDS[OpCode.MEAN], "head."),
    "eo_op_add": (form.RECORDS[OpCode.ADD], "head."),
    "eo_op_mul": (form.RECORDS[OpCode.MUL], "head."),
    "eo_op_softmax": (form.RECORDS[OpCode.SOFTMAX], "head."),
    "eo_op_table": (form.RECORDS[OpCode.TABLE], "head."),
    "eo_op_fill": (form.RECORDS[OpCode.FILL], "head."),
    "eo_op_move": (form.RECORDS[OpCode.MOVE], "head."),
    "eo_op_quantize": (form.RECORDS[OpCode.QUANTIZE], "head."),
    "eo_op_svdf": (form.RECORDS[OpCode.SVDF], "head."),
    "eo_op_lstm": (form.RECORDS[OpCode.LSTM], "head."),
}
CONSTANTS = {
    "EO_PLAN_MAGIC": form.MAGIC,
    "EO_PLAN_FORMAT": form.FORMAT,
    "EO_ROUNDING_TWICE": form.ROUNDING_TWICE,
    "EO_MOVE_RANK": form.MOVE_RANK,
    "EO_OP_END": max(OpCode) + 1,
    **{f"EO_TYPE_{kind.name}": int(kind) for kind in PlanType},
    **{f"EO_OP_{code.name}": int(code) for code in OpCode},
    **{f"EO_OP_{flag.name}": int(flag) for flag in OpFlag},
}


def expected_lines() -> list[str]:
    lines = [f"{name} {value}" for name, value in CONSTANTS.items()]
    for structure, (fields, head) in STRUCTURES.items():
        lines.append(f"{structure} {form.form_of(fields).size}")
        at = 0
        for number, (name, kind) in enumerate(fields):
            member = f"{head if number < HEAD else ''}{name}"
            size = form.form_of(((name, kind),)).size
            lines.append(f"{structure}.{member} {at} {size}")
            at += size
    return lines


def test_every_size_offset_and_constant_is_the_c_compilers(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        (pytest.fail if IN_CI else pytest.skip)("cc is missing. Fix: sudo apt-get install build-essential")
    prints = []
    for line in expected_lines():
        name = line.split()[0]
        structure, _, member = name.partition(".")
        if member:
            size = f"sizeof((({structure} *)0)->{member})"
            prints.append(f'printf("{name} %zu %zu\\n", offsetof({structure}, {member}), {size});')
        elif structure in STRUCTURES:
            prints.append(f'printf("{name} %zu\\n", sizeof({name}));')
        else:
            prints.append(f'printf("{name} %lld\\n", (long long){name});')
    source = tmp_path / "layout.c"
    includes = "#include <stddef.h>\n#include <stdio.h>\n#include <edgeops/plan.h>\n"
    source.write_text(f"{includes}int main(void) {{ {' '.join(prints)} return 0; }}\n")
    program = tmp_path / "layout"
    subprocess.run([compiler, "-std=c99", f"-I{INCLUDE}", source, "-o", program], check=True, timeout=60)
    printed = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60).stdout
    assert printed.splitlines() == expected_lines()


def test_every_operator_has_a_record_whose_size_is_whole_words() -> None:
    assert set(form.RECORDS) == set(OpCode)
    assert {fields for fields, head in STRUCTURES.values() if head} == set(form.RECORDS.values())
    assert all(form.form_of(fields).size % 4 == 0 for fields in form.RECORDS.values())
    assert form.form_of(form.HEADER).size % 4 == 0


def test_what_is_packed_is_unpacked() -> None:
    fields = form.RECORDS[OpCode.MOVE]
    values = {"code": 12, "unit": 3, "sizes": (1, 2, 3, 4, 5), "input_strides": (-1, 0, 1, 2, 3)}
    content = form.packed(fields, values)
    assert {key: form.unpacked(fields, b"....." + content, 5)[key] for key in values} == values
    assert form.unpacked(fields, content)["output_strides"] == (0,) * 5
