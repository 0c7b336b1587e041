"""The catalogue: complete, plausible, found by every name that a person would type."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeops.core.errors import ConfigError, ExitCode, NotFoundError, exit_code_of
from edgeops.targets import catalogue, find_target
from edgeops.targets.latency import RUNTIME_KERNELS, estimate, reference_work

BOARD = """
[myboard]
variant = "Rev B"
vendor = "Us"
core = "cortex-m4"
mhz = 100
flash = 500_000
ram = 100_000
arena_ram = 90_000
isa = "armv7e-m"
extensions = ["dsp"]
runtime = "tflm"
source = "our schematic"
"""


def test_it_has_the_cores_that_people_use() -> None:
    parts = catalogue()
    assert len(parts) >= 14
    cores = {part.core for part in parts.values()}
    assert {f"cortex-m{suffix}" for suffix in ("0plus", "3", "4", "7", "33", "55", "85")} <= cores
    assert {"esp32", "esp32s3", "rp2040", "rp2350", "stm32l4r5", "stm32h743", "nrf52840"} <= parts.keys()
    assert any(part.runtime == "linux" for part in parts.values())


@pytest.mark.parametrize("name", catalogue())
def test_every_part_is_described_whole(name: str) -> None:
    part = catalogue()[name]
    assert part.name == name == name.lower()
    assert len(part.source) > 15
    assert "datasheet" in part.source or "Specification" in part.source or "product brief" in part.source
    assert 8_192 <= part.arena_ram_bytes <= part.ram_bytes
    assert 16 <= part.mhz <= 3000
    assert part.flash_bytes >= 65_536
    has_dsp = part.core in ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85")
    assert ("dsp" in part.extensions) == has_dsp
    assert ("mve" in part.extensions) == (part.core in ("cortex-m55", "cortex-m85"))


@pytest.mark.parametrize("name", catalogue())
def test_every_part_has_an_estimate_for_its_own_runtime(name: str) -> None:
    part = catalogue()[name]
    kernels = {entry.kernels for entry in estimate(reference_work("keyword"), part)}
    assert kernels & set(RUNTIME_KERNELS[part.runtime])


@pytest.mark.parametrize(
    "name", ["stm32l4r5", "STM32L4R5", "STM32L4R5ZIT6", " nrf52840 ", "ESP32S3", "esp32"]
)
def test_a_part_is_found_by_name_and_order_code(name: str) -> None:
    assert name.lower().strip().startswith(find_target(name).name)


def test_the_longest_name_wins() -> None:
    assert find_target("esp32s3-n16").name == "esp32s3"
    assert find_target("esp32-d0wd").name == "esp32"


def test_an_unknown_part_gets_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'stm32h743'") as caught:
        find_target("stm32h747")
    assert exit_code_of(caught.value) is ExitCode.NOT_FOUND
    assert caught.value.fields["nearest"] == "stm32h743"
    with pytest.raises(NotFoundError, match="there are stm32l053, "):
        find_target("?")


def test_a_board_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(BOARD)
    board = find_target(str(path))
    assert (board.name, board.flash_bytes, board.arena_ram_bytes) == ("myboard", 500_000, 90_000)
    assert board.flash_where == "on chip"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('core = "cortex-m4"', "core = 4", "myboard.core is 4; it has to be a text"),
        ("mhz = 100", "mhz = 0", "myboard.mhz is 0"),
        ("mhz = 100", "", "myboard.mhz is missing"),
        ("flash = 500_000", 'flash = "500k"', "myboard.flash is '500k'"),
        ("arena_ram = 90_000", "arena_ram = 200_000", "at most ram, 100000"),
        ('runtime = "tflm"', 'runtime = "tvm"', "one of tflm, plan, linux"),
        ("mhz = 100", "mhz = 100\nclock = 1", "unknown key 'myboard.clock'"),
        ('extensions = ["dsp"]', 'extensions = "dsp"', "a list of texts"),
        ("[myboard]", "[myboard", "board.toml"),
        ("[myboard]", "[other]\n[myboard]", "other"),
        (BOARD, "", "0 targets where one is described"),
        (BOARD, "name = 'x'", "name is not a table"),
    ],
)
def test_a_wrong_description_is_named(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(BOARD.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        find_target(str(path))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        find_target(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        (tmp_path / "folder.toml").mkdir()
        find_target(str(tmp_path / "folder.toml"))
