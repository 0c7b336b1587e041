"""``python -m edgeops.control.embedded_broker --port N``: amqtt on loopback, for demos without Mosquitto.

amqtt 0.12 is corrected here, behind our own seam, where a small fleet would notice:

* at every connect it sends a client the retained messages that match anybody's subscriptions
  (``ExactBroker._publish_retained_messages_for_subscription``); while it sends those that were asked for,
  it leaves everything else of that client waiting for the acknowledgements;
* a client that falls silent is never noticed: the keep-alive has no effect and the will is not sent
  (``ExactHandler.handle_read_timeout``, ``ExactBroker._initialize_client_session``);
* a client that comes back under the same id leaves its old connection open, whose will then overwrites
  what the new one says about itself (``ExactBroker._delete_session``), and the sweep that removes old
  sessions may remove the new one (``ExactBroker._cleanup_session``);
* stopping a connection, and so the broker, hangs for good when a packet comes at that moment (Python
  before 3.12; ``ExactHandler.stop``);
* a client that publishes and disconnects loses what was acknowledged and not yet passed on (from Python
  3.12: 299 messages of 300; ``ExactHandler.wait_disconnect``);
* SUBSCRIBE overtakes UNSUBSCRIBE, so that taking a filter back and asking for it anew ends without it, and
  PUBLISH overtakes SUBSCRIBE, so that a client misses what it sends itself (from Python 3.12, each time;
  ``ExactHandler.handle_subscribe``, ``handle_unsubscribe``, ``handle_publish``).

What it still cannot do: it delivers nothing from persistent sessions, does not send unacknowledged QoS 1
messages again, and forgets everything (retained messages too) when it stops. Mosquitto does all of that.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import signal
from collections.abc import Sequence
from typing import Any

import amqtt.broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler

HOST = "127.0.0.1"
_TAKEOVER_S = 1.0
_SHUTDOWN_S = 1.0


class ExactHandler(BrokerProtocolHandler):
    """amqtt's handler of one connection, with its order and its keep-alive corrected."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._one_request = asyncio.Lock()

    async def stop(self) -> None:
        """End the reader and close the connection."""
        reader = self._reader_task
        if reader is not None and reader is not asyncio.current_task():
            # Before Python 3.12, wait_for may swallow a cancellation when a packet comes at that moment.
            while not reader.done() and not self._reader_stopped.is_set():
                reader.cancel()
                await asyncio.wait([reader], timeout=0.05)
        await super().stop()

    async def wait_disconnect(self) -> Any:
        """Wait for the end of the connection, and until everything received before it is passed on."""
        ending = await super().wait_disconnect()
        while self.session is not None and not self.session.delivered_message_queue.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return ending

    def handle_read_timeout(self) -> None:
        """A silent client is gone: end its connection, so that its will is sent."""
        self._farewell = asyncio.ensure_future(self.handle_connection_closed())

    async def handle_publish(self, publish_packet: Any) -> None:
        """Take a PUBLISH once the requests before it are acknowledged: it may be for the sender itself."""
        async with self._one_request:
            pass  # asyncio's lock is fair, so this is the sender's order
        await super().handle_publish(publish_packet)

    async def handle_subscribe(self, subscribe: Any) -> None:
        """Queue a SUBSCRIBE once the request before it is acknowledged."""
        await self._one_request.acquire()
        await super().handle_subscribe(subscribe)

    async def handle_unsubscribe(self, unsubscribe: Any) -> None:
        """Queue an UNSUBSCRIBE once the request before it is acknowledged."""
        await self._one_request.acquire()
        await super().handle_unsubscribe(unsubscribe)

    async def mqtt_acknowledge_subscription(self, packet_id: int, return_codes: list[int]) -> None:
        """Acknowledge, and let the next request in."""
        await super().mqtt_acknowledge_subscription(packet_id, return_codes)
        self._one_request.release()

    async def mqtt_acknowledge_unsubscription(self, packet_id: int) -> None:
        """Acknowledge, and let the next request in."""
        await super().mqtt_acknowledge_unsubscription(packet_id)
        self._one_request.release()


class ExactBroker(amqtt.broker.Broker):
    """amqtt's broker, with the faults corrected that this module's docstring lists."""

    def __init__(self, port: int) -> None:
        self._closing = False
        super().__init__(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
                },
            }
        )

    async def shutdown(self) -> None:
        """Stop the broker; closes every connection."""
        self._closing = True
        for server in self._servers.values():
            server.instance.close()  # first of all, or who reconnects meanwhile keeps the shutdown waiting
        await super().shutdown()

    async def _initialize_client_session(self, *args: Any) -> Any:
        handler, session = await super()._initialize_client_session(*args)
        session.keep_alive = math.ceil(session.keep_alive * 1.5)  # MQTT-3.1.2-24; 0 stays "never"
        return handler, session

    async def _delete_session(self, client_id: str) -> None:
        session, handler = self._sessions.get(client_id, (None, None))
        if session is not None and handler is not None and session.transitions.state == "connected":
            await handler.handle_connection_closed()
            deadline = asyncio.get_running_loop().time() + _TAKEOVER_S
            while session.transitions.state == "connected" and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.005)
        await super()._delete_session(client_id)

    async def _cleanup_session(self, client_id: str) -> None:
        session = self._sessions.get(client_id, (None, None))[0]
        if self._closing or session is None or session.transitions.state == "disconnected":
            await super()._cleanup_session(client_id)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Any
    ) -> None:
        # Must not pause before it returns: at a connect, amqtt calls it in a loop over _subscriptions.
        topic_filter, qos = subscription
        handler = self._get_handler(session)
        subscribers = self._subscriptions.get(topic_filter, ())
        if handler is None or all(other.client_id != session.client_id for other, _ in subscribers):
            return
        if "+" in topic_filter or "#" in topic_filter:
            found = [m for topic, m in self._retained_messages.items() if self._matches(topic, topic_filter)]
        else:
            message = self._retained_messages.get(topic_filter)
            found = [] if message is None else [message]
        for message in found:
            sending = handler.mqtt_publish(
                message.topic, message.data, min(qos, message.qos or qos), retain=True
            )
            # the broadcast loop looks after the tasks in this queue, and cancels them at shutdown
            self._tasks_queue.append(asyncio.ensure_future(sending))


# amqtt makes its handlers by this name and offers no other way in; this process runs no other broker.
amqtt.broker.BrokerProtocolHandler = ExactHandler


async def serve(port: int) -> None:
    """Run the broker on ``HOST`` and ``port`` until SIGTERM or SIGINT; raises amqtt's ``BrokerError``."""
    broker = ExactBroker(port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await broker.start()
    await stop.wait()
    try:
        # Nothing is stored, so there is nothing to lose by giving up on a connection that does not end.
        await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_S)
    except TimeoutError:
        logging.getLogger(__name__).error("gave up waiting for connections to end")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse ``--port`` and serve."""
    parser = argparse.ArgumentParser("python -m edgeops.control.embedded_broker", description=main.__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(serve(arguments.port))


if __name__ == "__main__":
    main()
