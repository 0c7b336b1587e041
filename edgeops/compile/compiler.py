"""From a ``.tflite`` to its execution plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from edgeops.compile import placement, schedule
from edgeops.compile.elementwise import ELEMENTWISE
from edgeops.compile.emission import emit
from edgeops.compile.layers import LAYERS
from edgeops.compile.lowering import Lowerer, Lowering, Memory
from edgeops.compile.moves import MOVES
from edgeops.compile.network import read_network
from edgeops.compile.plan_format import MOST_BYTES, PlanType
from edgeops.compile.recurrent import RECURRENT
from edgeops.compile.refusals import not_compilable, unsupported
from edgeops.compile.steps import Buffer, Group, Step
from edgeops.tflite.graph import Tensor

_TYPES = {"int8": PlanType.INT8, "float32": PlanType.FLOAT32}
OPERATORS: Mapping[str, Lowerer] = {**LAYERS, **ELEMENTWISE, **MOVES, **RECURRENT}


@dataclass(frozen=True, slots=True)
class PlanTensor:
    """One end of a plan: ``at`` is its offset in the arena; scale and zero point are 0 for float32."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    at: int
    bytes: int


@dataclass(frozen=True)
class CompiledPlan:
    """An execution plan and what it needs.

    ``live_tensor_bytes`` is the largest sum of tensors that live at once in the order of the plan, those that share
    a place counted once: no arena can be smaller. ``ops`` counts the plan's records by name; ``weight_bytes`` are
    all constants, equal ones counted once.
    """

    plan: bytes
    arena_bytes: int
    live_tensor_bytes: int
    ops: dict[str, int]
    macs: int
    input: PlanTensor
    output: PlanTensor
    weight_bytes: int

    @property
    def plan_bytes(self) -> int:
        """The size of the plan, which stays in flash."""
        return len(self.plan)


def compile_plan(model: bytes) -> CompiledPlan:
    """The execution plan of a ``.tflite``; the same model gives the same bytes.

    Raises ``DataError`` for what is not a model, uses an operator or a type that plans do not have, or does not
    stand for one inference of a fixed shape.
    """
    network = read_network(model)
    memory = Memory(network)
    groups: list[Group] = []
    for node in network.nodes:
        if node.name not in OPERATORS:
            raise unsupported(node.name)
        groups.append(OPERATORS[node.name](Lowering(node, network, memory)))
    first, last = memory.of(network.input), memory.of(network.output)
    steps = [step for group in schedule.best_order(groups, first, last) for step in group]
    lives = schedule.lifetimes(steps, first, last)
    kept = _kept(steps)
    state_bytes = sum(placement.aligned(buffer.bytes) for buffer in kept)
    placed = placement.place(lives)
    places = _places(kept, lives, placed, state_bytes)
    arena = state_bytes + placed.bytes
    if arena > MOST_BYTES:
        raise not_compilable(f"its arena has {arena:,} bytes", "make its inputs or layers smaller")
    ends = {"input": network.input, "output": network.output}
    tensors = {
        name: _plan_tensor(network.tensors[index], places[memory.of(index)]) for name, index in ends.items()
    }
    macs = sum(step.macs for step in steps)
    header: dict[str, object] = {"arena_bytes": arena, "state_bytes": state_bytes, "macs": macs}
    for name, tensor in tensors.items():
        header |= {
            f"{name}.at": tensor.at,
            f"{name}.bytes": tensor.bytes,
            f"{name}.scale": tensor.scale,
            f"{name}.zero_point": tensor.zero_point,
            f"{name}.type": int(_TYPES[tensor.dtype]),
        }
    resets = [(places[buffer], buffer.bytes, buffer.reset or 0) for buffer in kept]
    plan = emit(steps, places, header, resets)
    constants = {content for step in steps for content in step.constants.values()}
    return CompiledPlan(
        plan=plan,
        arena_bytes=arena,
        live_tensor_bytes=schedule.peak(lives) + sum(buffer.bytes for buffer in kept),
        ops=dict(Counter(step.code.name for step in steps)),
        macs=macs,
        input=tensors["input"],
        output=tensors["output"],
        weight_bytes=sum(map(len, constants)),
    )


def _kept(steps: list[Step]) -> list[Buffer]:
    """The buffers that keep their values, each once."""
    found: dict[Buffer, None] = {}
    for step in steps:
        found.update((buffer, None) for buffer in step.reads if buffer.reset is not None)
    return list(found)


def _places(
    kept: list[Buffer], lives: list[schedule.Lifetime], placed: placement.Placement, state_bytes: int
) -> dict[Buffer, int]:
    places: dict[Buffer, int] = {}
    at = 0
    for buffer in kept:
        places[buffer] = at
        at += placement.aligned(buffer.bytes)
    for life, offset in zip(lives, placed.offsets, strict=True):
        places.update((buffer, state_bytes + offset) for buffer in life.buffers)
    return places


def _plan_tensor(tensor: Tensor, at: int) -> PlanTensor:
    if tensor.dtype == "int8" and not (math.isfinite(tensor.scale) and tensor.scale > 0):
        raise not_compilable("its input or output has no scale", "quantize the model again, with int8")
    quantized = (tensor.scale, tensor.zero_point) if tensor.dtype == "int8" else (0.0, 0)
    return PlanTensor(tensor.shape, tensor.dtype, *quantized, at, tensor.bytes)
