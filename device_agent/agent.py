"""The agent: a generic device that follows its desired state, predicts, counts and reports.

As a library::

    with Agent(config) as agent:
        prediction = agent.predict(x)
        agent.feedback(prediction.id, "seven")

Single-threaded: ``predict`` and ``poll`` do the network's work too. Everything about a model is in its
manifest; nothing about one is in here.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from device_agent.capture import Capture
from device_agent.config import AgentConfig
from device_agent.device_store import DeviceStore
from device_agent.download import Chunk
from device_agent.inference import installed_runtime
from device_agent.model_host import AGENT_VERSION, Boot, ModelHost
from device_agent.observing import Observing
from device_agent.report_queue import ReportQueue
from device_agent.resend import Resend
from device_agent.uplink import Uplink
from edgeops.core.codec import decode
from edgeops.core.errors import (
    BrokerUnreachable,
    EdgeOpsError,
    InferenceFailed,
    InputError,
    NoModel,
    StorageError,
)
from edgeops.core.features.steps import quantized_input
from edgeops.core.messages import (
    MAX_MODELS,
    Desired,
    DesiredModel,
    Labels,
    Presence,
    Receipt,
    Report,
    Sample,
    State,
    Truth,
)
from edgeops.core.outputs import score_spec
from edgeops.core.signing import Role, accept_next_root, verify
from edgeops.core.topics import Kind, check_name
from edgeops.core.transport import Transport

LABEL_BATCH = 64
MAX_SAMPLE_BYTES = 65_000
CONNECT_RETRY_MS = 5_000
POLL_EVERY_MS = 20


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


@dataclass
class _Model:
    """What the agent keeps for one model name."""

    host: ModelHost
    observing: Observing
    capture: Capture
    desired: DesiredModel
    truths: list[Truth]


class Agent:
    """One device. ``transport`` and ``clock`` (seconds, monotonic) may be handed in; the default is MQTT."""

    def __init__(
        self,
        config: AgentConfig,
        transport: Callable[[Presence], Transport] | None = None,
        clock: Callable[[], float] = time.monotonic,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.config = config
        self._log = log
        self._clock = clock
        self._started_at = clock()
        self._disk = DeviceStore(config)
        self._boot = Boot(self._disk.next_boot())
        self._trust = self._disk.load_trust()
        self._runtime = installed_runtime(config.runtime)
        self._uplink = Uplink(config, self._boot.number, transport)
        self._queue = ReportQueue(config.data / "reports", config.queue_reports)
        self._models: dict[str, _Model] = {}
        self._generation = 0
        self._dropped_labels = 0
        self._connect_at = 0
        self._last_poll = -POLL_EVERY_MS
        self._resend = Resend()
        self._offline_reason = ""
        self._published: tuple[object, ...] | None = None
        self._asked: set[Chunk] = set()
        for name in self._disk.model_names():
            self._model(name)
        self._restore_desired()
        self.poll()

    def __enter__(self) -> Agent:
        """The agent itself; it works from its construction on."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def boot(self) -> int:
        """The number of this start."""
        return self._boot.number

    @property
    def online(self) -> bool:
        """Whether the broker is connected."""
        return self._uplink.online

    def ready(self, model: str | None = None) -> bool:
        """Whether a model can predict now."""
        entry = self._models.get(model or self.config.model or next(iter(self._models), ""))
        return entry is not None and entry.host.running is not None

    def sequence(self, model: str | None = None) -> int:
        """The sequence of the window that is open; raises ``NoModel`` where there is no such model."""
        return self._entry(model).observing.sequence

    def predict(self, raw: object, *, model: str | None = None, consent: bool = True) -> Prediction:
        """Predict one raw input (array-like of the manifest's shape, raw unit).

        ``consent = False`` keeps this input on the device whatever the capture policy says. Raises
        ``InputError`` for a wrong shape, dtype or NaN, ``NoModel`` before the first model,
        ``InferenceFailed`` when the interpreter fails.
        """
        now = self._now()
        if now - self._last_poll >= POLL_EVERY_MS:
            self.poll()
        entry = self._entry(model)
        running = entry.host.running
        if running is None:
            raise NoModel(f"device {self.config.device} has no model to run yet", device=self.config.device)
        self._keep(entry.observing.switch(running, entry.host.in_trial, now))
        try:
            quantized = quantized_input(running.manifest, raw)
        except InputError:
            entry.observing.count_rejected()
            raise
        began = self._clock()
        try:
            output = running.infer(quantized)
        except InferenceFailed:
            entry.observing.count_error()
            entry.host.inferred(False)
            self._after(entry)
            raise
        microseconds = int((self._clock() - began) * 1e6)
        trial = entry.host.in_trial
        counted = entry.observing.count(quantized, output, microseconds)
        values = quantized.tobytes()
        if len(values) <= MAX_SAMPLE_BYTES and entry.capture.wants(values, consent):
            self._uplink.send(Kind.SAMPLE, Sample(entry.host.name, running.digest, counted.id.pack(), values))
        entry.host.inferred(True)
        self._after(entry)
        contract = score_spec(running.manifest)
        return Prediction(
            running.manifest.labels[counted.predicted],
            counted.predicted,
            (counted.score - contract.zero_point) * contract.scale,
            f"{entry.host.name}:{counted.id.pack().hex()}",
            running.manifest.version,
            trial,
        )

    def feedback(self, prediction_id: str, label: str | int) -> bool:
        """Report a truth that came later; returns whether the label policy lets it leave the device.

        Raises ``InputError`` for an id that is none, or a label that the model does not know.
        """
        name, _, raw = prediction_id.rpartition(":")
        entry = self._models.get(name)
        if entry is None or len(raw) != 40 or not set(raw) <= set("0123456789abcdef"):
            raise InputError(f"{prediction_id!r} is not a prediction id of this device")
        index = self._label_index(entry, label)
        if not entry.desired.labels:
            self._dropped_labels += 1
            return False
        entry.truths.append(Truth(bytes.fromhex(raw), index))
        if len(entry.truths) >= LABEL_BATCH:
            self._send_labels(entry)
        return True

    def poll(self, timeout: float = 0.0) -> None:
        """Do the network's work: take what arrived, waiting at most ``timeout`` seconds for the first."""
        self._connect_if_due()
        while (incoming := self._uplink.receive(timeout)) is not None:
            timeout = 0.0
            self._take(*incoming)
        now = self._last_poll = self._now()
        for entry in self._models.values():
            entry.host.tick(now, self._uplink.online)
            self._after(entry)
        if self._uplink.take_reconnected():
            self._published = None
            self._resend.reconnected(now, self._queue.keys)
            self._uplink.send(Kind.PRESENCE, Presence(self._boot.number, True))
        if self._uplink.online:
            for key in self._resend.take(now, self._queue.keys):
                report = self._queue.load(key)
                if report is not None:
                    self._send_report(report)
        self._ask_for_chunks()
        self._publish_state()

    def flush(self) -> None:
        """Close the open windows and send what was counted."""
        for entry in self._models.values():
            self._send_labels(entry)
            self._keep(entry.observing.close(self._now()))

    def close(self) -> None:
        """Send what was counted, say goodbye, disconnect."""
        self.flush()
        for entry in self._models.values():
            entry.host.close()
        self._published = None  # once more, with the counters as they stand at the end
        self._publish_state()
        self._uplink.close(Presence(self._boot.number, False))

    def _now(self) -> int:
        return int((self._clock() - self._started_at) * 1000)

    def _entry(self, name: str | None) -> _Model:
        chosen = name or self.config.model
        if chosen is None and len(self._models) == 1:
            chosen = next(iter(self._models))
        entry = self._models.get(chosen or "")
        if entry is None:
            raise NoModel(
                f"device {self.config.device} has no model {chosen!r}"
                if chosen
                else "no model was rolled out yet",
                device=self.config.device,
                models=sorted(self._models),
            )
        return entry

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            host = ModelHost(name, self.config, self._boot, self._trust)
            entry = _Model(host, Observing(name, self._boot.number), Capture(None), DesiredModel(), [])
            host.start(self._now())
            self._models[name] = entry
        return self._models[name]

    def _label_index(self, entry: _Model, label: str | int) -> int:
        running = entry.host.running
        labels = running.manifest.labels if running else ()
        if isinstance(label, str) and label in labels:
            return labels.index(label)
        if not isinstance(label, str | bool) and hasattr(label, "__index__"):  # NumPy's integers too
            index = operator.index(label)
            if 0 <= index < len(labels):
                return index
        if running is None:
            raise NoModel(f"device {self.config.device} runs no model whose labels it could know")
        raise InputError(
            f"the model does not know label {label!r}; it knows {', '.join(labels)}", label=label
        )

    def _connect_if_due(self) -> None:
        if self._uplink.started or self._now() < self._connect_at:
            return
        try:
            self._uplink.connect()
        except BrokerUnreachable as error:
            # A device works without its broker, from its slots.
            self._connect_at = self._now() + CONNECT_RETRY_MS
            if error.message != self._offline_reason:
                self._offline_reason = error.message
                self._log(f"offline: {error.message}")

    def _take(self, kind: Kind | Chunk | None, payload: bytes) -> None:
        """One arrival; what does not verify or decode is dropped and logged, never fatal."""
        try:
            if kind is None:
                self._take_trust(payload)
            elif kind is Kind.DESIRED:
                self._take_desired(payload, stored=False)
            elif kind is Kind.RECEIPT:
                if self._queue.acknowledge(decode(Receipt, payload)):
                    self._resend.progressed(self._now())
            elif isinstance(kind, tuple):
                self._take_chunk(kind, payload)
        except EdgeOpsError as error:
            self._log(f"dropped a message: {error.message}")

    def _take_chunk(self, chunk: Chunk, payload: bytes) -> None:
        for entry in self._models.values():
            entry.host.chunk(chunk, payload, self._now())
            self._after(entry)
        if chunk in self._asked and chunk in self._wanted():
            # It came altered: ask for it again, so that the broker sends its retained message once more.
            self._asked.discard(chunk)
            self._uplink.drop_chunk(chunk)

    def _wanted(self) -> set[Chunk]:
        return set().union(*(entry.host.wanted() for entry in self._models.values()))

    def _take_trust(self, envelope: bytes) -> None:
        root = accept_next_root(self._trust, envelope)
        if root != self._trust:
            self._trust = root
            for entry in self._models.values():
                entry.host.trust = root
            self._store(lambda: self._disk.save_trust(envelope))

    def _restore_desired(self) -> None:
        desired = self._disk.load_desired()
        if desired is not None:
            try:
                self._take_desired(desired, stored=True)
            except EdgeOpsError as error:
                # Signed by a key that was rotated out, or damaged: the broker has the newest anyway.
                self._log(f"the stored desired state is not taken: {error.message}")

    def _store(self, write: Callable[[], None]) -> None:
        """Write something that the broker will send again: a full disk must not keep the device from it."""
        try:
            write()
        except StorageError as error:
            self._log(error.message)

    def _take_desired(self, envelope: bytes, stored: bool) -> None:
        desired = decode(Desired, verify(envelope, Desired.PURPOSE, Role.DEPLOY, self._trust))
        if (desired.fleet, desired.device) != (self.config.fleet, self.config.device):
            raise InputError(
                f"a desired state of {desired.fleet}/{desired.device} came to {self.config.device}"
            )
        if desired.generation <= self._generation:
            return
        for name in desired.models:
            check_name(name, "model")
        if len(self._models.keys() | desired.models.keys()) > MAX_MODELS:
            raise InputError(f"more than {MAX_MODELS} models are desired of a device that has others already")
        self._generation = desired.generation
        if not stored:
            self._store(lambda: self._disk.save_desired(envelope))
        for name, wanted in desired.models.items():
            entry = self._model(name)
            if wanted.capture != entry.desired.capture:
                entry.capture = Capture(wanted.capture)
            if wanted != entry.desired:
                self._keep(entry.observing.close(self._now()))  # a window holds one policy only
            entry.desired = wanted
            entry.observing.policy = wanted.report
            entry.observing.generation = desired.generation
            entry.host.desire(wanted, desired.generation, self._now())
            self._after(entry)

    def _after(self, entry: _Model) -> None:
        """What may be due after any event of a model: events to send, a switch, a full window."""
        while entry.host.outbox:
            event = entry.host.outbox.popleft()
            self._log(f"{event.model}: {event.source} -> {event.target} ({event.reason or event.event})")
            self._uplink.send(Kind.EVENT, event)
        now = self._now()
        self._keep(entry.observing.switch(entry.host.running, entry.host.in_trial, now))
        if entry.observing.due(now):
            self._send_labels(entry)
            self._keep(entry.observing.close(now))

    def _keep(self, report: Report | None) -> None:
        if report is not None:
            report = replace(report, oldest=self._queue.oldest(report.boot, report.model) or report.sequence)
            if not len(self._queue):
                self._resend.progressed(self._now())
            try:
                self._queue.put(report)
            except StorageError as error:
                self._log(f"report {report.sequence} of {report.model} is not kept: {error.message}")
            self._send_report(report)

    def _send_report(self, report: Report) -> None:
        if not self._uplink.online:
            return  # it waits on disk, and all that waits is sent at the next connection
        oldest = self._queue.oldest(report.boot, report.model) or report.sequence
        self._uplink.send(Kind.REPORT, replace(report, oldest=oldest, dropped=self._queue.dropped))

    def _send_labels(self, entry: _Model) -> None:
        if entry.truths:
            if not self._uplink.send(Kind.LABEL, Labels(entry.host.name, tuple(entry.truths))):
                self._dropped_labels += len(entry.truths)
            entry.truths = []

    def _ask_for_chunks(self) -> None:
        wanted = self._wanted()
        for chunk in self._asked - wanted:
            self._uplink.drop_chunk(chunk)
        for chunk in wanted - self._asked:
            self._uplink.ask_chunk(chunk)
        self._asked = wanted

    def _publish_state(self) -> None:
        # Free space and counters change all the time; they ride along with what matters.
        quiet = tuple((name, entry.host.state_key()) for name, entry in self._models.items())
        if quiet == self._published or not self._uplink.online:
            return
        self._published = quiet
        state = State(
            boot=self._boot.number,
            session=self._boot.number,
            agent=".".join(str(part) for part in AGENT_VERSION),
            runtime=self._runtime,
            target=self.config.target,
            free_bytes=self._disk.free_bytes(),
            models={name: entry.host.model_state() for name, entry in self._models.items()},
            received_bytes=sum(entry.host.received_bytes for entry in self._models.values()),
            dropped_labels=self._dropped_labels,
        )
        self._uplink.send(Kind.STATE, state)


def agent_from_file(path: Path, log: Callable[[str], None] = lambda line: None) -> Agent:
    """An agent as ``agent.toml`` describes it."""
    from device_agent.config import load_config

    return Agent(load_config(path), log=log)
