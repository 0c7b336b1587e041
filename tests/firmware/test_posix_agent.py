"""The C agent on Linux as a person meets it: what it says when something is wrong, exit codes, one agent a flash."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.packages import DEVICE, FLEET, KEYS, trust_root

from edgeops.core.signing import Role, sign_root

NOBODY = "mqtt://127.0.0.1:1"


@pytest.fixture
def program(host_build: Path) -> Path:
    path = host_build / "edgeops_agent"
    assert path.exists(), "edgeops_agent was not built. Fix: sudo apt-get install libmosquitto-dev"
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """What ``edgeops device enroll`` writes, for a broker that is not there."""
    (tmp_path / "trust.cose").write_bytes(sign_root(trust_root(), [KEYS[Role.ROOT]]))
    path = tmp_path / "agent.toml"
    path.write_text(f'fleet = "{FLEET}"\ndevice = "{DEVICE}"\nbroker = "{NOBODY}"\n')
    return path


@pytest.fixture
def running(program: Path, config: Path) -> Iterator[subprocess.Popen[str]]:
    """An agent that has started: it has said that the broker is away."""
    process = subprocess.Popen([program, "--enrolment", config], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("offline: 127.0.0.1:1: ")
    yield process
    process.kill()
    process.communicate()


def refused(program: Path, *options: str | Path) -> tuple[int, str]:
    """Exit code, and the first line of what it said."""
    done = subprocess.run([program, *options], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr.partition("\n")[0]


def test_it_runs_without_a_broker_and_stops_when_it_is_told_to(running: subprocess.Popen[str]) -> None:
    """A broker that is away is no error, and SIGTERM is no crash."""
    assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0


def test_two_agents_do_not_share_a_flash(running: subprocess.Popen[str], program: Path, config: Path) -> None:
    """The second one is refused; when the first has gone it may start."""
    code, words = refused(program, "--enrolment", config)
    assert (code, "another agent has it" in words) == (1, True), words
    assert str(config.parent / "data" / "flash.bin") in words
    assert running.poll() is None


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--every"],
        ["--every", "soon"],
        ["--flash-bytes", "0"],
        ["--flash-bytes", "1e6"],
        ["--arena-bytes", "-1"],
    ],
)
def test_wrong_options_are_misuse(program: Path, config: Path, options: list[str]) -> None:
    """Exit code 2, and what the options are."""
    enrolment = ["--enrolment", str(config)] if options else []
    assert refused(program, *enrolment, *options)[0] == 2


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        (["--arena-bytes", "abc"], "--arena-bytes abc: must be a whole number"),
        (["--arena-bytes", "-5"], "--arena-bytes -5: must be a whole number"),
        (["--flash-bytes", "1000"], "--flash-bytes 1000: must be a multiple of 4096"),
        (["--samples", "int8"], "--samples int8: must be uint8, int16 or float32"),
        (["--speed", "9"], "--speed: is not an option"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_possible(
    program: Path, config: Path, options: list[str], possible: str
) -> None:
    """One line, exit code 2."""
    code, said = refused(program, "--enrolment", config, *options)
    assert (code, possible in said) == (2, True), said


def test_help_is_no_misuse(program: Path) -> None:
    """Usage on stdout, exit code 0."""
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("usage: edgeops_agent")


def test_inputs_that_hold_nothing_are_refused_at_the_start(program: Path, config: Path) -> None:
    """An empty file, and a folder."""
    empty = config.parent / "empty"
    empty.touch()
    for path, words in ((empty, "is empty"), (config.parent, "is a folder")):
        code, said = refused(program, "--enrolment", config, "--inputs", path)
        assert (code, f"{path}: {words}" in said) == (1, True), said


def test_a_flash_of_another_size_is_refused(program: Path, config: Path) -> None:
    """Both sizes are told, and the file stays as it is."""
    flash = config.parent / "other.bin"
    flash.write_bytes(bytes(8192))
    code, said = refused(program, "--enrolment", config, "--flash", flash)
    assert (code, "8192 bytes" in said, "1048576" in said) == (1, True, True), said
    assert flash.read_bytes() == bytes(8192)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agent.toml": None}, "edgeops device enroll"),
        ({"trust.cose": None}, "edgeops device enroll"),
        ({"trust.cose": b"\0" * 100}, "trust.cose: is not a trust root; enrol the device again"),
        ({"trust.cose": b"\0" * 10_000}, "EO_MESSAGE_BYTES"),
        ({"agent.toml": b'fleet = "plant"\n'}, "device is missing"),
        ({"agent.toml": b'fleet = "plant"\ndevice = "cam-01"\nbroker = "http://x"\n'}, "mqtt://"),
        ({"agent.toml": b"fleet = 'plant'\n"}, "double quotes"),
        ({"agent.toml": b'fleet = "' + b"x" * 100_000 + b'"\n'}, "fleet"),
        (
            {"agent.toml": f'fleet = "other"\ndevice = "d"\nbroker = "{NOBODY}"\n'.encode()},
            "Fix: check agent.toml",
        ),
    ],
)
def test_an_enrolment_that_cannot_be_used_is_named(
    program: Path, config: Path, change: dict[str, bytes | None], words: str
) -> None:
    """Exit code 1, and one line that says what to do."""
    for name, content in change.items():
        path = config.parent / name
        path.unlink() if content is None else path.write_bytes(content)
    code, said = refused(program, "--enrolment", config)
    assert code == 1
    assert words in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--flash-bytes", "16384"], "--flash-bytes"),
        (["--inputs", "/nowhere/inputs.bin"], "/nowhere/inputs.bin: No such file"),
        (["--flash", "/nowhere/flash.bin"], "/nowhere/flash.bin: No such file"),
        (["--flash", "/dev/full"], "/dev/full"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    program: Path, config: Path, options: list[str], words: str
) -> None:
    """Exit code 1, and which one it is."""
    code, said = refused(program, "--enrolment", config, *options)
    assert code == 1
    assert words in said
