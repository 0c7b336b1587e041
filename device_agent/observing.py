"""Windows of one model: counts predictions and inputs, closes a window, makes the report of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeops.core.messages import Report, ReportPolicy, pack_prediction
from edgeops.core.observe import ObservePlan, confidence_bin
from edgeops.core.window import Window

MAX_WINDOW = 65_535  # a prediction's id has two bytes for its place in the window


class Draws:
    """Which inputs are observed: a random share of them, so that no rhythm of the world falls in step with it.

    Marsaglia's xorshift with 32 bits (Journal of Statistical Software 8, 2003), begun anew for each boot.
    """

    def __init__(self, seed: int) -> None:
        self._state = (seed * 0x9E3779B9 + 1) & 0xFFFFFFFF or 1

    def below(self, permille: int) -> bool:
        """Whether this input belongs to the share; all do at 1000."""
        if permille >= 1000:
            return True
        state = self._state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        self._state = state
        return state % 1000 < permille


_tuple = (
    tuple.__new__
)  # a NamedTuple's own constructor takes twice as long, and this is done for each inference


class Observed(Protocol):
    """What counting needs to know of a model: its manifest's digest, and its bins."""

    @property
    def digest(self) -> bytes:
        """32 bytes."""

    @property
    def plan(self) -> ObservePlan:
        """What is counted, and in which bins."""


class Counted(NamedTuple):
    """What one inference was: class index, int8 score and confidence bin of it, and its id of 20 bytes."""

    predicted: int
    score: int
    confidence_bin: int
    id: bytes


class Observing:
    """Sequences start at 1 for each boot and go on over model switches; a window holds one model only."""

    def __init__(self, name: str, boot: int) -> None:
        self.name = name
        self.sequence = 1
        self.policy = ReportPolicy(0, 60_000, 1000)
        self.generation = 0
        self._boot = boot
        self._model: Observed | None = None
        self._window: Window | None = None
        self._index = 0
        self._prefix = b""
        self._draws = Draws(boot)
        self._start_ms = 0
        self._trial = False

    def switch(self, model: Observed | None, trial: bool, now_ms: int) -> Report | None:
        """Count for another model, or for the same in another state; returns what was counted before."""
        if model is self._model and trial == self._trial:
            return None
        report = self.close(now_ms)
        self._model, self._trial = model, trial
        self._restart(now_ms)
        return report

    def count(self, quantized: NDArray[np.int8], output: NDArray[np.int8], microseconds: int) -> Counted:
        """Count one inference: int8 input of the model's shape, int8 scores; call only with a model."""
        window = self._window
        assert window is not None
        scores: list[int] = output.tolist()
        ranked = sorted(scores)
        score = ranked[-1]
        predicted = scores.index(score)  # of equal ones the first, as argmax
        confidence = confidence_bin(score)
        window.count_prediction(predicted, confidence, microseconds, ranked)
        permille = self.policy.observe_permille
        if permille and self._draws.below(permille):
            window.count_input(quantized)
        id = pack_prediction(self._prefix, self._boot, self.sequence, self._index, predicted, confidence)
        self._index += 1
        return _tuple(Counted, (predicted, score, confidence, id))

    def count_error(self) -> None:
        """Count an inference that failed."""
        if self._window is not None:
            self._window.count_error()

    def count_rejected(self, missing: bool = False) -> None:
        """Count an input that does not meet the contract, ``missing`` where it held what is no number."""
        if self._window is not None:
            self._window.count_rejected(missing)

    def due(self, now_ms: int) -> bool:
        """Whether the policy says that the window is full."""
        if self._window is None:
            return False
        full = self._window.inferences >= min(self.policy.window_inferences or MAX_WINDOW, MAX_WINDOW)
        old = self.policy.interval_ms and now_ms - self._start_ms >= self.policy.interval_ms
        return full or bool(old)

    def close(self, now_ms: int) -> Report | None:
        """The report of the window, and a fresh window; None when nothing was counted."""
        model, window = self._model, self._window
        if model is None or window is None:
            return None
        counters = window.counters()
        if not (counters.inferences or counters.errors or counters.rejected_inputs):
            self._start_ms = now_ms
            return None
        report = Report(
            model=self.name,
            manifest=model.digest[:8],
            boot=self._boot,
            sequence=self.sequence,
            behind=0,
            generation=self.generation,
            start_ms=self._start_ms,
            duration_ms=max(0, now_ms - self._start_ms),
            counters=counters,
            observe_permille=self.policy.observe_permille,
            trial=self._trial,
        )
        self.sequence += 1
        self._restart(now_ms)
        return report

    def _restart(self, now_ms: int) -> None:
        self._window = Window(self._model.plan) if self._model is not None else None
        self._prefix = self._model.digest[:8] if self._model is not None else b""
        self._index = 0
        self._start_ms = now_ms
