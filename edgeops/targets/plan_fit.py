"""What a model takes as an execution plan: exact, since the plan is compiled and the code that runs it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgeops.compile import CompiledPlan, compile_plan
from edgeops.core.errors import DataError
from edgeops.targets.catalogue import Target
from edgeops.targets.latency import LatencyRange
from edgeops.targets.plan_code import RuntimeCode, built_with, runtime_code
from edgeops.targets.plan_speed import latency_of_plan


class NoPlan(Exception):
    """A model that cannot be compiled; ``operators`` are those that plans do not have."""

    def __init__(self, message: str, operators: tuple[str, ...]) -> None:
        super().__init__(message)
        self.operators = operators


@dataclass(frozen=True)
class PlanNeeds:
    """A plan's size, the arena that it runs in, and the code beside it, in bytes.

    ``live_tensor_bytes`` is the largest sum of tensors that live at once, which no arena can be below where nothing
    is computed in place. ``operators`` are the plan's own, with their number. ``latency`` is empty where nothing is
    known of the core.
    """

    plan_bytes: int
    arena_bytes: int
    live_tensor_bytes: int
    operators: Mapping[str, int]
    code: RuntimeCode
    latency: tuple[LatencyRange, ...] = ()

    @property
    def flash_bytes(self) -> int:
        """The plan, and the runtime with the kernels that it names."""
        return self.plan_bytes + self.code.runtime_bytes

    def document(self) -> dict[str, Any]:
        """The same as a dictionary for JSON."""
        return {
            "plan_bytes": self.plan_bytes,
            "live_tensor_bytes": self.live_tensor_bytes,
            "ops": dict(self.operators),
            "runtime_code_bytes": self.code.runtime_bytes,
            "stack_bytes": self.code.stack_bytes,
            "code_source": self.code.source,
            "built_with": built_with(),
            "agent_flash_bytes": self.code.agent_flash_bytes,
            "agent_ram_bytes": self.code.agent_ram_bytes,
            "agent_source": self.code.agent_source,
        }


def plan_needs(model: bytes, target: Target) -> PlanNeeds:
    """What a ``.tflite`` takes on ``target`` as a plan; raises ``NoPlan`` for one that cannot be compiled."""
    made = _compiled(model)
    if isinstance(made, DataError):
        found = made.fields.get("operators") or made.fields.get("operator") or ()
        names = (found,) if isinstance(found, str) else tuple(str(name) for name in found)  # type: ignore[attr-defined]
        raise NoPlan(made.message, names)
    code = runtime_code(target, made.ops)
    latency = tuple(latency_of_plan(made.plan, target))
    return PlanNeeds(made.plan_bytes, made.arena_bytes, made.live_tensor_bytes, made.ops, code, latency)


@lru_cache(maxsize=4)
def _compiled(model: bytes) -> CompiledPlan | DataError:
    """The plan, or why there is none; kept, since one model is checked against several targets."""
    try:
        return compile_plan(model)
    except DataError as error:
        return error
