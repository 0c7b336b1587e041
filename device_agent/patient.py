"""A transport whose ``connect`` waits once at most: a device works offline, and must not stand still."""

from __future__ import annotations

import threading

from edgeops.core.errors import BrokerUnreachable
from edgeops.core.transport import Incoming, Transport

ATTEMPT_S = 5.0
PAUSE_S = 2.0


class PatientTransport:
    """Round a ``Transport`` that takes messages and subscriptions while it is not connected, as MQTT's does.

    The first ``connect`` waits as asked. When it fails, a thread goes on trying; further calls of ``connect``
    answer at once whether it has succeeded.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._closed = threading.Event()
        self._connected = threading.Event()
        self._reason = ""
        self._thread: threading.Thread | None = None

    def connect(self, timeout: float) -> None:
        """See ``Transport.connect``; waits the first time only."""
        if self._thread is None:
            try:
                self._inner.connect(timeout)
            except BrokerUnreachable:
                self._thread = threading.Thread(target=self._go_on, daemon=True, name="connect")
                self._thread.start()
                raise
        elif not self._connected.is_set():
            raise BrokerUnreachable(self._reason or "the broker has not answered yet")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """See ``Transport.publish``."""
        self._inner.publish(topic, payload, retain=retain)

    def subscribe(self, *topic_filters: str) -> None:
        """See ``Transport.subscribe``."""
        self._inner.subscribe(*topic_filters)

    def unsubscribe(self, *topic_filters: str) -> None:
        """See ``Transport.unsubscribe``."""
        self._inner.unsubscribe(*topic_filters)

    def receive(self, timeout: float) -> Incoming | None:
        """See ``Transport.receive``."""
        return self._inner.receive(timeout)

    def pending(self) -> int:
        """See ``Transport.pending``."""
        return self._inner.pending()

    def close(self) -> None:
        """See ``Transport.close``; an attempt to connect that is under way ends by itself."""
        self._closed.set()
        self._inner.close()

    def _go_on(self) -> None:
        while not self._closed.wait(PAUSE_S):
            try:
                self._inner.connect(ATTEMPT_S)
            except BrokerUnreachable as error:
                self._reason = error.message
                continue
            self._connected.set()
            if self._closed.is_set():
                self._inner.close()
            return
