"""Where the trials of a search run: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection

from edgeops.core.errors import MissingExtra, UnreachableError, UsageError

_CONNECT_S = 10
# distributed itself does not get over an address without a port
_ADDRESS = re.compile(r"inproc://.+|([a-z]+://)?[^/\s]+:\d+/?")


@dataclass(frozen=True)
class Workers:
    """An executor and how many trials it runs at the same time."""

    executor: Executor
    count: int


@contextmanager
def local_workers(count: int) -> Iterator[Workers]:
    """``count`` processes of their own; they end with the block, at once where it ends with an exception."""
    others = {child.pid for child in multiprocessing.active_children()}
    # TensorFlow does not survive a fork
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=start_worker)
    try:
        yield Workers(executor, count)
    except BaseException:
        # a trial takes minutes: what is not finished will be done again
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child.pid not in others:
                child.terminate()
        raise
    executor.shutdown()


def start_worker() -> None:
    """Ctrl-C is the parent's to answer, stdout is the parent's to write, and no worker outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def dask_workers(address: str) -> Iterator[Workers]:
    """The workers of a Dask cluster, one trial each; raises ``UnreachableError`` where there is none.

    They need the same version of EdgeOps, and the workspace at the same path. Raises ``UsageError`` for what
    is no address, ``MissingExtra`` without distributed.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"{address!r} is no address of a Dask scheduler", fix="--dask tcp://HOST:8786")
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtra(
            "a Dask cluster needs distributed", fix='pip install "edgeops[dask]"', extra="dask"
        ) from error
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"no Dask scheduler answers at {address}: {error}",
            fix="start one with dask scheduler, or go without --dask",
            address=address,
        ) from error
    with client:
        count = len(client.nthreads())
        if count == 0:
            raise UnreachableError(
                f"the Dask scheduler at {address} has no workers",
                fix=f"dask worker {address} --nthreads 1",
                address=address,
            )
        yield Workers(client.get_executor(pure=False), count)
