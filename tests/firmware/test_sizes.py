"""The table of flash and RAM: it leaves nothing of the image out, and the agent keeps to its limits."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import Any

import pytest
from firmware import emulator

MODULES = {"runtime", "kernels, portable", "front ends", "counters", "wire", "trust", "store", "agent"}


@cache
def table() -> dict[str, Any]:
    for name in ("an385/edgeops_agent", "an386/run_vectors"):
        emulator.build(f"build/{name}.elf")
    said = subprocess.run(
        ["make", "--silent", "--no-print-directory", "sizes", "JSON=1"],
        check=False,
        cwd=emulator.FIRMWARE,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stderr
    measured: dict[str, Any] = json.loads(said.stdout)
    return measured


def test_names_every_module() -> None:
    assert {name for name in MODULES if table()["modules"][name]["flash"] > 0} == MODULES
    assert table()["dsp_kernels_cortex_m4"]["flash"] > 0


def test_leaves_nothing_of_the_image_out() -> None:
    """The sum over the modules is the linked image's size, but for the gaps between objects."""
    listed = subprocess.run(
        ["arm-none-eabi-size", str(emulator.FIRMWARE / "build/an385/edgeops_agent.elf")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    text, data = (int(word) for word in listed.stdout.splitlines()[1].split()[:2])
    counted = sum(module["flash"] for module in table()["modules"].values())
    assert text + data == pytest.approx(counted, rel=0.02)


def test_nothing_of_the_agent_divides_64_bits_or_reads_text() -> None:
    """The table leaves both to the port, the network stack and the front ends."""
    table()
    objects = [
        path
        for part in ("agent", "store", "wire", "trust", "counters")
        for path in (emulator.FIRMWARE / "build/an385/src" / part).glob("*.o")
    ]
    needed = subprocess.run(
        ["arm-none-eabi-nm", "--undefined-only", *map(str, objects)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "memcpy" in needed
    assert "strlen" in needed
    assert not [word for word in ("strc", "strn", "strs", "ato") if f" {word}" in needed]
    assert "ldivmod" not in needed


def test_the_deepest_stack_is_that_of_a_signature_check() -> None:
    calls = " ".join(table()["stack"]["calls"])
    assert "eo_verify" in calls
    assert "crypto_eddsa_check_equation" in calls


def test_the_agent_keeps_to_its_limits() -> None:
    """40 KB of flash and 8 KB of RAM, with signature verification and stack."""
    agent = table()["agent"]
    assert (agent["flash"] <= 40 * 1024, agent["ram"] <= 8 * 1024) == (True, True), agent
