"""The emulated boards: every core comes up, counts its instructions, reaches the host's files, and says when it
faults; images are the same bytes wherever they are built."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from firmware import emulator
from firmware.emulator import BOARDS, FIRMWARE, Board

EVERY_BOARD = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.core)
TICK = 63
"""The most instructions that one tick of a board's SysTick stands for."""
CALLS = 200
"""What reading the clock may take itself."""


@EVERY_BOARD
class TestEveryBoard:
    def test_starts_with_its_data_in_place(self, board: Board) -> None:
        ended = emulator.run(board, emulator.image(board, "board_check"))
        assert ended.values["initialized"] == 0x12345678
        assert ended.values["zeroed"] == 0

    def test_counts_the_instructions_of_a_known_loop(self, board: Board) -> None:
        ended = emulator.run(board, emulator.image(board, "board_check"))
        assert 0 <= ended.values["instructions"] - ended.values["expected"] <= 2 * TICK + CALLS

    def test_counts_the_same_every_time(self, board: Board) -> None:
        elf = emulator.image(board, "board_check")
        assert emulator.run(board, elf).text == emulator.run(board, elf).text

    def test_knows_how_much_stack_was_used(self, board: Board) -> None:
        ended = emulator.run(board, emulator.image(board, "board_check"))
        assert 0 < ended.values["stack_before"] < ended.values["stack_after"]
        assert ended.values["stack_after"] >= 800

    def test_reads_and_writes_files_of_the_host(self, board: Board, tmp_path: Path) -> None:
        original = bytes(i * i % 251 for i in range(1000))
        (tmp_path / "original").write_bytes(original)
        files = {"copy": tmp_path / "original", "to": tmp_path / "copy"}
        ended = emulator.run(board, emulator.image(board, "board_check"), files)
        assert ended.code == 0
        assert (tmp_path / "copy").read_bytes() == original

    def test_ends_with_the_code_that_the_image_gives(self, board: Board) -> None:
        assert emulator.run(board, emulator.image(board, "board_check")).code == 3

    def test_starts_again_with_its_data_as_at_first(self, board: Board, tmp_path: Path) -> None:
        ended = emulator.run(board, emulator.image(board, "board_check"), {"reset": tmp_path / "was_here"})
        assert ended.code == 4
        assert ended.text.count(f"initialized={0x12345678}\n") == 2
        assert ended.text.count("zeroed=0\n") == 2

    def test_says_so_when_it_faults(self, board: Board) -> None:
        ended = emulator.run(board, emulator.image(board, "board_check"), {"fault": 1})
        assert ended.code == emulator.FAULT
        assert ended.values["fault"] > 0


def test_counts_beyond_the_24_bits_of_systick() -> None:
    board = BOARDS[0]
    ended = emulator.run(board, emulator.image(board, "board_check"), {"long": 1})
    assert ended.values["expected"] > 2**24 * 40
    # the interrupt that counts the rounds is measured too
    assert 0 <= ended.values["instructions"] - ended.values["expected"] <= 2 * TICK + 2 * CALLS


@pytest.mark.parametrize("name", ["run_vectors", pytest.param("edgeops_agent", marks=pytest.mark.slow)])
def test_an_image_is_the_same_bytes_in_any_folder(tmp_path: Path, name: str) -> None:
    """Sources and build rules are copied to two folders and built there."""
    digests = []
    for parent in ("one", "another/and/deeper"):
        folder = tmp_path / parent / "firmware_stubs"
        folder.mkdir(parents=True)
        for part in ("include", "src", "port", "mk"):
            shutil.copytree(FIRMWARE / part, folder / part)
        shutil.copy(FIRMWARE / "Makefile", folder)
        (folder / "deps").symlink_to(FIRMWARE / "deps")
        emulator.build(f"build/an385/{name}.elf", folder=folder)
        digests.append(hashlib.sha256((folder / f"build/an385/{name}.elf").read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_what_a_core_cannot_do_is_not_in_its_image() -> None:
    """The Cortex-M3 image has no instruction of the DSP extension, the Cortex-M4 image has."""
    found = {}
    for board in BOARDS[:2]:
        listing = subprocess.run(
            ["arm-none-eabi-objdump", "-d", str(emulator.image(board, "run_vectors"))],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        found[board.dsp] = "smlad" in listing
    assert found == {False: False, True: True}
