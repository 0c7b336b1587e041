"""The loop of one agent: take inputs from a source, predict, feed truths back, keep the network served."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from device_agent.agent import Agent, Prediction
from device_agent.sources import Input, Source
from edgeops.core.errors import InferenceFailed, InputError, NoModel

WAIT_S = 0.2
IDLE_S = 0.02


@dataclass
class Loop:
    """Runs until the source ends, ``limit`` inputs were taken, or ``stopped`` says so.

    Before there is a model it only polls and takes no input. ``emit`` gets every prediction.
    """

    agent: Agent
    source: Source | None
    stopped: Callable[[], bool]
    complain: Callable[[str], None]
    emit: Callable[[Prediction], None] = lambda prediction: None
    limit: int | None = None
    interval_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    taken: int = 0
    predicted: int = 0
    refused: int = 0
    _waiting: Input | None = field(default=None)
    _told: bool = False

    def run(self) -> None:
        """Loop; the agent and the source are closed by whoever opened them."""
        while not self.stopped() and (self.limit is None or self.taken < self.limit):
            if self.source is None or not self.agent.ready():
                self._say_what_is_missing()
                self.agent.poll(WAIT_S)
                continue
            due = self.clock() + self.interval_s
            try:
                item = self._waiting or next(self.source)
            except StopIteration:
                return
            if item is None:
                self.agent.poll(IDLE_S)
                continue
            self._predict(item)
            self._wait(due)

    def _say_what_is_missing(self) -> None:
        """Once: a person who started an agent sees nothing else until the first rollout reaches it."""
        if self.source is not None and not self._told and self.agent.online:
            self._told = True
            device = self.agent.config.device
            self.complain(f"{device} is online and has no model yet: inputs wait for its first rollout")

    def _predict(self, item: Input) -> None:
        try:
            prediction = self.agent.predict(item.values, consent=item.consent)
        except NoModel:
            self._waiting = item  # the model went away under it: the input waits for the next one
            self.agent.poll(WAIT_S)
            return
        except (InputError, InferenceFailed) as error:
            self._taken(refused=True)
            self.complain(f"error: input {self.taken}: {error.message}")
            return
        self._taken(refused=False)
        self.emit(prediction)
        if item.truth is not None:
            try:
                self.agent.feedback(prediction.id, item.truth)
            except InputError as error:
                self.complain(f"error: input {self.taken}: {error.message}")

    def _taken(self, refused: bool) -> None:
        self._waiting = None
        self.taken += 1
        self.refused += refused
        self.predicted += not refused

    def _wait(self, due: float) -> None:
        while not self.stopped() and (left := due - self.clock()) > 0:
            self.agent.poll(min(left, WAIT_S))


def as_line(prediction: Prediction) -> str:
    """One JSON line for a prediction."""
    return json.dumps(
        {
            "label": prediction.label,
            "confidence": round(prediction.confidence, 6),
            "id": prediction.id,
            "model_version": prediction.model_version,
        }
    )
