"""Blobs over HTTPS, where the broker does not deliver: a worker reads, the agent takes pieces from a queue.

What comes is believed no more than what the broker sends: each piece is verified by its chunk's digest. Only https is
spoken, http with this host itself; redirects are few and held to the same rule; no more is read than the blob has.
"""

from __future__ import annotations

import http.client
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from device_agent.blob_fetch import Chunk, Lack

if TYPE_CHECKING:
    import urllib.request

TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Piece = tuple[Chunk, bytes]


class WebSource:
    """Fetches one blob at a time from the first of ``addresses`` that serves it, as ``<address>/<sha256 hex>``.

    ``depth`` bounds how many pieces wait to be taken: the worker reads no further meanwhile.
    """

    def __init__(self, addresses: Sequence[str], depth: int, timeout_s: float = TIMEOUT_S) -> None:
        self._addresses = tuple(addresses)
        self._pieces: queue.Queue[Piece] = queue.Queue(depth)
        self._timeout = timeout_s
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._problems: list[str] = []

    def renewed(self) -> WebSource:
        """Another for the same addresses, after this one was closed."""
        return WebSource(self._addresses, self._pieces.maxsize, self._timeout)

    @property
    def busy(self) -> bool:
        """Whether a fetch is going on, or pieces of it wait."""
        return (self._worker is not None and self._worker.is_alive()) or not self._pieces.empty()

    @property
    def problem(self) -> str | None:
        """Why the last fetch brought nothing from each address, or None when one served it."""
        return "; ".join(self._problems) if self._problems else None

    def start(self, lack: Lack, limit: int) -> None:
        """Begin to fetch what is missing, at most ``limit`` bytes; call it when not ``busy``."""
        self._problems = []
        self._worker = threading.Thread(target=self._work, args=(lack, limit), name="web source", daemon=True)
        self._worker.start()

    def take(self) -> Iterator[Piece]:
        """The pieces that came since; never waits."""
        while True:
            try:
                yield self._pieces.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """Stop reading; a worker that waits for a server ends with its timeout."""
        self._stop.set()

    def _work(self, lack: Lack, limit: int) -> None:
        problems = []
        for address in self._addresses:
            try:
                self._read(f"{address.rstrip('/')}/{lack.blob}", lack, limit)
            except (OSError, ValueError, http.client.HTTPException) as error:  # URLError is an OSError
                problems.append(f"{address}: {error}")
                continue
            return
        self._problems = problems or ["there is no address"]

    def _read(self, address: str, lack: Lack, limit: int) -> None:
        import urllib.request  # costs a device TLS and more to load: only where it is needed

        check_address(address)
        offset = lack.first * lack.chunk_bytes
        headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity", "User-Agent": "edgeops-device"}
        request = urllib.request.Request(address, headers=headers)
        with closing(_opener().open(request, timeout=self._timeout)) as response:
            index = lack.first
            if response.status != http.client.PARTIAL_CONTENT:
                index = 0  # the server does not know ranges: from the start
            elif not str(response.headers.get("Content-Range", "")).startswith(f"bytes {offset}-"):
                raise ValueError("the server sent another range than it was asked for")
            announced = response.headers.get("Content-Length")
            if announced is not None and int(announced) != lack.size - index * lack.chunk_bytes:
                raise ValueError(
                    f"{announced} bytes where {lack.size - index * lack.chunk_bytes} are missing"
                )
            left = lack.size - index * lack.chunk_bytes
            if left > limit:
                left = limit // lack.chunk_bytes * lack.chunk_bytes
            while left > 0 and not self._stop.is_set():
                wanted = min(lack.chunk_bytes, left)
                data = response.read(wanted)
                if len(data) != wanted:
                    raise ValueError("the answer ended too early")
                self._hand_over(((lack.blob, index), data))
                left -= wanted
                index += 1

    def _hand_over(self, piece: Piece) -> None:
        while not self._stop.is_set():
            try:
                self._pieces.put(piece, timeout=0.2)
            except queue.Full:
                continue
            return


def check_address(address: str) -> None:
    """Raises ``ValueError`` for an address that is not https, nor http on this host."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    raise ValueError("only https addresses are fetched from, or http on this host")


def _opener() -> urllib.request.OpenerDirector:
    import urllib.request

    class FewRedirects(urllib.request.HTTPRedirectHandler):
        max_redirections = MAX_REDIRECTS

        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            check_address(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return urllib.request.build_opener(FewRedirects)
