"""Each interpreter in an environment of its own, installed as on a device, with a tensor round trip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "vectors" / "inference"

PROGRAM = """
import importlib.util, json, sys
from pathlib import Path

import numpy as np
import device_agent
from device_agent.inference import open_interpreter

folder = Path(sys.argv[1])
vectors = json.loads((folder / "small_int8.json").read_text())
interpreter = open_interpreter((folder / vectors["model"]).read_bytes())
worst = 0
for case in vectors["cases"]:
    values = np.array(case["input"], np.int8).reshape(interpreter.input.shape)
    worst = max(worst, int(np.abs(interpreter.invoke(values).astype(int) - case["output"]).max()))
print(json.dumps({
    "runtime": interpreter.runtime,
    "shape": list(interpreter.input.shape),
    "worst": worst,
    "cases": len(vectors["cases"]),
    "installed": device_agent.__file__.startswith(sys.prefix),
    "importable": [name for name in ("tensorflow", "sqlmodel", "typer") if importlib.util.find_spec(name)],
}))
"""


def run(*command: str | Path) -> str:
    """Run a command outside of the checkout's import path; show what it said when it fails."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(sys.prefix),
        timeout=280,
        check=False,
    )
    if done.returncode:
        pytest.fail(
            f"{' '.join(map(str, command[:6]))} ended with {done.returncode}\n{done.stderr[-4000:]}",
            pytrace=False,
        )
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "constraints", "runtime"),
    [
        ("agent", "constraints.txt", "ai_edge_litert"),
        ("agent-legacy", "constraints-legacy.txt", "tflite_runtime"),
    ],
)
def test_round_trip_in_a_clean_environment(
    tmp_path: Path, extra: str, constraints: str, runtime: str
) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{ROOT}[{extra}]", "-c", ROOT / constraints)
    result = json.loads(run(python, "-c", PROGRAM, FOLDER))
    version = result["runtime"].removeprefix(f"{runtime} ")
    assert f"{runtime.replace('_', '-')}=={version}" in (ROOT / constraints).read_text().splitlines()
    assert result["installed"]
    assert result["importable"] == []
    assert result["cases"] >= 10
    assert result["worst"] <= json.loads((FOLDER / "small_int8.json").read_text())["tolerance"]
