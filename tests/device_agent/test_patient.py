"""Connecting without standing still: the first attempt waits, the others are made in the background."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from device_agent import patient
from device_agent.patient import PatientTransport
from edgeops.core.errors import BrokerUnreachable
from edgeops.core.transport import MemoryBroker, Received


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient, "PAUSE_S", 0.02)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def connects(transport: PatientTransport) -> bool:
    try:
        transport.connect(9.0)
    except BrokerUnreachable:
        return False
    return True


def test_with_a_broker_it_is_the_transport_itself() -> None:
    broker = MemoryBroker()
    transport = PatientTransport(broker.client())
    transport.connect(1.0)
    transport.subscribe("a")
    transport.publish("a", b"1", retain=True)
    transport.receive(0.0)
    assert transport.receive(0.0) == Received("a", b"1")
    transport.unsubscribe("a")
    assert transport.pending() == 0
    transport.close()


def test_without_one_it_says_so_at_once_and_is_connected_when_it_comes() -> None:
    broker = MemoryBroker()
    broker.set_online(False)
    transport = PatientTransport(broker.client())
    assert not connects(transport)
    assert not connects(transport)
    transport.publish("a", b"1", retain=True)  # waits
    broker.set_online(True)
    wait_for(lambda: connects(transport))
    assert broker.retained == {"a": b"1"}
    transport.close()


def test_closing_ends_the_attempts() -> None:
    broker = MemoryBroker()
    broker.set_online(False)
    transport = PatientTransport(broker.client())
    assert not connects(transport)
    transport.close()
    thread = transport._thread
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
