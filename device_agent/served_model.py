"""One model in an agent's service: predicts, counts, takes truths back, and follows its part of the desired state."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agent.capture import Capture
from device_agent.label_queue import LabelQueue
from device_agent.model_host import ModelHost
from device_agent.observing import Observing
from device_agent.reporting import Reporting
from device_agent.uplink import Uplink
from edgeops.core.errors import InferenceFailed, InputError, NoModel
from edgeops.core.features.steps import quantized_input
from edgeops.core.messages import DesiredModel, Labels, Sample, Truth
from edgeops.core.outputs import score_spec
from edgeops.core.topics import Kind

LABEL_BATCH = 64
MAX_SAMPLE_BYTES = 65_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """A label, its index, the confidence 0..1 of the quantized score, and the id for later feedback.

    ``trial``: the model that said so had still to prove itself.
    """

    label: str
    index: int
    confidence: float
    id: str
    model_version: int
    trial: bool = False


class ServedModel:
    """Its update driver, its windows, its capture and label policies. Times are milliseconds of uptime.

    ``data`` is the agent's folder, ``clock`` (seconds) measures inferences only.
    """

    def __init__(
        self,
        host: ModelHost,
        boot: int,
        device: str,
        data: Path,
        uplink: Uplink,
        reporting: Reporting,
        clock: Callable[[], float],
        log: Callable[[str], None],
    ) -> None:
        self.host = host
        self._refused_labels = 0
        self._device = device
        self._observing = Observing(host.name, boot)
        self._capture = Capture(data / "capture" / host.name)
        self._waiting = LabelQueue(data / "labels" / host.name)
        self._desired = DesiredModel()
        self._truths: list[Truth] = []
        self._uplink = uplink
        self._reporting = reporting
        self._clock = clock
        self._log = log

    @property
    def dropped_labels(self) -> int:
        """Truths that the label policy kept here, or that found no room on disk."""
        return self._refused_labels + self._waiting.dropped

    @property
    def sequence(self) -> int:
        """The sequence of the window that is open."""
        return self._observing.sequence

    def predict(self, raw: object, consent: bool, now_ms: int) -> Prediction:
        """Predict one raw input; see ``Agent.predict``."""
        running = self.host.running
        if running is None:
            raise NoModel(f"device {self._device} has no model to run yet", device=self._device)
        self._reporting.take(self._observing.switch(running, self.host.in_trial, now_ms), now_ms)
        try:
            quantized = quantized_input(running.manifest, raw)
        except InputError as error:
            self._observing.count_rejected(missing="missing" in error.fields)
            raise
        began = self._clock()
        try:
            output = running.infer(quantized)
        except InferenceFailed:
            self._observing.count_error()
            self.host.inferred(False, now_ms)
            self.settle(now_ms)
            raise
        microseconds = int((self._clock() - began) * 1e6)
        trial = self.host.in_trial
        counted = self._observing.count(quantized, output, microseconds)
        id, label = counted.id, running.manifest.labels[counted.predicted]
        if self._capture.policy is not None and quantized.nbytes <= MAX_SAMPLE_BYTES and self._uplink.online:
            reason = self._capture.wants(running.plan, quantized, counted.confidence_bin, consent, now_ms)
            if reason is not None:
                captured = Sample(self.host.name, running.digest, id, quantized.tobytes(), reason)
                self._uplink.send(Kind.SAMPLE, captured)
        self.host.see(raw, label, microseconds, self._clock)
        self.host.inferred(True, now_ms)
        self.settle(now_ms)
        contract = score_spec(running.manifest)
        return Prediction(
            label,
            counted.predicted,
            (counted.score - contract.zero_point) * contract.scale,
            f"{self.host.name}:{id.hex()}",
            running.manifest.version,
            trial,
        )

    def feedback(self, prediction: bytes, label: str | int) -> bool:
        """Take the truth of a prediction (20 bytes); whether the label policy lets it leave the device."""
        index = self._label_index(label)
        if not self._desired.labels:
            self._refused_labels += 1
            return False
        self._truths.append(Truth(prediction, index))
        if len(self._truths) >= LABEL_BATCH:
            self._send_labels()
        return True

    def desire(self, wanted: DesiredModel, generation: int, now_ms: int) -> None:
        """Follow the desired state: policies at once, the version as soon as it can be taken."""
        self._capture.follow(wanted.capture)
        if wanted != self._desired:
            self._reporting.take(self._observing.close(now_ms), now_ms)  # a window holds one policy only
        self._desired = wanted
        self._observing.policy = wanted.report
        self._observing.generation = generation
        self.host.desire(wanted, generation, now_ms)
        self.settle(now_ms)

    def settle(self, now_ms: int) -> None:
        """What may be due after any event of the model: events to send, a switch, a full window."""
        while (event := self.host.outbox.take()) is not None:
            self._log(f"{event.model}: {event.source} -> {event.target} ({event.reason or event.event})")
            self._uplink.send(Kind.EVENT, event)
        switched = self._observing.switch(self.host.running, self.host.in_trial, now_ms)
        self._reporting.take(switched, now_ms)
        if self._observing.due(now_ms):
            self.flush(now_ms)

    def flush(self, now_ms: int) -> None:
        """Close the window and send what was counted; truths after it, which are judged by it."""
        self._reporting.take(self._observing.close(now_ms), now_ms)
        self._send_labels()

    def close(self) -> None:
        """The agent stops on purpose."""
        self.host.close()
        self._capture.close()

    def _label_index(self, label: str | int) -> int:
        running = self.host.running
        labels = running.manifest.labels if running else ()
        if isinstance(label, str) and label in labels:
            return labels.index(label)
        if not isinstance(label, str | bool) and hasattr(label, "__index__"):  # NumPy's integers too
            index = operator.index(label)
            if 0 <= index < len(labels):
                return index
        if running is None:
            raise NoModel(f"device {self._device} runs no model whose labels it could know")
        raise InputError(
            f"the model does not know label {label!r}; it knows {', '.join(labels)}", label=label
        )

    def _send_labels(self) -> None:
        """Send the truths that wait, the oldest first; what cannot be sent now waits on disk."""
        while self._uplink.online and (batch := self._waiting.first()) is not None:
            if not self._uplink.send(Kind.LABEL, batch):
                break
            self._waiting.remove_first()
        if self._truths:
            labels, self._truths = Labels(self.host.name, tuple(self._truths)), []
            if len(self._waiting) or not self._uplink.online or not self._uplink.send(Kind.LABEL, labels):
                self._waiting.put(labels)
