"""The one adapter round paho-mqtt: ``edgeops.core.transport.Transport`` over MQTT 3.1.1 at QoS 1.

paho's thread talks to the broker; everything that arrives goes through one thread-safe queue which
``receive`` pulls, so that callers stay single-threaded loops. Messages to be sent wait in an outbox of our
own and reach paho a window at a time. That keeps their order over a reconnect (paho sends anew what was
unacknowledged, and only then do we hand it more) and keeps paho's own queue short, which it walks often.
"""

from __future__ import annotations

import logging
import queue
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgeops.core.errors import BrokerUnreachable, UsageError
from edgeops.core.transport import ConnectionChanged, Incoming, Received, Will, matches

DEFAULT_PORT = 1883
QOS = 1
WINDOW = 512
"""Messages handed to paho and not acknowledged yet, at most."""
FIRST_DELAY_S = 0.2
LAST_DELAY_S = 5.0
FLUSH_S = 2.0
"""How long ``close`` waits for the broker to acknowledge what is pending."""
_SUBSCRIBE_BATCH = 100
_MAX_PAYLOAD = 268_435_455
_MAX_TOPIC_BYTES = 65_535

_log = logging.getLogger(__name__)


class MqttTransport:
    """A ``Transport`` over a real broker.

    ``url`` is ``mqtt://[user:password@]host[:port]``; a bad one raises ``UsageError``. ``keepalive_s`` is in
    seconds. ``max_queued`` bounds the messages that wait in the outbox. With ``clean_session=False`` the
    broker keeps our subscriptions and their messages while we are away (where it can: amqtt cannot).

    ``unrequested`` counts messages that the broker delivered although no subscription, present or recently
    given up, matches them; they are dropped.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        will: Will | None = None,
        keepalive_s: int = 30,
        max_queued: int = 10_000,
        *,
        clean_session: bool = True,
    ) -> None:
        self.host, self.port, user, password = parse_url(url)
        self.client_id = client_id
        self.unrequested = 0
        self._keepalive_s = keepalive_s
        self._max_queued = max_queued
        self._inbox: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._filters = _Filters()
        self._former: deque[str] = deque(maxlen=1024)
        self._outbox: deque[tuple[str, bytes, bool]] = deque()
        self._sent = 0  # handed to paho; written by whoever holds _feeding
        self._acked = 0  # written by paho's thread only
        self._feeding = threading.Lock()
        self._flowing = False
        self._online = False
        self._answered = threading.Event()
        self._acknowledged = threading.Event()
        self._refused = ""
        self._thread: threading.Thread | None = None
        self._started = threading.Event()

        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session, protocol=MQTTProtocolVersion.MQTTv311
        )
        if user is not None:
            self._client.username_pw_set(user, password)
        if will is not None:
            self._client.will_set(will.topic, will.payload, QOS, will.retain)
        self._client.max_inflight_messages_set(0)
        self._client.max_queued_messages_set(0)
        # Spread out, so that a fleet does not come back in one instant; paho declares int and takes float.
        spread = random.uniform(1.0, 1.5)
        self._client.reconnect_delay_set(FIRST_DELAY_S * spread, LAST_DELAY_S)  # type: ignore[arg-type]
        self._client.on_pre_connect = self._on_pre_connect
        self._client.on_socket_open = self._on_socket_open
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe

    def connect(self, timeout: float) -> None:
        """Connect, trying for ``timeout`` seconds; raises ``BrokerUnreachable``. Afterwards reconnects."""
        where = f"{self.host}:{self.port}"
        self._answered.clear()
        self._started.clear()
        self._refused = ""
        self._client.connect_timeout = max(0.1, min(timeout, 5.0))
        self._client.connect_async(self.host, self.port, self._keepalive_s)
        self._client.loop_start()
        self._started.wait(1.0)  # its thread is known from here on
        answered = self._answered.wait(timeout)
        if not answered or self._refused:
            self._stop_thread()
        if self._refused:
            raise BrokerUnreachable(
                f"the MQTT broker at {where} refused the connection: {self._refused}",
                fix="check the user name and password in the broker's URL",
                broker=where,
            )
        if not answered:
            raise BrokerUnreachable(
                f"no MQTT broker answered at {where} within {timeout:g} s",
                fix=f"start one: edgeops broker run --port {self.port}",
                broker=where,
            )

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue a message, at least once; kept while the broker is away. Empty and retained clears.

        With ``max_queued`` messages waiting it blocks while the broker takes them, and raises
        ``BrokerUnreachable`` while there is no broker. A topic that MQTT forbids is a ``UsageError``.
        """
        _check_message(topic, payload)
        while len(self._outbox) >= self._max_queued:
            if not self._online:
                raise BrokerUnreachable(
                    f"{len(self._outbox)} messages already wait for the broker at {self.host}:{self.port}",
                    fix=f"start one: edgeops broker run --port {self.port}",
                )
            self._acknowledged.clear()
            self._feed()
            self._acknowledged.wait(0.1)
        self._outbox.append((topic, payload, retain))
        self._feed()

    def subscribe(self, *topic_filters: str) -> None:
        """Ask for filters; retained messages that match follow. One that MQTT forbids: UsageError, and none."""
        for checked in topic_filters:
            _check_filter(checked)
        self._filters.add(*topic_filters)
        # The filters are registered first: if we come online at this moment they are at worst asked for twice.
        if self._online:
            for batch in _batches(topic_filters):
                self._client.subscribe([(topic_filter, QOS) for topic_filter in batch])

    def unsubscribe(self, *topic_filters: str) -> None:
        """Take filters back; nothing that only they matched is handed out afterwards."""
        for topic_filter in topic_filters:
            self._former.append(topic_filter)
            self._filters.remove(topic_filter)
        if self._online:
            for batch in _batches(topic_filters):
                self._client.unsubscribe(batch)

    def receive(self, timeout: float) -> Incoming | None:
        """The next thing that arrived, or None after ``timeout`` seconds; 0 never waits."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                wait = deadline - time.monotonic()
                item = self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait()
            except queue.Empty:
                return None
            # It may have been unsubscribed since it arrived.
            if isinstance(item, ConnectionChanged) or self._filters.match(item.topic):
                return item

    def pending(self) -> int:
        """How many published messages the broker has not acknowledged yet."""
        return len(self._outbox) + self._sent - self._acked

    def close(self) -> None:
        """Flush for at most ``FLUSH_S`` seconds, then disconnect cleanly: the will is not sent."""
        deadline = time.monotonic() + FLUSH_S
        while self._online and self.pending() and (left := deadline - time.monotonic()) > 0:
            self._acknowledged.clear()
            self._feed()
            if self.pending():
                self._acknowledged.wait(min(left, 0.1))
        self._stop_thread()

    def vanish(self) -> None:
        """Die without a goodbye, so that the broker publishes the will; for tests and simulated devices."""
        self._flowing = False
        self._shut_socket()
        self._stop_thread()

    # -- sending

    def _feed(self) -> None:
        """Hand paho what the window has room for; called by both threads.

        paho calls ``on_publish`` while it holds its own lock, so neither thread may wait here: whoever finds
        the other one feeding leaves it the work, and the feeder looks again after letting go.
        """
        while self._flowing and self._outbox and self._sent - self._acked < WINDOW:
            if not self._feeding.acquire(blocking=False):
                return
            try:
                while self._flowing and self._outbox and self._sent - self._acked < WINDOW:
                    self._sent += 1  # before it leaves the outbox, so that pending() never counts too few
                    topic, payload, retain = self._outbox.popleft()
                    info = self._client.publish(topic, payload, QOS, retain)
                    if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # 65,535 packet ids in use: next time
                        self._outbox.appendleft((topic, payload, retain))
                        self._sent -= 1
                        return
            finally:
                self._feeding.release()

    # -- paho's callbacks: they run in paho's thread

    def _on_pre_connect(self, client: Client, userdata: Any) -> None:
        self._thread = threading.current_thread()
        self._started.set()

    def _on_socket_open(self, client: Client, userdata: Any, sock: Any) -> None:
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self,
        client: Client,
        userdata: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refused = str(reason)
            self._answered.set()
            return
        self._inbox.put(ConnectionChanged(True))
        self._online = True
        for batch in _batches(self._filters.all()):
            client.subscribe([(topic_filter, QOS) for topic_filter in batch])
        # paho is about to send again what was unacknowledged. Until its first acknowledgement proves that
        # this has been done, nothing newer may overtake it.
        if self._sent == self._acked:
            self._flowing = True
            self._feed()
        self._answered.set()

    def _on_disconnect(
        self,
        client: Client,
        userdata: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._flowing = False
        if self._feeding.acquire(timeout=1.0):  # let a publish that is under way end before the reconnect
            self._feeding.release()
        if self._online:
            self._online = False
            self._inbox.put(ConnectionChanged(False, str(reason)))

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self.unrequested += 1
            return
        if self._filters.match(topic):
            self._inbox.put(Received(topic, bytes(message.payload), message.retain))
        elif not any(matches(former, topic) for former in tuple(self._former)):
            self.unrequested += 1

    def _on_publish(
        self, client: Client, userdata: Any, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._acked += 1
        self._flowing = self._online
        self._acknowledged.set()
        self._feed()

    def _on_subscribe(
        self,
        client: Client,
        userdata: Any,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        refused = sum(reason.is_failure for reason in reasons)
        if refused:
            _log.warning("the broker refused %d subscription(s) of %s", refused, self.client_id)

    # -- the end

    def _stop_thread(self) -> None:
        """Disconnect and end paho's thread, within a few seconds even when the broker is stuck.

        paho's ``loop_stop`` waits without a bound for unacknowledged messages, hence this. ``disconnect`` is
        repeated because a reconnect that is under way forgets it.
        """
        self._flowing = False
        thread, deadline = self._thread, time.monotonic() + 3.0
        self._client.disconnect()
        while thread is not None and thread.is_alive():
            thread.join(0.2)
            if thread.is_alive():
                if time.monotonic() > deadline:
                    self._shut_socket()
                    thread.join(1.0)
                    break
                self._client.disconnect()
        self._online = False

    def _shut_socket(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # already closed by the other side, or by paho


class _Filters:
    """The current subscriptions: changed by the caller's thread, matched by both.

    An agent that fetches a blob has hundreds of exact filters and a handful of wildcards.
    """

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._wild: tuple[str, ...] = ()  # replaced, never changed: the other thread may be reading it

    def add(self, *topic_filters: str) -> None:
        for topic_filter in topic_filters:
            if "+" not in topic_filter and "#" not in topic_filter:
                self._exact.add(topic_filter)
            elif topic_filter not in self._wild:
                self._wild = (*self._wild, topic_filter)

    def remove(self, topic_filter: str) -> None:
        self._exact.discard(topic_filter)
        self._wild = tuple(wild for wild in self._wild if wild != topic_filter)

    def match(self, topic: str) -> bool:
        return topic in self._exact or any(matches(wild, topic) for wild in self._wild)

    def all(self) -> list[str]:
        return [*self._wild, *self._exact.copy()]


def _batches(filters: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(filters), _SUBSCRIBE_BATCH):
        yield list(filters[start : start + _SUBSCRIBE_BATCH])


def parse_url(url: str) -> tuple[str, int, str | None, str | None]:
    """(host, port, user, password) of ``mqtt://[user:password@]host[:port]``; raises ``UsageError``."""
    fix = "write it as mqtt://host:port, for example mqtt://127.0.0.1:1883"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"the broker's URL cannot be read: {error}", fix=fix) from error
    # The URL may hold a password: it is never repeated in a message.
    if parts.scheme != "mqtt":
        raise UsageError("the broker's URL must begin with mqtt://", fix=fix)
    if not host or port == 0:
        raise UsageError("the broker's URL names no host" if not host else "port 0 is no port", fix=fix)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError("the broker's URL has something after host and port", fix=fix)
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return host, port or DEFAULT_PORT, user, password


def _check_message(topic: str, payload: bytes) -> None:
    # paho would raise in whichever thread hands it over: complain where the mistake was made
    if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic.encode()) > _MAX_TOPIC_BYTES:
        raise UsageError(f"not a topic that one can publish to: {topic[:80]!r}")
    if len(payload) > _MAX_PAYLOAD:
        raise UsageError(f"a payload of {len(payload)} bytes is more than MQTT's {_MAX_PAYLOAD}")


def _check_filter(topic_filter: str) -> None:
    levels = topic_filter.split("/")
    wild_alone = all(level in ("+", "#") or not set("+#") & set(level) for level in levels)
    if not topic_filter or "\0" in topic_filter or not wild_alone or "#" in levels[:-1]:
        raise UsageError(f"not an MQTT topic filter: {topic_filter[:80]!r}")
    if len(topic_filter.encode()) > _MAX_TOPIC_BYTES:
        raise UsageError(f"a topic filter of more than {_MAX_TOPIC_BYTES} bytes: {topic_filter[:80]!r}")
