"""What devices and the control side say to each other; one frozen dataclass per message.

Signed documents (desired state, trust root, manifest) travel in the envelope of ``edgeops.core.signing``;
the others as plain CBOR. Times are device uptime in milliseconds: many devices have no clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from edgeops.core.codec import (
    DIGEST,
    Bytes,
    Flag,
    ListOf,
    MapOf,
    Message,
    Nested,
    Text,
    UInt,
    wire,
)
from edgeops.core.counter_block import CounterBlock
from edgeops.core.counters import Counters
from edgeops.core.errors import WireError
from edgeops.core.manifest import BlobRef

NAME = Text(64)
MAX_MODELS = 8
MAX_TRANSFERS = 4
MAX_SHIFTED = 8


@dataclass(frozen=True, slots=True)
class ReportPolicy(Message):
    """When a window closes (whichever comes first; 0 = never) and on what share of inputs features are taken."""

    window_inferences: int = wire(1, UInt(32))
    interval_ms: int = wire(2, UInt(32))
    observe_permille: int = wire(3, UInt(16))


@dataclass(frozen=True, slots=True)
class ShiftedBins(Message):
    """Bins of one observed feature, by its place in the observation plan: bit i of ``bins`` is bin i of 12."""

    feature: int = wire(1, UInt(8))
    bins: int = wire(2, UInt(12))


@dataclass(frozen=True, slots=True)
class CapturePolicy(Message):
    """Permission to send inputs: a share of them, chosen by content, and at most ``budget`` in all.

    Beside that share go the inputs whose confidence bin (0..15) is below ``uncertain_below``, and those of which a
    feature lies in one of the ``shifted`` bins; where there is a share these take half of the budget at most.
    ``daily_bytes`` bounds what is sent in 24 h of uptime, 0 does not.
    """

    permille: int = wire(1, UInt(16))
    budget: int = wire(2, UInt(32))
    uncertain_below: int = wire(3, UInt(8), default=0)
    shifted: tuple[ShiftedBins, ...] = wire(4, ListOf(Nested(ShiftedBins), MAX_SHIFTED), default=())
    daily_bytes: int = wire(5, UInt(64), default=0)


@dataclass(frozen=True, slots=True)
class Transfer(Message):
    """Another way to a blob that the manifest names: the same bytes cut otherwise, or a patch.

    ``blob`` is what to fetch. Without ``base`` it is ``target`` itself, in chunks of another size. With ``base`` it
    is a patch in the form ``codec`` that makes ``target`` out of the blob ``base``; the result is verified by the
    digest ``target``, and a device that has no ``base`` fetches the whole blob.
    """

    target: bytes = wire(1, DIGEST)
    blob: BlobRef = wire(2, Nested(BlobRef))
    base: bytes | None = wire(3, DIGEST, default=None)
    codec: str = wire(4, Text(16), default="")


@dataclass(frozen=True, slots=True)
class DesiredModel(Message):
    """The version of one model that a device shall run, and under which policies.

    ``shadow_inferences``: so many inputs the candidate sees beside the active model before its trial. ``attempt``: a
    higher one than before lets a device try again what it refused. ``spread_ms``: over so long devices spread the
    start of their transfers, each at a place of its own.
    """

    manifest: bytes | None = wire(1, DIGEST, default=None)
    manifest_bytes: int = wire(2, UInt(16), default=0)
    report: ReportPolicy = wire(3, Nested(ReportPolicy), default=ReportPolicy(0, 60_000, 1000))
    capture: CapturePolicy | None = wire(4, Nested(CapturePolicy), default=None)
    labels: bool = wire(5, Flag(), default=False)
    transfers: tuple[Transfer, ...] = wire(6, ListOf(Nested(Transfer), MAX_TRANSFERS), default=())
    shadow_inferences: int = wire(7, UInt(32), default=0)
    attempt: int = wire(8, UInt(16), default=0)
    spread_ms: int = wire(9, UInt(32), default=0)


@dataclass(frozen=True, slots=True)
class Desired(Message):
    """The desired state of one device. A device ignores a generation that is not higher than its last.

    ``daily_bytes`` bounds what the device fetches in 24 h of uptime, 0 does not.
    """

    PURPOSE = "desired"
    MAX_BYTES = 4096
    fleet: str = wire(1, NAME)
    device: str = wire(2, NAME)
    generation: int = wire(3, UInt(32))
    models: dict[str, DesiredModel] = wire(4, MapOf(NAME, Nested(DesiredModel), MAX_MODELS))
    daily_bytes: int = wire(5, UInt(64), default=0)


@dataclass(frozen=True, slots=True)
class Presence(Message):
    """Whether a device is connected; the will carries ``online = false`` of the same session."""

    MAX_BYTES = 32
    session: int = wire(1, UInt(32))
    online: bool = wire(2, Flag())


@dataclass(frozen=True, slots=True)
class ShadowCounts(Message):
    """What a candidate did beside the active model: inputs that both saw, on how many the top class differed, how
    often the candidate failed, and the time of both in microseconds."""

    inferences: int = wire(1, UInt(32))
    disagreements: int = wire(2, UInt(32))
    errors: int = wire(3, UInt(32))
    active_us: int = wire(4, UInt(64))
    candidate_us: int = wire(5, UInt(64))


@dataclass(frozen=True, slots=True)
class ModelState(Message):
    """What one model is doing on a device; ``confirmed`` is what it runs, ``candidate`` what it is taking.

    ``attempts`` counts failures in a row; after some of them the device puts the version aside for
    ``retry_in_ms``. ``shadow`` is of the candidate or, once that is confirmed, of the confirmed model.
    """

    lifecycle: str = wire(1, Text(16))
    generation: int = wire(2, UInt(32))
    confirmed: bytes | None = wire(3, DIGEST, default=None)
    previous: bytes | None = wire(4, DIGEST, default=None)
    candidate: bytes | None = wire(5, DIGEST, default=None)
    reason: str | None = wire(6, Text(160), default=None)
    security_counter: int = wire(7, UInt(32), default=0)
    attempts: int = wire(8, UInt(16), default=0)
    retry_in_ms: int = wire(9, UInt(32), default=0)
    shadow: ShadowCounts | None = wire(10, Nested(ShadowCounts), default=None)
    artifact: bytes | None = wire(
        11, DIGEST, default=None
    )  # the confirmed model's blob: what a patch can be based on


@dataclass(frozen=True, slots=True)
class State(Message):
    """The retained self-description of a device.

    ``takes`` are the runtimes of artifacts that it can run, ``spent_bytes`` what it fetched in the present day of
    its byte budget.
    """

    MAX_BYTES = 4096
    boot: int = wire(1, UInt(32))
    session: int = wire(2, UInt(32))
    agent: str = wire(3, Text(32))
    runtime: str = wire(4, Text(64))
    target: str = wire(5, Text(32))
    free_bytes: int = wire(6, UInt(64))
    models: dict[str, ModelState] = wire(7, MapOf(NAME, Nested(ModelState), MAX_MODELS))
    received_bytes: int = wire(8, UInt(64), default=0)
    dropped_labels: int = wire(9, UInt(32), default=0)
    takes: tuple[str, ...] = wire(10, ListOf(Text(16), 4), default=())
    spent_bytes: int = wire(11, UInt(64), default=0)


@dataclass(frozen=True, slots=True)
class Event(Message):
    """One lifecycle transition; numbered per boot, so that a repeated one is known."""

    MAX_BYTES = 512
    boot: int = wire(1, UInt(32))
    number: int = wire(2, UInt(32))
    model: str = wire(3, NAME)
    generation: int = wire(4, UInt(32))
    source: str = wire(5, Text(16))
    target: str = wire(6, Text(16))
    event: str = wire(7, Text(24))
    manifest: bytes | None = wire(8, DIGEST, default=None)
    reason: str | None = wire(9, Text(160), default=None)
    uptime_ms: int = wire(10, UInt(64), default=0)


@dataclass(frozen=True, slots=True)
class Report(Message):
    """One window of counters for one model. Keyed by (device, model, boot, sequence); sequences start at 1.

    ``manifest`` is the first eight bytes of the manifest's digest, as in a prediction's id. ``behind`` is how far the
    oldest report of this boot that the device still keeps lies behind this one. The window began at ``start_ms`` of
    uptime and lasted ``duration_ms``; features were taken of ``observe_permille`` of the inputs.
    """

    MAX_BYTES = 2560
    AS_LIST = True
    model: str = wire(1, NAME)
    manifest: bytes = wire(2, Bytes(8, 8))
    boot: int = wire(3, UInt(32))
    sequence: int = wire(4, UInt(32))
    behind: int = wire(5, UInt(32))
    generation: int = wire(6, UInt(32))
    start_ms: int = wire(7, UInt(64))
    duration_ms: int = wire(8, UInt(64))
    counters: Counters = wire(9, CounterBlock())
    observe_permille: int = wire(10, UInt(16))
    dropped: int = wire(11, UInt(32), default=0)
    trial: bool = wire(12, Flag(), default=False)

    @property
    def oldest(self) -> int:
        """The lowest sequence of this boot that the device still keeps."""
        return self.sequence - self.behind


@dataclass(frozen=True, slots=True)
class Receipt(Message):
    """Per model, the highest contiguous sequence of this boot that the registry has committed."""

    MAX_BYTES = 1024
    boot: int = wire(1, UInt(32))
    committed: dict[str, int] = wire(2, MapOf(NAME, UInt(32), MAX_MODELS))


@dataclass(frozen=True, slots=True)
class Truth(Message):
    """The true class of an earlier prediction."""

    prediction: bytes = wire(1, Bytes(20, 20))
    label: int = wire(2, UInt(16))


@dataclass(frozen=True, slots=True)
class Labels(Message):
    """A batch of truths for one model."""

    MAX_BYTES = 8192
    model: str = wire(1, NAME)
    truths: tuple[Truth, ...] = wire(2, ListOf(Nested(Truth), 256))


class Captured(IntEnum):
    """Why an input was captured; only ``UNIFORM`` ones are a fair draw of what the device saw."""

    UNIFORM = 0
    UNCERTAIN = 1
    SHIFTED = 2

    @property
    def label(self) -> str:
        """The name in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Sample(Message):
    """A captured input: the quantized input tensor in C order, of the model that predicted it.

    ``reason``: why it was taken, a ``Captured``.
    """

    MAX_BYTES = 65536
    model: str = wire(1, NAME)
    manifest: bytes = wire(2, DIGEST)
    prediction: bytes = wire(3, Bytes(20, 20))
    values: bytes = wire(4, Bytes(65000, 1))
    reason: int = wire(5, UInt(8), default=0)


_PREDICTION = struct.Struct(">8sIIHBB")

pack_prediction = _PREDICTION.pack
"""What ``PredictionId.pack`` gives, of its fields in their order: an agent makes one for each inference."""


@dataclass(frozen=True, slots=True)
class PredictionId:
    """What a prediction was, in 20 bytes, so that nobody stores predictions to take a label 30 days late."""

    model: bytes  # the first 8 bytes of the manifest digest
    boot: int
    sequence: int
    index: int
    predicted: int
    confidence_bin: int

    def pack(self) -> bytes:
        """20 bytes, big endian."""
        return pack_prediction(
            self.model, self.boot, self.sequence, self.index, self.predicted, self.confidence_bin
        )

    @classmethod
    def unpack(cls, raw: bytes) -> PredictionId:
        """The inverse of ``pack``; raises ``WireError`` for another length or a confidence bin above 15."""
        if len(raw) != _PREDICTION.size or raw[-1] > 15:
            raise WireError("not a prediction id")
        return cls(*_PREDICTION.unpack(raw))


WIRE_MESSAGES: tuple[type[Message], ...] = (
    ReportPolicy,
    ShiftedBins,
    CapturePolicy,
    Transfer,
    DesiredModel,
    Desired,
    Presence,
    ShadowCounts,
    ModelState,
    State,
    Event,
    Report,
    Receipt,
    Truth,
    Labels,
    Sample,
)
