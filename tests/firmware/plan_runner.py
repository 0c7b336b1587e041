"""The C runtime as the tests drive it: ``run_plan`` of the host build, over all inputs at once or one by one."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

KERNELS = ("portable", "dsp")
SANITIZER_EXIT = 99
"""What a sanitized tool answers where the sanitizer found something."""
_ENVIRONMENT = {
    "ASAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:allocator_may_return_null=1",
    "UBSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:print_stacktrace=1",
}


def attempt(
    tool: Path, kernels: str, plan: bytes, inputs: bytes, limit_s: float = 60
) -> tuple[int, bytes, str]:
    """Exit code, output and messages of one run over ``inputs``, one inference each."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("plan", "input", "output")]
        files[0].write_bytes(plan)
        files[1].write_bytes(inputs)
        command = [tool, "--kernels", kernels, *files]
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=limit_s, env=_ENVIRONMENT
        )
        output = files[2].read_bytes() if files[2].exists() else b""
    return ended.returncode, output, ended.stderr


def outputs(tool: Path, kernels: str, plan: bytes, inputs: bytes, limit_s: float = 60) -> bytes:
    """The outputs of inferences that must succeed."""
    code, output, messages = attempt(tool, kernels, plan, inputs, limit_s)
    assert code == 0, messages
    return output


class Process:
    """One ``run_plan`` that takes an input and gives its output before the next is known; keeps the plan's state."""

    def __init__(self, tool: Path, kernels: str, plan: bytes, output_bytes: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._output_bytes = output_bytes
        path = Path(self._folder.name, "plan")
        path.write_bytes(plan)
        self._process = subprocess.Popen(
            [tool, "--kernels", kernels, path, "-", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_ENVIRONMENT,
        )

    def run(self, inputs: bytes) -> bytes:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(inputs)
        self._process.stdin.flush()
        return self._process.stdout.read(self._output_bytes)

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()
        assert self._process.returncode == 0

    def __del__(self) -> None:
        if self._process.returncode is None:
            self._process.communicate()
            self._folder.cleanup()
