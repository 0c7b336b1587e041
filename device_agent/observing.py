"""Windows of one model: counts predictions and inputs, closes a window, makes the report of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_agent.running_model import RunningModel
from edgeops.core.messages import PredictionId, Report, ReportPolicy
from edgeops.core.observe import Window, confidence_bin

MAX_WINDOW = 65_535  # a prediction's id has two bytes for its place in the window


@dataclass(frozen=True, slots=True)
class Counted:
    """What one inference was: class index, int8 score of it, and the prediction's id."""

    predicted: int
    score: int
    id: PredictionId


class Observing:
    """Sequences start at 1 for each boot and go on over model switches; a window holds one model only."""

    def __init__(self, name: str, boot: int) -> None:
        self.name = name
        self.sequence = 1
        self.policy = ReportPolicy(0, 60_000, 1000)
        self.generation = 0
        self._boot = boot
        self._model: RunningModel | None = None
        self._window: Window | None = None
        self._index = 0
        self._share = 0
        self._start_ms = 0
        self._trial = False

    def switch(self, model: RunningModel | None, trial: bool, now_ms: int) -> Report | None:
        """Count for another model, or for the same in another state; returns what was counted before."""
        if model is self._model and trial == self._trial:
            return None
        report = self.close(now_ms)
        self._model, self._trial = model, trial
        self._restart(now_ms)
        return report

    def count(self, quantized: NDArray[np.int8], output: NDArray[np.int8], microseconds: int) -> Counted:
        """Count one inference: int8 input of the model's shape, int8 scores; call only with a model."""
        assert self._model is not None and self._window is not None
        predicted = int(output.argmax())
        score = int(output.reshape(-1)[predicted])
        confidence = confidence_bin(score)
        self._window.count_prediction(predicted, confidence, microseconds)
        # Every (1000 / permille)-th input, evenly spread: an accumulator that overflows at 1000.
        self._share += self.policy.observe_permille
        if self._share >= 1000:
            self._share %= 1000
            self._window.count_input(quantized)
        counted = Counted(
            predicted,
            score,
            PredictionId(
                self._model.digest[:8], self._boot, self.sequence, self._index, predicted, confidence
            ),
        )
        self._index += 1
        return counted

    def count_error(self) -> None:
        """Count an inference that failed."""
        if self._window is not None:
            self._window.errors += 1

    def count_rejected(self) -> None:
        """Count an input that does not meet the contract."""
        if self._window is not None:
            self._window.rejected_inputs += 1

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
            manifest=model.digest,
            bins=counters.bins,
            boot=self._boot,
            sequence=self.sequence,
            oldest=self.sequence,
            generation=self.generation,
            start_ms=self._start_ms,
            end_ms=now_ms,
            inferences=counters.inferences,
            errors=counters.errors,
            rejected_inputs=counters.rejected_inputs,
            classes=counters.classes,
            confidence=counters.confidence,
            latency=counters.latency,
            observed=counters.observed,
            observe_permille=self.policy.observe_permille,
            features=counters.features,
            trial=self._trial,
        )
        self.sequence += 1
        self._restart(now_ms)
        return report

    def _restart(self, now_ms: int) -> None:
        self._window = Window(self._model.plan) if self._model is not None else None
        self._index = 0
        self._start_ms = now_ms
