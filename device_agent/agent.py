"""The agent: a generic device that follows its desired state, predicts, counts and reports.

As a library::

    with Agent(config) as agent:
        prediction = agent.predict(x)
        agent.feedback(prediction.id, "seven")

Single-threaded: ``predict`` and ``poll`` do the network's work too. Everything about a model is in its
manifest; nothing about one is in here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from device_agent.byte_budget import ByteBudget
from device_agent.config import AgentConfig
from device_agent.device_store import DeviceStore
from device_agent.download import Chunk
from device_agent.events import Boot
from device_agent.fit import AGENT_VERSION, TAKES, dotted
from device_agent.inference import installed_runtime
from device_agent.model_host import ModelHost
from device_agent.reporting import Reporting
from device_agent.served_model import Prediction, ServedModel
from device_agent.uplink import Uplink
from edgeops.core.codec import decode
from edgeops.core.errors import BrokerUnreachable, EdgeOpsError, InputError, NoModel, StorageError
from edgeops.core.messages import MAX_MODELS, Desired, Presence, Receipt, State
from edgeops.core.signing import Role, accept_next_root, verify
from edgeops.core.topics import Kind, check_name
from edgeops.core.transport import Transport

__all__ = ["Agent", "Prediction", "agent_from_file"]

CONNECT_RETRY_MS = 5_000
POLL_EVERY_MS = 20


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
        self._reporting = Reporting(config, self._uplink, log)
        self._received = 0  # bytes of chunks from the broker
        self._budget = ByteBudget(config.data / "byte-budget.cbor")
        self._models: dict[str, ServedModel] = {}
        self._generation = 0
        self._connect_at = 0
        self._last_poll = -POLL_EVERY_MS
        self._offline_reason = ""
        self._published: tuple[object, ...] | None = None
        self._asked: set[Chunk] = set()
        self._came: set[Chunk] = set()  # of those that are asked for still
        self._came_altered = False
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
        return self._entry(model).sequence

    def predict(self, raw: object, *, model: str | None = None, consent: bool = True) -> Prediction:
        """Predict one raw input (array-like of the manifest's shape, raw unit).

        ``consent = False`` keeps this input on the device whatever the capture policy says. Raises
        ``InputError`` for a wrong shape, dtype or NaN, ``NoModel`` before the first model,
        ``InferenceFailed`` when the interpreter fails.
        """
        now = self._now()
        if now - self._last_poll >= POLL_EVERY_MS:
            self.poll()
            now = self._last_poll
        return self._entry(model).predict(raw, consent, now)

    def feedback(self, prediction_id: str, label: str | int) -> bool:
        """Report a truth that came later; returns whether the label policy lets it leave the device.

        Raises ``InputError`` for an id that is none, or a label that the model does not know.
        """
        name, _, raw = prediction_id.rpartition(":")
        entry = self._models.get(name)
        if entry is None or len(raw) != 40 or not set(raw) <= set("0123456789abcdef"):
            raise InputError(f"{prediction_id!r} is not a prediction id of this device")
        return entry.feedback(bytes.fromhex(raw), label)

    def poll(self, timeout: float = 0.0) -> None:
        """Do the network's work: take what arrived, waiting at most ``timeout`` seconds for the first."""
        self._connect_if_due()
        while (incoming := self._uplink.receive(timeout)) is not None:
            timeout = 0.0
            self._take(*incoming)
        now = self._last_poll = self._now()
        self._budget.tick(now)
        for entry in self._models.values():
            entry.host.tick(now, self._uplink.online)
            entry.settle(now)
        if self._uplink.take_reconnected():
            self._published = None
            self._reporting.reconnected(now)
            self._uplink.send(Kind.PRESENCE, Presence(self._boot.number, True))
        self._reporting.tick(now)
        self._ask_for_chunks()
        self._publish_state()

    def flush(self) -> None:
        """Close the open windows and send what was counted."""
        for entry in self._models.values():
            entry.flush(self._now())

    def close(self) -> None:
        """Send what was counted, say goodbye, disconnect."""
        self.flush()
        for entry in self._models.values():
            entry.close()
        self._budget.close()
        self._published = None  # once more, with the counters as they stand at the end
        self._publish_state()
        self._uplink.close(Presence(self._boot.number, False))

    def _now(self) -> int:
        return int((self._clock() - self._started_at) * 1000)

    def _entry(self, name: str | None) -> ServedModel:
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

    def _model(self, name: str) -> ServedModel:
        if name not in self._models:
            host = ModelHost(name, self.config, self._boot, self._trust, self._budget)
            host.start(self._now())
            number, device, data = self._boot.number, self.config.device, self.config.data
            self._models[name] = ServedModel(
                host, number, device, data, self._uplink, self._reporting, self._clock, self._log
            )
        return self._models[name]

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
                self._reporting.acknowledge(decode(Receipt, payload), self._now())
            elif isinstance(kind, tuple):
                self._take_chunk(kind, payload)
        except EdgeOpsError as error:
            self._log(f"dropped a message: {error.message}")

    def _take_chunk(self, chunk: Chunk, payload: bytes) -> None:
        for entry in self._models.values():
            entry.host.chunk(chunk, payload, self._now())
            entry.settle(self._now())
        # Afterwards: until it is taken its room is promised to it. Also what came twice, or too late, is counted.
        self._received += len(payload)
        self._budget.charge(len(payload))
        if chunk in self._asked and any(entry.host.lacks(chunk) for entry in self._models.values()):
            # It came altered: ask for it again, so that the broker sends its retained message once more.
            self._asked.discard(chunk)
            self._uplink.drop_chunks([chunk])
            self._came_altered = True
        else:
            self._came.add(chunk)

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
        self._budget.limit = desired.daily_bytes
        if not stored:
            self._store(lambda: self._disk.save_desired(envelope))
        for name, wanted in desired.models.items():
            self._model(name).desire(wanted, desired.generation, self._now())

    def _ask_for_chunks(self) -> None:
        """Half a window at a time: the broker is busy with the other half while the packets that ask are few."""
        wanted = self._wanted()
        under_way = len(self._asked & wanted)
        stale = self._asked - wanted
        in_vain = not stale <= self._came  # something is on its way that is not wanted any more
        if 2 * under_way > len(wanted) and not in_vain and not self._came_altered:
            return
        self._came_altered = False
        if stale:
            self._uplink.drop_chunks(stale)
        if new := wanted - self._asked:
            self._uplink.ask_chunks(sorted(new))
        self._asked = wanted
        self._came.clear()

    def _publish_state(self) -> None:
        # Free space and counters change all the time; they ride along with what matters.
        quiet = tuple((name, entry.host.state_key()) for name, entry in self._models.items())
        if quiet == self._published or not self._uplink.online:
            return
        self._published = quiet
        state = State(
            boot=self._boot.number,
            session=self._boot.number,
            agent=dotted(AGENT_VERSION),
            runtime=self._runtime,
            target=self.config.target,
            free_bytes=self._disk.free_bytes(),
            models={name: entry.host.model_state() for name, entry in self._models.items()},
            received_bytes=self._received
            + sum(entry.host.fetching.received for entry in self._models.values()),
            dropped_labels=sum(entry.dropped_labels for entry in self._models.values()),
            takes=TAKES,
            spent_bytes=self._budget.spent,
        )
        self._uplink.send(Kind.STATE, state)


def agent_from_file(path: Path, log: Callable[[str], None] = lambda line: None) -> Agent:
    """An agent as ``agent.toml`` describes it."""
    from device_agent.config import load_config

    return Agent(load_config(path), log=log)
