"""Where a device's inputs come from: a replayed folder, standard input, an MQTT topic, or a callable.

A source is an iterator that hardly waits: it yields an ``Input``, or None when there is nothing right now, so
that the agent goes on polling. It ends when there will be no more.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import ConfigError, DataError, InputError, NotFoundError
from edgeops.core.transport import ConnectionChanged, Transport

FORMS = "replay:FOLDER, stdin, mqtt://host:port/topic or module:callable"
QUEUED_LINES = 256
MAX_LINE_BYTES = 4 * 1024 * 1024
CONNECT_TIMEOUT_S = 5.0

Complain = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Input:
    """One raw input, its true label (name or index) if known, and whether it may leave the device."""

    values: object
    truth: str | int | None = None
    consent: bool = True


class Source(Iterator[Input | None]):
    """An iterator of inputs. ``broken`` counts what came and could not be read; each is told once."""

    def __init__(self, complain: Complain) -> None:
        self.broken = 0
        self._complain = complain

    def __next__(self) -> Input | None:
        """The next input, or None when there is none right now."""
        try:
            return self.take()
        except InputError as error:
            self.broken += 1
            self._complain(f"error: {error.message}")
            return None

    def take(self) -> Input | None:
        """As ``next``; raises ``InputError`` for what cannot be read, and goes on after it."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what the source holds open."""


def to_stderr(line: str) -> None:
    """The usual place for complaints."""
    print(line, file=sys.stderr, flush=True)


def open_source(spec: str, complain: Complain = to_stderr) -> Source:
    """The source that ``spec`` names; raises ``ConfigError``, ``NotFoundError`` or ``BrokerUnreachable``."""
    if spec.startswith("replay:"):
        return ReplaySource(Path(spec.removeprefix("replay:")), complain)
    if spec == "stdin":
        return LineSource(0, complain)
    if spec.startswith("mqtt://"):
        return _mqtt_source(spec, complain)
    module, colon, attribute = spec.partition(":")
    if colon and all(part.isidentifier() for part in module.split(".")) and attribute.isidentifier():
        return CallableSource(_callable(module, attribute, spec), complain)
    raise ConfigError(
        f"source {spec!r} is none that is known", fix=f"write one of {FORMS}", key="source", value=spec
    )


@dataclass(frozen=True)
class Replay:
    """A dataset folder: inputs (N, ...), their class indices where there are any, and the class names."""

    inputs: NDArray[np.generic]
    targets: tuple[int, ...] | None
    labels: tuple[str, ...] | None

    def truth(self, index: int) -> str | int | None:
        """The true label of an input: its name where names are known."""
        if self.targets is None:
            return None
        target = self.targets[index]
        return self.labels[target] if self.labels else target


def load_replay(folder: Path) -> Replay:
    """Read a replay folder; raises ``NotFoundError`` when it is missing, ``DataError`` when it is not one."""
    if not (folder / "inputs.npy").is_file():
        raise NotFoundError(
            f"{folder}: no replay folder (it holds no inputs.npy)",
            fix="name a folder with inputs.npy and, for truths, targets.npy and labels.json",
            path=str(folder),
        )
    try:
        inputs = np.load(folder / "inputs.npy", allow_pickle=False)
        targets = labels = None
        if (folder / "targets.npy").is_file():
            targets = tuple(int(value) for value in np.load(folder / "targets.npy", allow_pickle=False))
        if (folder / "labels.json").is_file():
            labels = tuple(json.loads((folder / "labels.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder}: {error}", path=str(folder)) from error
    if inputs.ndim < 1 or len(inputs) == 0:
        raise DataError(f"{folder / 'inputs.npy'} holds no inputs", path=str(folder))
    if targets is not None and len(targets) != len(inputs):
        raise DataError(f"{folder}: {len(targets)} targets for {len(inputs)} inputs", path=str(folder))
    if (
        targets is not None
        and labels is not None
        and not all(0 <= target < len(labels) for target in targets)
    ):
        raise DataError(f"{folder}: a target is outside the {len(labels)} labels", path=str(folder))
    return Replay(inputs, targets, labels)


class ReplaySource(Source):
    """A replay folder, over and over."""

    def __init__(self, folder: Path, complain: Complain) -> None:
        super().__init__(complain)
        self._replay = load_replay(folder)
        self._at = 0

    def take(self) -> Input:
        """The next input of the folder."""
        index, self._at = self._at, (self._at + 1) % len(self._replay.inputs)
        return Input(self._replay.inputs[index], self._replay.truth(index))


class LineSource(Source):
    """Newline-delimited JSON from a file descriptor, read by a thread of its own; ends with the file."""

    def __init__(self, descriptor: int, complain: Complain) -> None:
        super().__init__(complain)
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUED_LINES)
        self._number = 0
        # The descriptor is read directly: a daemon thread inside sys.stdin would hold its lock at exit.
        threading.Thread(target=self._read, args=(descriptor,), daemon=True, name="source").start()

    def take(self) -> Input | None:
        """The next line, or None when none has come."""
        try:
            line = self._lines.get_nowait()
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)  # the end stays the end
            raise StopIteration
        self._number += 1
        try:
            return parse_input(line) if line.strip() else None
        except InputError as error:
            raise InputError(f"line {self._number}: {error.message}") from error

    def _read(self, descriptor: int) -> None:
        rest = b""
        while True:
            try:
                data = os.read(descriptor, 65536)
            except OSError as error:
                self._complain(f"error: standard input: {error}")
                data = b""
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._lines.put(line)
            if not data or len(rest) > MAX_LINE_BYTES:
                break
        if rest:
            self._lines.put(rest[: MAX_LINE_BYTES + 1])
        self._lines.put(None)


class TopicSource(Source):
    """The same JSON, one input a message, from an MQTT topic."""

    def __init__(self, transport: Transport, topic: str, complain: Complain) -> None:
        super().__init__(complain)
        self._transport = transport
        transport.connect(CONNECT_TIMEOUT_S)
        transport.subscribe(topic)

    def take(self) -> Input | None:
        """The next message, or None when none has come."""
        incoming = self._transport.receive(0.0)
        if incoming is None or isinstance(incoming, ConnectionChanged):
            return None
        return parse_input(incoming.payload)

    def close(self) -> None:
        """Disconnect."""
        self._transport.close()


class CallableSource(Source):
    """What a function's iterator gives: arrays, pairs (x, label), ``Input``, or None for nothing yet."""

    def __init__(self, make: Callable[[], Iterator[object]], complain: Complain) -> None:
        super().__init__(complain)
        self._items = iter(make())

    def take(self) -> Input | None:
        """The next item as an input."""
        item = next(self._items)
        if item is None or isinstance(item, Input):
            return item
        if isinstance(item, tuple) and len(item) == 2:
            return Input(item[0], item[1])
        return Input(item)


def parse_input(line: bytes) -> Input:
    """One JSON input: an array, or ``{"x": [...], "label": ..., "consent": bool}``; raises ``InputError``."""
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"an input of more than {MAX_LINE_BYTES} bytes")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from error
    if isinstance(value, list | int | float) and not isinstance(value, bool):
        return Input(value)
    if not isinstance(value, dict) or "x" not in value:
        raise InputError('an input is an array or {"x": [...], "label": ..., "consent": true}')
    unknown = sorted(value.keys() - {"x", "label", "consent"})
    if unknown:
        raise InputError(f"an input has no key {unknown[0]!r}; it has x, label and consent")
    label, consent = value.get("label"), value.get("consent", True)
    if not isinstance(consent, bool):
        raise InputError(f"consent {consent!r} is neither true nor false")
    if isinstance(label, bool) or not (label is None or isinstance(label, str | int)):
        raise InputError(f"label {label!r} is neither a name nor an index")
    return Input(value["x"], label, consent)


def _mqtt_source(spec: str, complain: Complain) -> Source:
    parts = urlsplit(spec)
    topic = parts.path.removeprefix("/")
    if not topic:
        raise ConfigError(f"source {spec!r} names no topic", fix="write mqtt://host:port/topic", key="source")
    if any(sign in spec for sign in "#?+"):
        raise ConfigError(
            f"source {spec!r}: wildcards and queries are not taken; name one topic", key="source"
        )
    from edgeops.mqtt import MqttTransport

    broker = f"{parts.scheme}://{parts.netloc}"
    return TopicSource(MqttTransport(broker, f"edgeops-source-{secrets.token_hex(6)}"), topic, complain)


def _callable(module: str, attribute: str, spec: str) -> Callable[[], Iterator[object]]:
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigError(
            f"source {spec!r}: {error}", fix="run it from the module's folder", key="source"
        ) from error
    except AttributeError as error:
        raise ConfigError(
            f"source {spec!r}: {module} has no {attribute!r}", key="source", value=spec
        ) from error
    if not callable(found):
        raise ConfigError(f"source {spec!r}: {attribute} cannot be called", key="source", value=spec)
    make: Callable[[], Iterator[object]] = found
    return make
