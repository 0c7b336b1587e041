"""The emulated boards: builds their images, starts QEMU on one, bounded in time, and ends its own process only."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_stubs"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
PROGRAMS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "make": "make",
}
LIMIT_S = 60.0
FAULT = 70
"""The exit code of an image that ended in a fault."""
TOO_LARGE = 3
"""The exit code of run_vectors where plan or arena do not fit the board."""


@dataclass(frozen=True, slots=True)
class Board:
    """One emulated board: QEMU's machine, its core, and whether its kernels use the DSP extension."""

    name: str
    machine: str
    core: str
    dsp: bool


BOARDS = (
    Board("an385", "mps2-an385", "Cortex-M3", dsp=False),
    Board("an386", "mps2-an386", "Cortex-M4", dsp=True),
    Board("an500", "mps2-an500", "Cortex-M7", dsp=True),
    Board("an505", "mps2-an505", "Cortex-M33", dsp=True),
    Board("an547", "mps3-an547", "Cortex-M55", dsp=True),
    Board("microbit", "microbit", "Cortex-M0", dsp=False),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """What an image left: its exit code, what it printed, and the ``name=number`` lines of that."""

    code: int
    text: str

    @property
    def values(self) -> dict[str, int]:
        pairs = (line.partition("=") for line in self.text.splitlines())
        return {name: int(value) for name, is_pair, value in pairs if is_pair and value.isdecimal()}


def need_programs() -> None:
    """Skip, or in CI fail, where the cross compiler or the emulator is missing."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        reason = (
            f"the emulated boards need what is not installed. Fix: sudo apt-get install {' '.join(missing)}"
        )
        if IN_CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def build(*targets: str, folder: Path = FIRMWARE, variables: Sequence[str] = ()) -> None:
    """``make`` the targets, one process at a time (tests run in several)."""
    need_programs()
    (folder / "build").mkdir(exist_ok=True)
    with (folder / "build" / "boards.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "-j2", *variables, *targets],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert made.returncode == 0, made.stderr[-4000:]


def image(board: Board, name: str, *, fast: bool = False) -> Path:
    """An image of a board, built."""
    folder = board.name + ("-speed" if fast else "")
    build(f"build/{folder}/{name}.elf", variables=["SPEED=1"] if fast else [])
    return FIRMWARE / "build" / folder / f"{name}.elf"


def symbol(elf: Path, name: str) -> int:
    """The address of a symbol in an image."""
    listed = subprocess.run(
        ["arm-none-eabi-nm", str(elf)], capture_output=True, text=True, check=True, timeout=60
    )
    addresses = [line.split()[0] for line in listed.stdout.splitlines() if line.split()[-1] == name]
    assert addresses, f"{elf.name} has no {name}"
    return int(addresses[0], 16)


def command(
    board: Board,
    elf: Path,
    arguments: Mapping[str, object],
    *,
    counted: bool = True,
    model: Path | None = None,
    network: bool = False,
) -> list[str]:
    """The command line: ``arguments`` go to the image as name=value, ``model`` into its flash, and ``counted`` makes
    an instruction take one nanosecond."""
    words = [elf.stem, *(f"{name}={value}" for name, value in arguments.items())]
    assert not any(" " in word for word in words), "the image splits its command line at spaces"
    # QEMU splits options at commas, and takes a doubled one as itself
    semihosting = ",".join(
        ["enable=on", "target=native", *(f"arg={word.replace(',', ',,')}" for word in words)]
    )
    line = ["qemu-system-arm", "-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "none"]
    line += ["-semihosting-config", semihosting, "-kernel", str(elf)]
    line += ["-icount", "shift=0"] if counted else []
    line += ["-nic", "user,model=lan9118"] if network else ["-nic", "none"]
    if model is not None:
        at = symbol(elf, "board_model_start")
        line += ["-device", f"loader,file={model},addr={at:#x},force-raw=on"]
    return line


def run(
    board: Board,
    elf: Path,
    arguments: Mapping[str, object] | None = None,
    *,
    counted: bool = True,
    model: Path | None = None,
    network: bool = False,
    limit_s: float = LIMIT_S,
) -> Ended:
    """An image that ends by itself; one that does not is ended, and fails the test."""
    line = command(board, elf, arguments or {}, counted=counted, model=model, network=network)
    ended = subprocess.run(
        line, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit_s
    )
    return Ended(ended.returncode, ended.stdout)


@contextmanager
def running(line: Sequence[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process (an image that does not end by itself, a broker) that is killed at the end of the block; what it says
    goes to ``output``."""
    with output.open("ab") as said, subprocess.Popen(line, stdout=said, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=30)
