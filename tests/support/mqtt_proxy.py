"""A TCP proxy before an MQTT 3.1.1 broker that makes a bad network: seeded, and aware of packets.

It delays, cuts connections, sends PUBLISH packets of QoS 1 twice (the second with DUP), changes the order of chunks,
and alters or enlarges their payloads. All of it runs in one thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

PUBLISH = 3
DUP = 0x08
QOS = 0x06
LAST_REORDERED_S = 0.05


@dataclass
class Faults:
    """How often (0..1) each thing happens to a packet; ``delay_s`` is the longest pause before one."""

    delay_s: float = 0.0
    cut: float = 0.0
    twice: float = 0.0
    swap: float = 0.0
    corrupt: float = 0.0
    enlarge: float = 0.0


@dataclass
class Packet:
    """One MQTT packet: its first byte, and what follows the length."""

    head: int
    body: bytes

    @property
    def kind(self) -> int:
        """The packet type of MQTT."""
        return self.head >> 4

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        (length,) = struct.unpack_from("!H", self.body)
        return self.body[2 : 2 + length].decode()

    @property
    def is_chunk(self) -> bool:
        """Whether it carries a chunk of a blob, or clears one."""
        return self.kind == PUBLISH and "/blob/" in self.topic

    def split(self) -> tuple[bytes, bytes]:
        """A PUBLISH's topic with its packet id, and its payload."""
        (length,) = struct.unpack_from("!H", self.body)
        at = 2 + length + (2 if self.head & QOS else 0)
        return self.body[:at], self.body[at:]

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        left, length = len(self.body), bytearray()
        while True:
            left, digit = left >> 7, left & 0x7F
            length.append(digit | (0x80 if left else 0))
            if not left:
                return bytes([self.head]) + bytes(length) + self.body


@dataclass
class MqttProxy:
    """The proxy, as a context manager; ``faults`` may be changed while it runs, ``done`` counts what it did."""

    port: int
    seed: int = 1
    faults: Faults = field(default_factory=Faults)
    done: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> MqttProxy:
        """Listen on a free port."""
        self._random = random.Random(self.seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mqtt-proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection, and end."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self, share: float = 1.0) -> None:
        """Cut a share of the connections, without a goodbye."""

        async def cut() -> None:
            for writer in sorted(self._writers, key=id):
                if self._random.random() < share:
                    self._cut(writer)

        self._run(cut())

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        if not writer.is_closing():
            self.done["cut"] += 1
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers.add(writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass packets on in one direction until either side has gone."""
        held: Packet | None = None
        reading: asyncio.Task[Packet] | None = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                reading = reading or asyncio.ensure_future(_read(reader))
                if held is not None:
                    await asyncio.wait([reading], timeout=LAST_REORDERED_S)
                    if not reading.done():  # nothing follows that could overtake it
                        await self._send(held, writer)
                        held = None
                        continue
                packet, reading = await reading, None
                if held is None and packet.is_chunk and self._happens("swap", self.faults.swap):
                    held = packet
                    continue
                await self._send(packet, writer)
                if held is not None:
                    await self._send(held, writer)
                    held = None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        writer.transport.abort()

    async def _send(self, packet: Packet, writer: asyncio.StreamWriter) -> None:
        faults = self.faults
        if faults.delay_s:
            await asyncio.sleep(self._random.random() * faults.delay_s)
        if packet.is_chunk:
            if self._happens("cut", faults.cut):
                writer.transport.abort()
                return
            packet = self._spoilt(packet)
        writer.write(packet.encoded())
        if packet.kind == PUBLISH and packet.head & QOS == 0x02 and self._happens("twice", faults.twice):
            writer.write(Packet(packet.head | DUP, packet.body).encoded())
        await writer.drain()

    def _spoilt(self, packet: Packet) -> Packet:
        before, payload = packet.split()
        if payload and self._happens("corrupt", self.faults.corrupt):
            at = self._random.randrange(len(payload))
            payload = payload[:at] + bytes([payload[at] ^ 0x55]) + payload[at + 1 :]
        if payload and self._happens("enlarge", self.faults.enlarge):
            payload += self._random.randbytes(self._random.randrange(1, 100_000))
        return Packet(packet.head, before + payload)

    def _happens(self, what: str, share: float) -> bool:
        happens = self._random.random() < share
        self.done[what] += happens
        return happens


async def _read(reader: asyncio.StreamReader) -> Packet:
    head = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return Packet(head, await reader.readexactly(length))
