"""Where inputs come from: none waits, a broken one is told and counted, and each ends as it should."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from device_agent.sources import (
    CallableSource,
    Input,
    LineSource,
    Source,
    TopicSource,
    open_source,
    parse_input,
)
from edgeops.core.errors import BrokerUnreachable, ConfigError, DataError, InputError, NotFoundError
from edgeops.core.transport import MemoryBroker


def replay_folder(folder: Path, targets: list[int] | None = None, labels: list[str] | None = None) -> Path:
    np.save(folder / "inputs.npy", np.arange(12).reshape(3, 2, 2))
    if targets is not None:
        np.save(folder / "targets.npy", np.array(targets))
    if labels is not None:
        (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def items(source: Source, count: int, within_s: float = 5.0) -> list[Input]:
    """The next inputs, polling as an agent does."""
    found: list[Input] = []
    deadline = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < deadline:
        item = next(source)
        if item is not None:
            found.append(item)
        else:
            time.sleep(0.002)
    return found


# -- replay


def test_a_replay_goes_round_and_round_with_its_truths(tmp_path: Path) -> None:
    source = open_source(f"replay:{replay_folder(tmp_path, [0, 1, 0], ['no', 'yes'])}")
    seen = items(source, 7)
    assert [item.truth for item in seen] == ["no", "yes", "no", "no", "yes", "no", "no"]
    np.testing.assert_array_equal(seen[3].values, seen[0].values)
    assert all(item.consent for item in seen)


def test_a_replay_without_names_or_truths_has_indices_or_none(tmp_path: Path) -> None:
    assert next(open_source(f"replay:{replay_folder(tmp_path)}")).truth is None  # type: ignore[union-attr]
    assert next(open_source(f"replay:{replay_folder(tmp_path, [2, 1, 0])}")).truth == 2  # type: ignore[union-attr]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere") as caught:
        open_source(f"replay:{tmp_path / 'nowhere'}")
    assert caught.value.fix is not None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: np.save(folder / "inputs.npy", np.zeros((0, 2))), "holds no inputs"),
        (lambda folder: np.save(folder / "targets.npy", np.zeros(2, int)), "2 targets for 3 inputs"),
        (lambda folder: np.save(folder / "targets.npy", np.array([0, 1, 2])), "outside the 2 labels"),
        (lambda folder: (folder / "inputs.npy").write_bytes(b"junk"), "inputs.npy|pickle|magic"),
        (lambda folder: np.save(folder / "inputs.npy", np.array([{}]), allow_pickle=True), "allow_pickle"),
        (lambda folder: (folder / "labels.json").write_text("{"), "Expecting"),
    ],
)
def test_a_folder_that_is_no_replay_is_a_data_error(tmp_path: Path, spoil, says: str) -> None:
    spoil(replay_folder(tmp_path, [0, 1, 0], ["no", "yes"]))
    with pytest.raises(DataError, match=says):
        open_source(f"replay:{tmp_path}")


# -- lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass  # the test has closed it


def test_lines_come_as_they_are_written_and_end_with_the_file(pipe: tuple[int, int]) -> None:
    source = LineSource(pipe[0], print)
    assert next(source) is None  # nothing yet, and it does not wait
    os.write(pipe[1], b'[[1, 2]]\n{"x": [3], "label": "seven", ')
    assert items(source, 1) == [Input([[1, 2]])]
    os.write(pipe[1], b'"consent": false}\n\n[4]')
    os.close(pipe[1])
    assert items(source, 2) == [Input([3], "seven", False), Input([4])]
    for _ in range(2):
        with pytest.raises(StopIteration):
            items(source, 1)


def test_a_broken_line_is_told_with_its_number_and_counted(pipe: tuple[int, int]) -> None:
    told: list[str] = []
    source = LineSource(pipe[0], told.append)
    os.write(pipe[1], b'[1]\nnonsense\n"text"\n[2]\n')
    assert [item.values for item in items(source, 2)] == [[1], [2]]
    assert source.broken == 2
    assert told[0].startswith("error: line 2: not JSON")
    assert told[1].startswith("error: line 3: an input is an array")


def test_a_reader_that_is_ahead_waits(pipe: tuple[int, int]) -> None:
    source = LineSource(pipe[0], print)
    lines = b"".join(f"[{n}]\n".encode() for n in range(2000))
    os.write(pipe[1], lines)
    os.close(pipe[1])
    assert [item.values for item in items(source, 2000)] == [[n] for n in range(2000)]


def test_a_line_without_end_is_refused(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.sources.MAX_LINE_BYTES", 100)
    told: list[str] = []
    source = LineSource(pipe[0], told.append)
    os.write(pipe[1], b"[" + b"1," * 200)
    with pytest.raises(StopIteration):
        items(source, 1)
    assert told == ["error: line 1: an input of more than 100 bytes"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("true", "an input is an array"),
        ("null", "an input is an array"),
        ('{"y": [1]}', "an input is an array"),
        ('{"x": [1], "lable": 1}', "no key 'lable'"),
        ('{"x": [1], "consent": "no"}', "neither true nor false"),
        ('{"x": [1], "label": 1.5}', "neither a name nor an index"),
        ('{"x": [1], "label": true}', "neither a name nor an index"),
    ],
)
def test_what_is_no_input_says_why(line: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_input(line.encode())


def test_bytes_that_are_no_text_are_no_json() -> None:
    with pytest.raises(InputError, match="not JSON"):
        parse_input(b"\xff\xfe\xfd")


# -- topic


def test_a_topic_gives_one_input_a_message() -> None:
    broker, told = MemoryBroker(), []
    source = TopicSource(broker.client(), "line/1", told.append)
    sender = broker.client()
    sender.connect(1.0)
    for payload in (b"[1]", b"broken", b'{"x": [2], "label": 3}'):
        sender.publish("line/1", payload)
    sender.publish("line/2", b"[9]")
    assert items(source, 2) == [Input([1]), Input([2], 3)]
    assert next(source) is None
    assert (source.broken, len(told)) == (1, 1)
    source.close()


def test_a_topic_on_a_broker_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.sources.CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(BrokerUnreachable):
        open_source("mqtt://127.0.0.1:1/line")


# -- callable


def test_a_callable_may_give_arrays_pairs_inputs_or_nothing_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sensor_of_mine.py").write_text(
        "from device_agent.sources import Input\n"
        "def read():\n"
        "    yield [1]\n    yield ([2], 'two')\n    yield None\n    yield Input([3], 3, False)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    source = open_source("sensor_of_mine:read")
    assert list(islice(source, 9)) == [Input([1]), Input([2], "two"), None, Input([3], 3, False)]
    sys.modules.pop("sensor_of_mine")


def test_a_callable_that_cannot_read_one_input_goes_on() -> None:
    class Sensor:
        left = 3

        def __iter__(self) -> Sensor:
            return self

        def __next__(self) -> list[int]:
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            if self.left == 1:
                raise InputError("the sensor stuttered")
            return [self.left]

    told: list[str] = []
    source = CallableSource(Sensor, told.append)
    assert list(source) == [Input([2]), None, Input([0])]
    assert (source.broken, told) == (1, ["error: the sensor stuttered"])


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "none that is known"),
        ("camera", "none that is known"),
        ("/dev/video0", "none that is known"),
        ("http://host/x", "none that is known"),
        ("mqtt://host:1883", "names no topic"),
        ("mqtt://host:1883/a/#", "name one topic"),
        ("no_such_module:read", "no_such_module"),
        ("json:no_such_function", "has no 'no_such_function'"),
        ("json:__name__", "cannot be called"),
    ],
)
def test_a_bad_source_is_a_configuration_error(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_source(spec)
