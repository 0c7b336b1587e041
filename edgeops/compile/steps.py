"""What a plan is made of before anything has a place: buffers, and steps that read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeops.compile.plan_format import OpCode, OpFlag

NO_FLAGS = OpFlag(0)


@dataclass(eq=False, slots=True)
class Buffer:
    """Activation memory of ``bytes``. A buffer with a ``reset`` keeps its values between inferences.

    ``reset`` is the byte that each of its bytes begins as.
    """

    bytes: int
    reset: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One op record. ``fields`` are those of its structure that are no places.

    ``constants`` are the bytes that a field names the place of; ``input`` and ``other`` may be such fields. ``skip``
    are bytes into a buffer, by field. ``in_place`` are buffers whose place the output may take.
    """

    code: OpCode
    output: Buffer
    input: Buffer | None = None
    other: Buffer | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    constants: Mapping[str, bytes] = field(default_factory=dict)
    skip: Mapping[str, int] = field(default_factory=dict)
    buffers: Mapping[str, Buffer] = field(default_factory=dict)
    flags: OpFlag = NO_FLAGS
    in_place: tuple[Buffer, ...] = ()
    macs: int = 0

    @property
    def reads(self) -> tuple[Buffer, ...]:
        """The buffers that it reads."""
        return tuple(
            buffer for buffer in (self.input, self.other, *self.buffers.values()) if buffer is not None
        )


# the steps of one operator, which stay together
Group = tuple[Step, ...]
