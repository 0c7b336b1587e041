"""What the agent costs to import: it must run where neither TensorFlow nor a database is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "_cffi_backend",
    "cbor2",
    "_cbor2",
    "_openssl",
    "cffi",
    "cryptography",
    "device_agent",
    "edgeops",
    "numpy",
}
FORBIDDEN = {"typer", "click", "rich", "sqlmodel", "sqlalchemy", "pydantic", "tensorflow", "keras", "sklearn"}


def modules_after(program: str) -> set[str]:
    """The top-level packages that are loaded after a program has run in an interpreter of its own."""
    code = f"import sys; before = set(sys.modules)\n{program}\nprint('|'.join(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    return {name.partition(".")[0] for name in done.stdout.strip().rsplit("\n", 1)[-1].split("|")}


@pytest.mark.parametrize(
    "module", ["agent", "simulate", "sources", "run", "doctor", "simulate_config", "world"]
)
def test_a_part_of_the_agent_loads_what_a_device_has_and_nothing_else(module: str) -> None:
    loaded = modules_after(f"import device_agent.{module}")
    assert loaded - set(sys.stdlib_module_names) <= ALLOWED


def test_the_agent_package_itself_loads_nothing() -> None:
    assert modules_after("import device_agent") - set(sys.stdlib_module_names) == {"device_agent"}


def test_the_real_transport_adds_paho_only() -> None:
    loaded = modules_after("import device_agent.agent, edgeops.mqtt")
    assert loaded - set(sys.stdlib_module_names) <= ALLOWED | {"paho"}
    assert not loaded & FORBIDDEN


@pytest.mark.parametrize("command", [[], ["run"], ["simulate"], ["doctor"]], ids=" ".join)
def test_help_loads_the_standard_library_only(command: list[str]) -> None:
    program = (
        "import runpy\n"
        f"sys.argv = ['device_agent', *{command!r}, '--help']\n"
        "try:\n    runpy.run_module('device_agent', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code"
    )
    assert modules_after(program) - set(sys.stdlib_module_names) <= {"device_agent"}
