"""What a broker announces about itself: one short MQTT 5 connection, beside the ones of MQTT 3.1.1."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgeops.core.errors import BrokerUnreachable
from edgeops.mqtt import parse_url


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """``packet_bytes``: the longest packet that the broker takes; ``retains``: whether it keeps retained messages.

    None where it does not say, as brokers do that only know MQTT 3.1.1.
    """

    packet_bytes: int | None = None
    retains: bool | None = None


def broker_limits(url: str, timeout: float) -> BrokerLimits:
    """Ask the broker at ``url`` for its limits, waiting at most ``timeout`` seconds.

    Raises ``UsageError`` for a URL that is none and ``BrokerUnreachable`` where nobody listens. A broker that
    refuses, hangs up or stays silent says nothing about itself: that is no error here.
    """
    host, port, user, password = parse_url(url)
    answered = threading.Event()
    announced: list[BrokerLimits] = []

    def on_connect(
        client: Client, userdata: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            # MQTT 5, 3.2.2.3: what a broker leaves out is unlimited or available
            packet_bytes = getattr(properties, "MaximumPacketSize", None)
            announced.append(BrokerLimits(packet_bytes, bool(getattr(properties, "RetainAvailable", 1))))
        answered.set()

    def on_disconnect(
        client: Client,
        userdata: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        answered.set()

    name = f"edgeops-limits-{uuid.uuid4().hex[:8]}"
    client = Client(
        CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
    )
    if user is not None:
        client.username_pw_set(user, password)
    client.on_connect, client.on_disconnect = on_connect, on_disconnect
    client.connect_timeout = max(0.1, timeout)
    try:
        client.connect(host, port)
    except OSError as error:
        raise BrokerUnreachable(
            f"no MQTT broker answered at {host}:{port}: {error.strerror or error}",
            fix=f"start one: edgeops broker run --port {port}",
            broker=f"{host}:{port}",
        ) from error
    client.loop_start()
    answered.wait(timeout)
    client.disconnect()
    client.loop_stop()
    return announced[0] if announced else BrokerLimits()
