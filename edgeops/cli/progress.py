"""Progress: a bar on a terminal, a plain line at most every ten seconds elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any

PLAIN_EVERY_S = 10.0


def animated() -> bool:
    """Whether bars may be drawn."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("EDGEOPS_PLAIN")


class Progress:
    """``with Progress("train", 20) as p: p.update(3, "loss 0.2")``; numbers, bar and estimate."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._bar: Any = None
        self._task: Any = None
        self._told_at = time.monotonic()

    def __enter__(self) -> Progress:
        """Begin; nothing is drawn before the first update, so that what fails at once leaves no bar."""
        return self

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description:<12}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._total, note="")

    def resize(self, total: int) -> None:
        """The total became known."""
        if total != self._total:
            self._total = total
            if self._bar is not None:
                self._bar.update(self._task, total=total)

    def update(self, done: int, note: str = "") -> None:
        """So much is done."""
        if self._bar is None and animated():
            self._draw()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
        elif time.monotonic() - self._told_at >= PLAIN_EVERY_S:
            self._told_at = time.monotonic()
            print(f"{self._title}: {done} of {self._total}  {note}".rstrip(), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, leaving no broken line."""
        if self._bar is not None:
            self._bar.stop()
