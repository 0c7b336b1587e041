"""The lifecycle events that a device has still to send, numbered over all its models within one boot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from device_agent.update import MAX_REASON_BYTES
from edgeops.core.messages import Event


@dataclass
class Boot:
    """What is the same for all models of one start of the agent."""

    number: int
    events: int = 0

    def next_event(self) -> int:
        """The number of the next event."""
        self.events += 1
        return self.events


@dataclass
class Outbox:
    """The events of one model, in order, until somebody takes them."""

    boot: Boot
    model: str

    def __post_init__(self) -> None:
        self._events: deque[Event] = deque()

    def put(
        self,
        step: tuple[str, str, str],
        generation: int,
        manifest: bytes | None,
        reason: str | None,
        now_ms: int,
    ) -> None:
        """Add one; ``step`` is source, event and target. A reason is cut to what its field holds."""
        source, event, target = step
        fits = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore") if reason is not None else None
        self._events.append(
            Event(
                self.boot.number,
                self.boot.next_event(),
                self.model,
                generation,
                source,
                target,
                event,
                manifest,
                fits,
                now_ms,
            )
        )

    def take(self) -> Event | None:
        """The oldest, which is then gone; None where there is none."""
        return self._events.popleft() if self._events else None
