"""The stages of a rollout: ``1,5%,25%,100%``. A count or a share of the devices that are selected at the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeops.core.errors import UsageError

FIX = "--stages 1,5%,25%,100%"
MAX_STAGES = 32


@dataclass(frozen=True, slots=True)
class Stage:
    """So many devices in all, together with the stages before it: a count, or a share of them in per cent."""

    amount: int
    percent: bool

    def devices(self, selected: int) -> int:
        """How many of the selected devices may have the version in this stage; a share is rounded up."""
        return min(selected, -(-selected * self.amount // 100) if self.percent else self.amount)

    def __str__(self) -> str:
        """As it is written: ``5%`` or ``1``."""
        return f"{self.amount}%" if self.percent else str(self.amount)


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Comma-separated counts and shares; raises ``UsageError`` unless they ascend and end with 100%."""
    stages = tuple(_stage(part.strip(), text) for part in text.split(","))
    if len(stages) > MAX_STAGES:
        raise UsageError(f"{len(stages)} stages, where {MAX_STAGES} are allowed", fix=FIX)
    for kind in (False, True):
        amounts = [stage.amount for stage in stages if stage.percent is kind]
        if amounts != sorted(set(amounts)):
            raise UsageError(f"stages {text!r} do not ascend", fix=FIX, stages=text)
    if [stage.percent for stage in stages] != sorted(stage.percent for stage in stages):
        raise UsageError(f"stages {text!r}: counts come before shares", fix=FIX, stages=text)
    if str(stages[-1]) != "100%":
        raise UsageError(f"stages {text!r} do not end with 100%", fix=FIX, stages=text)
    return stages


def words(stages: Sequence[Stage]) -> str:
    """``1, 5%, 100%``."""
    return ", ".join(map(str, stages))


def _stage(part: str, text: str) -> Stage:
    number = part.removesuffix("%").rstrip()
    if not (number.isascii() and number.isdecimal()) or not 0 < int(number) <= 10_000_000:
        raise UsageError(f"stages {text!r}: {part!r} is neither a count nor a share", fix=FIX, stages=text)
    if part.endswith("%") and int(number) > 100:
        raise UsageError(f"stages {text!r}: {part} is more than all devices", fix=FIX, stages=text)
    return Stage(int(number), part.endswith("%"))
