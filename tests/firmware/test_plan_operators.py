"""What tests/compile asks of the compiler, asked again with the C runtime in place of the Python interpreter: every
operator, with both sets of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from compile import op_models
from compile.test_moves import *  # noqa: F403
from compile.test_operators import *  # noqa: F403
from compile.test_recurrent import *  # noqa: F403
from firmware import plan_runner

from edgeops.compile.plan_format import HEADER, unpacked


class Both:
    """A plan in two processes, one for each set of kernels, which must agree before anything else is judged."""

    def __init__(self, tool: Path, plan: bytes) -> None:
        size = unpacked(HEADER, plan)["output.bytes"]
        assert isinstance(size, int)
        self._processes = [plan_runner.Process(tool, kernels, plan, size) for kernels in plan_runner.KERNELS]

    def run(self, inputs: bytes) -> bytes:
        portable, dsp = (process.run(inputs) for process in self._processes)
        assert portable == dsp
        return portable


@pytest.fixture(scope="module", autouse=True)
def the_c_runtime(host_build: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op_models, "Runner", lambda plan: Both(host_build / "run_plan", plan))
        yield
