"""A candidate that sees live inputs beside the active model, and answers nobody: what came of it, in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from device_agent.running_model import RunningModel
from edgeops.core.errors import EdgeOpsError
from edgeops.core.features.steps import quantized_input
from edgeops.core.messages import ShadowCounts

TOLD_EVERY_MS = 5_000
TOLD_SHARES = 10


class Shadow:
    """The counts of one candidate; they are in memory only, and begin anew with the agent."""

    def __init__(self, digest: bytes, inferences: int, now_ms: int) -> None:
        """``digest`` is of the candidate's manifest, ``inferences`` how many inputs it is to see."""
        self.digest = digest
        self.counts = ShadowCounts(0, 0, 0, 0, 0)
        self.told = 0
        """Higher than before when the counts are worth telling: after a share of the inputs, or after a while."""
        self._share = max(1, inferences // TOLD_SHARES)
        self._told_inferences = 0
        self._told_ms = now_ms

    def see(
        self, candidate: RunningModel, raw: object, label: str, active_us: int, clock: Callable[[], float]
    ) -> None:
        """Let the candidate infer on a raw input of which the active model said ``label`` in ``active_us``.

        An input that the active model took and the candidate does not take is an error of the candidate's. Times
        are of the inputs that both took, without preprocessing.
        """
        before = self.counts
        try:
            quantized = quantized_input(candidate.manifest, raw)
            began = clock()
            scores = candidate.infer(quantized)
            candidate_us = int((clock() - began) * 1e6)
        except EdgeOpsError:
            self.counts = replace(before, inferences=before.inferences + 1, errors=before.errors + 1)
        else:
            differs = candidate.manifest.labels[int(scores.argmax())] != label
            self.counts = ShadowCounts(
                before.inferences + 1,
                before.disagreements + differs,
                before.errors,
                before.active_us + active_us,
                before.candidate_us + candidate_us,
            )
        if self.counts.inferences - self._told_inferences >= self._share:
            self._tell(self._told_ms)

    def tick(self, now_ms: int) -> None:
        """Let time pass."""
        if now_ms - self._told_ms >= TOLD_EVERY_MS and self.counts.inferences > self._told_inferences:
            self._tell(now_ms)

    def _tell(self, now_ms: int) -> None:
        self.told, self._told_inferences, self._told_ms = self.told + 1, self.counts.inferences, now_ms
