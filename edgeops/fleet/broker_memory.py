"""Whether the broker still has what was published: a number that it keeps for us, compared with what we recorded.

After each batch of retained messages the number of the batch is published, retained too, on a topic of its own that
the publisher listens to. Messages of one sender keep their order, so whoever hears a number back knows that the
broker has everything before it. At a connection the retained number comes first: one that is missing, of another
registry or below the recorded one tells that the broker forgot something (Mosquitto stores what it retains every now
and then, so a crash costs it the last of it, not all).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum

from sqlmodel import Session

from edgeops.core import topics
from edgeops.core.codec import Bytes, Message, UInt, decode, encode, wire
from edgeops.core.errors import UnreachableError, WireError
from edgeops.core.transport import ConnectionChanged, Incoming, Received, Transport
from edgeops.registry.counts import fact, state_fact

FACT = "broker_memory"
ANSWER_S = 5.0
"""How long a broker is waited for that does not let us hear our own topic; it then counts as one that forgot all."""
PROBE = 0  # the number of a message that is only there to be heard after a retained one, if there is one


@dataclass(frozen=True, slots=True)
class Marker(Message):
    """``nonce`` is the registry's, drawn once; ``number`` counts the batches."""

    MAX_BYTES = 64
    nonce: bytes = wire(1, Bytes(8, 8))
    number: int = wire(2, UInt(32))


class Memory(Enum):
    """What is known of the broker's memory."""

    UNKNOWN = "unknown"
    INTACT = "intact"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class _Recorded:
    """``acknowledged``: the last batch whose effects are in the registry; ``started``: the last that was sent."""

    nonce: bytes
    acknowledged: int
    started: int


class BrokerMemory:
    """What one broker connection says about the broker's memory."""

    def __init__(self, fleet: str, transport: Transport) -> None:
        self._topic = topics.published(fleet)
        self._transport = transport
        self._online = False
        self._first: Marker | None = None  # what this connection said first
        self._first_retained = False
        self._answered = False
        self._waits_since: float | None = None
        self._deaf = False  # the broker does not let us hear our own topic
        self._believed = Memory.UNKNOWN
        self._probed = False
        self._number = 0
        self._heard = 0

    @property
    def reached(self) -> int:
        """The last batch that the broker has, of those that were sent over this connection."""
        if self._deaf and not self._transport.pending():
            return self._number
        return self._heard

    def take(self, incoming: Incoming) -> bool:
        """Take what arrived; True when it was the marker, which concerns nobody else."""
        if isinstance(incoming, ConnectionChanged):
            self._online = incoming.online
            self._answered, self._believed, self._heard = False, Memory.UNKNOWN, 0
            self._waits_since, self._deaf = None, False
            if incoming.online:
                self._transport.subscribe(self._topic)
                self._probed = False
                self._probe()
            return False
        if incoming.topic != self._topic:
            return False
        self._listen(incoming)
        return True

    def _probe(self) -> None:
        probe = encode(Marker(secrets.token_bytes(8), PROBE))
        try:
            self._transport.publish(self._topic, probe)
            self._probed = True
        except UnreachableError:
            self._probed = (
                False  # too much waits for the broker: when it is asked what is known, it is sent again
            )

    def _listen(self, message: Received) -> None:
        try:
            marker = decode(Marker, message.payload)
        except WireError:
            marker = None  # anybody may write to an open broker; as a first answer it tells nothing
        if not self._answered:
            self._answered = True
            self._first, self._first_retained = marker, message.retained
        if marker is not None and not message.retained:
            self._heard = max(self._heard, marker.number)

    def judge(self, session: Session, now: float) -> Memory:
        """What is known; ``begin_anew`` ends the state LOST."""
        if not self._online:
            return Memory.UNKNOWN
        if not self._probed:
            self._probe()
        if not self._answered:
            self._waits_since = now if self._waits_since is None else self._waits_since
            if 0 <= now - self._waits_since < ANSWER_S:
                return Memory.UNKNOWN
            self._answered, self._deaf = True, True
            self._first = None
        if self._believed is Memory.UNKNOWN:
            recorded = self._recorded(session)
            first = self._first if self._first_retained else None
            self._number = max(self._number, recorded.started)
            kept = (
                first is not None
                and first.nonce == recorded.nonce
                and recorded.acknowledged <= first.number <= recorded.started
            )
            self._believed = Memory.INTACT if kept else Memory.LOST
        return self._believed

    def begin_anew(self, session: Session) -> None:
        """Everything that the broker lost is noted as not published; numbers that it may still get say nothing.

        The session is committed before that is believed: what could not be noted is lost still.
        """
        self.acknowledge(session, self.begin(session))
        session.commit()
        self._believed = Memory.INTACT

    def begin(self, session: Session) -> int:
        """The number of a new batch; noted as started in the session."""
        recorded = self._recorded(session)
        self._number = max(self._number, recorded.started) + 1
        self._record(session, _Recorded(recorded.nonce, recorded.acknowledged, self._number))
        return self._number

    def end(self, session: Session, number: int) -> int:
        """Everything of the batch is sent: send its number; how many bytes."""
        marker = encode(Marker(self._recorded(session).nonce, number))
        self._transport.publish(self._topic, marker, retain=True)
        return len(marker)

    def acknowledge(self, session: Session, number: int) -> None:
        """The effects of all batches up to this one are in the session."""
        recorded = self._recorded(session)
        self._record(session, _Recorded(recorded.nonce, max(recorded.acknowledged, number), recorded.started))

    def _recorded(self, session: Session) -> _Recorded:
        stated = fact(session, FACT)
        if not stated:
            return self._record(session, _Recorded(secrets.token_bytes(8), 0, 0))
        return _Recorded(bytes.fromhex(stated["nonce"]), stated["acknowledged"], stated["started"])

    @staticmethod
    def _record(session: Session, recorded: _Recorded) -> _Recorded:
        stated = {
            "nonce": recorded.nonce.hex(),
            "acknowledged": recorded.acknowledged,
            "started": recorded.started,
        }
        state_fact(session, FACT, stated)
        session.flush()
        return recorded
