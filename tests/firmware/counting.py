"""Scripts for ``run_counters``, the firmware's counting on this machine: what is written, and what it answers.

The format stands at the top of ``firmware_stubs/tools/run_counters.c``.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeops.core.counters import Counters
from edgeops.core.fourier import COMPONENTS
from edgeops.core.input_features import FEATURES
from edgeops.core.messages import ReportPolicy
from edgeops.core.observe import BINS, CONFIDENCE_BINS, LATENCY_BINS
from edgeops.core.tensors import TensorSpec, scale_to_integers

OK, ARGUMENT, TOO_SMALL, MALFORMED, UNSUPPORTED, RANGE, FULL = 0, 2, 3, 5, 6, 7, 13
"""Numbers of ``eo_status``."""
ROOM = 2048
Array = NDArray[np.int8]


class Opened(NamedTuple):
    """A plan that C opened."""

    digest: bytes
    features: int
    classes: int


class Said(NamedTuple):
    """What C says of an inference: the fields of ``eo_counted`` (``place`` in the window), a restored input's error."""

    status: int
    place: int
    predicted: int
    score: int
    confidence_bin: int
    margin: int
    error: int | None = None


class Answers:
    """What a script answered, read from front to back."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def take(self, layout: str) -> Any:
        """Values of a ``struct`` layout, little-endian; one alone is given itself."""
        values = struct.unpack_from("<" + layout, self._raw, self._at)
        self._at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def many(self, count: int, letter: str = "Q") -> tuple[int, ...]:
        """So many numbers."""
        return tuple(self.take(letter) for _ in range(count))

    @property
    def at_end(self) -> bool:
        return self._at == len(self._raw)


class Script:
    """Collects commands; ``run`` gives one answer for each that has one."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._readers: list[Callable[[Answers], Any]] = []
        self._values = 0

    def run(self, program: Path) -> list[Any]:
        """The answers, in order; fails where the program does, or says more or less than it should."""
        done = subprocess.run([program], check=False, input=bytes(self._raw), capture_output=True)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        answers = Answers(done.stdout)
        read = [reader(answers) for reader in self._readers]
        assert answers.at_end
        return read

    def plan(self, raw: bytes) -> Script:
        """Answers ``Opened``, or the status that refuses the plan."""
        return self._add(b"P" + struct.pack("<I", len(raw)) + raw, _opened)

    def shape(self, shape: tuple[int, ...]) -> Script:
        """Answers the status; what follows is for inputs of this shape."""
        self._values = int(np.prod(shape))
        return self._add(b"S" + _dimensions(shape), _status)

    def features(self, given: Array) -> Script:
        """Answers all twelve features of one input."""
        return self._add(b"V" + given.tobytes(), lambda answers: answers.many(len(FEATURES), "i"))

    def reconstruction(self, given: TensorSpec, restored: TensorSpec, threshold: int) -> Script:
        """Answers the status."""
        contracts = b"".join(
            _dimensions(spec.shape) + struct.pack("<Ihh", *scale_to_integers(spec.scale), spec.zero_point)
            for spec in (given, restored)
        )
        return self._add(b"T" + contracts + struct.pack("<Q", threshold), _status)

    def draws(self, boot: int, permille: int, times: int) -> Script:
        """Answers which of so many inputs belong to the share."""
        raw = b"D" + struct.pack("<I", boot) + b"N" + struct.pack("<HI", permille, times)
        return self._add(raw, lambda answers: [bool(drawn) for drawn in answers.many(times, "B")])

    def begin(self, now_ms: int = 0) -> Script:
        """A fresh window; no answer."""
        return self._add(b"B" + struct.pack("<Q", now_ms))

    def due(self, policy: ReportPolicy, now_ms: int) -> Script:
        """Answers whether the window is full, and whether it is empty."""
        raw = b"W" + struct.pack("<IIQ", policy.window_inferences, policy.interval_ms, now_ms)
        return self._add(raw, lambda answers: answers.take("??"))

    def observe(self, given: Array | None, scores: Array, us: int, times: int = 1) -> Script:
        """Counts an inference; ``given`` is None where the input is not observed. Answers ``Said``."""
        return self._add(b"O" + self._inference(given is not None, us, times, given, scores), _said)

    def restore(self, given: Array, restored: Array, us: int, observed: bool = True) -> Script:
        """Counts an inference of a model that restores its input. Answers ``Said`` with the error."""
        raw = b"R" + self._inference(observed, us, 1, given, restored)
        return self._add(raw, lambda answers: _with_error(answers.take("Q"), _said(answers)))

    def errors(self, times: int) -> Script:
        """No answer."""
        return self._add(b"E" + struct.pack("<I", times))

    def rejected(self, times: int, missing: bool) -> Script:
        """No answer."""
        return self._add(b"J" + struct.pack("<I?", times, missing))

    def pack(self, room: int = ROOM) -> Script:
        """Answers the block, or the status that says why there is none."""
        return self._add(b"K" + struct.pack("<H", room), _packed)

    def read(self, block: bytes, add: bool = False) -> Script:
        """Reads a block, or adds it to what was read; answers the status."""
        return self._add((b"A" if add else b"U") + struct.pack("<H", len(block)) + block, _status)

    def counters(self) -> Script:
        """Answers the ``Counters`` that were read."""
        return self._add(b"C", _counters)

    def id(self, boot: int, sequence: int, manifest: bytes) -> Script:
        """Answers the id of the last prediction."""
        return self._add(
            b"I" + struct.pack("<II", boot, sequence) + manifest, lambda answers: answers.take("20s")
        )

    def _inference(self, observed: bool, us: int, times: int, given: Array | None, scores: Array) -> bytes:
        values = bytes(self._values) if given is None else given.tobytes()
        assert len(values) == self._values
        return struct.pack("<I?I", times, observed, us) + values + scores.tobytes()

    def _add(self, raw: bytes, reader: Callable[[Answers], Any] | None = None) -> Script:
        self._raw += raw
        if reader is not None:
            self._readers.append(reader)
        return self


def _dimensions(shape: tuple[int, ...]) -> bytes:
    return struct.pack(f"<B{len(shape)}I", len(shape), *shape)


def _status(answers: Answers) -> int:
    return int(answers.take("B"))


def _opened(answers: Answers) -> Opened | int:
    opened: Opened | int = _status_or(answers, lambda: Opened(*answers.take("4sBB")))
    return opened


def _packed(answers: Answers) -> bytes | int:
    packed: bytes | int = _status_or(answers, lambda: answers.take(f"{answers.take('H')}s"))
    return packed


def _status_or(answers: Answers, read: Callable[[], Any]) -> Any:
    status = _status(answers)
    return read() if status == OK else status


def _said(answers: Answers) -> Said:
    return Said(*answers.take("BHBbBB"))


def _with_error(error: int, said: Said) -> Said:
    return said._replace(error=error)


def _counters(answers: Answers) -> Counters:
    bins, flags, features, classes = answers.take("4sBBB")
    inferences, errors, rejected, missing, observed, stuck = answers.many(6)
    return Counters(
        bins=bins,
        inferences=inferences,
        errors=errors,
        rejected_inputs=rejected,
        missing=missing,
        observed=observed,
        stuck=stuck,
        classes=answers.many(classes),
        confidence=answers.many(CONFIDENCE_BINS),
        latency=answers.many(LATENCY_BINS),
        margin=answers.many(BINS) if flags & 1 else (),
        margin_moments=answers.take("qQ") if flags & 1 else (),
        features=tuple(answers.many(BINS) for _ in range(features)),
        moments=tuple(answers.take("qQ") for _ in range(features if flags & 2 else 0)),
        fourier=answers.many(COMPONENTS, "q") if flags & 4 else (),
    )
