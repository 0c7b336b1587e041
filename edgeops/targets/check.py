"""Whether a model fits a target: memory measured, code and latency estimated, and the reasons when it does not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edgeops.core.errors import UsageError
from edgeops.targets.arena import Arena, on_device
from edgeops.targets.catalogue import RUNTIMES, Target
from edgeops.targets.flash import runtime_code_bytes
from edgeops.targets.latency import RUNTIME_KERNELS, LatencyRange, estimate
from edgeops.targets.measure import RuntimeRefuses, measure_allocations, with_usual_scales
from edgeops.targets.ops import operator_counts, parameter_count, work_of
from edgeops.targets.plan_fit import NoPlan, PlanNeeds, plan_needs
from edgeops.tflite.flatbuffer import read_graph
from edgeops.tflite.graph import Graph
from edgeops.tflite.operators import MICRO_OPERATORS, is_custom

# stack, interpreter object and operator resolver of a TensorFlow Lite Micro program, beside the arena
PROGRAM_RAM = 4_096
# what the package ai-edge-litert takes on disk, and a Python process with it in memory
LITERT_FLASH = 62_000_000
LITERT_RAM = 64_000_000

CALCULATED = "calculated from the tensors that live at once"
NOT_MEASURED = "not measured"
PLANNED = "exact: laid out when the plan is compiled"
NOT_COMPILED = "not compiled"
_NAMED = 12


@dataclass(frozen=True)
class FitReport:
    """The answer for one model and one target. All sizes in bytes, latencies in milliseconds.

    ``flash_bytes`` is 0 for a model that cannot be compiled to a plan: nobody knows how large it would be.
    ``arena_bytes`` is None where the runtime refuses the model. ``latency_ms`` spans the sets of kernels that
    the target's runtime can be built with; ``kernels`` has each, and others for comparison. Under ``plan`` there
    is one set, none where nothing is known of the core, and ``plan`` says what flash and RAM are made of.
    """

    target: Target
    runtime: str
    fits: bool
    reasons: tuple[str, ...]
    model_bytes: int
    flash_bytes: int
    arena_bytes: int | None
    arena_source: str
    ram_bytes: int | None
    cmsis_nn_scratch_bytes: int
    macs: int
    parameters: int
    ops: dict[str, int]
    unsupported_ops: tuple[str, ...]
    latency_ms: dict[str, float]
    kernels: tuple[LatencyRange, ...]
    arena: Arena | None
    plan: PlanNeeds | None = None

    def document(self) -> dict[str, Any]:
        """The same as a dictionary for JSON."""
        return {
            "fits": self.fits,
            "reasons": list(self.reasons),
            "flash_bytes": self.flash_bytes or None,
            "arena_bytes": self.arena_bytes,
            "macs": self.macs,
            "ops": self.ops,
            "unsupported_ops": list(self.unsupported_ops),
            "latency_ms": self.latency_ms,
            "target": self.target.name,
            "runtime": self.runtime,
            "model_bytes": self.model_bytes,
            "parameters": self.parameters,
            "arena_source": self.arena_source,
            "arena_parts": None if self.arena is None else _parts(self.arena),
            "ram_bytes": self.ram_bytes,
            "cmsis_nn_scratch_bytes": self.cmsis_nn_scratch_bytes,
            "plan": None if self.plan is None else self.plan.document(),
            "latency_by_kernels": [
                {
                    "kernels": k.kernels,
                    "low": _ms(k.low),
                    "high": _ms(k.high),
                    "basis": k.basis,
                    "source": k.source,
                }
                for k in self.kernels
            ],
            "available": {
                "flash_bytes": self.target.flash_bytes,
                "ram_bytes": self.target.ram_bytes,
                "arena_ram_bytes": self.target.arena_ram_bytes,
            },
        }


def check_fit(
    model: bytes, target: Target, runtime: str | None = None, *, with_agent: bool = False
) -> FitReport:
    """Whether ``model``, a ``.tflite`` file, fits ``target`` under its runtime, or under ``runtime``.

    Under TensorFlow Lite Micro (``tflm``) the arena is measured in a process of its own; it fits when the
    program with the model fits the flash, the arena with what it takes to start lies in one piece of RAM, the
    chip has that and the program's own RAM, and every operator exists. Under ``plan`` the model is compiled, which
    gives its arena and its bytes in flash exactly; ``with_agent`` counts the agent in C beside it. Under ``linux``
    (LiteRT) the memory is calculated. Raises ``DataError`` for bytes that are not a model, ``MissingExtra`` where the
    interpreter that measures is not installed, ``UsageError`` for a runtime that the target does not have.
    """
    runtime = _runtime(target, runtime)
    graph = read_graph(model)
    work, counts = work_of(graph), operator_counts(graph)
    if runtime == "plan":
        needs = _needs_of_plan(model, target, with_agent)
    elif runtime == "linux":
        needs = _needs_on_linux(model, graph, counts)
    else:
        needs = _needs_of_tflm(model, graph, counts)
    if runtime == "plan":
        kernels = () if needs.plan is None else needs.plan.latency
    else:
        kernels = tuple(estimate(work, target))
    ram = None if needs.arena_bytes is None else needs.start_bytes + needs.program_bytes
    reasons = (*needs.reasons, *_size_reasons(target, needs.flash_bytes, needs.start_bytes, ram))
    return FitReport(
        target=target,
        runtime=runtime,
        fits=not reasons,
        reasons=reasons,
        model_bytes=len(model),
        flash_bytes=needs.flash_bytes,
        arena_bytes=needs.arena_bytes,
        arena_source=needs.source,
        ram_bytes=ram,
        cmsis_nn_scratch_bytes=_cmsis_scratch(graph, target) if runtime == "tflm" else 0,
        macs=work.macs,
        parameters=parameter_count(graph),
        ops=counts,
        unsupported_ops=needs.unsupported,
        latency_ms=_span(kernels, target),
        kernels=kernels,
        arena=needs.arena,
        plan=needs.plan,
    )


@dataclass(frozen=True)
class _Needs:
    """What a model takes under one runtime; ``start_bytes`` is the arena with what it takes to start."""

    arena_bytes: int | None
    start_bytes: int
    source: str
    flash_bytes: int
    program_bytes: int
    unsupported: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    arena: Arena | None = None
    plan: PlanNeeds | None = None


def _needs_of_tflm(model: bytes, graph: Graph, counts: dict[str, int]) -> _Needs:
    unsupported = tuple(sorted(name for name in counts if name not in MICRO_OPERATORS))
    arena, refusal = (None, None) if unsupported else _measured(model)
    reasons = (
        *_operator_reasons(unsupported, "TensorFlow Lite Micro"),
        *([f"TensorFlow Lite Micro cannot run it: {refusal}"] if refusal else []),
    )
    flash = len(model) + runtime_code_bytes(graph)
    if arena is None:
        return _Needs(None, 0, NOT_MEASURED, flash, PROGRAM_RAM, unsupported, reasons)
    return _Needs(arena.bytes, arena.start_bytes, arena.source, flash, PROGRAM_RAM, (), reasons, arena)


def _needs_of_plan(model: bytes, target: Target, with_agent: bool) -> _Needs:
    try:
        needs = plan_needs(model, target)
    except NoPlan as refusal:
        why = (f"it cannot be compiled to a plan: {refusal}",)
        return _Needs(None, 0, NOT_COMPILED, 0, 0, refusal.operators, why)
    flash, ram = needs.flash_bytes, needs.code.stack_bytes
    if with_agent:
        flash, ram = flash + needs.code.agent_flash_bytes, ram + needs.code.agent_ram_bytes
    return _Needs(needs.arena_bytes, needs.arena_bytes, PLANNED, flash, ram, plan=needs)


def _needs_on_linux(model: bytes, graph: Graph, counts: dict[str, int]) -> _Needs:
    peak, unsupported = graph.main.peak_live_bytes, tuple(sorted(filter(is_custom, counts)))
    reasons = _operator_reasons(unsupported, "LiteRT")
    flash, program = len(model) + LITERT_FLASH, len(model) + LITERT_RAM
    return _Needs(peak, peak, CALCULATED, flash, program, unsupported, tuple(reasons))


@lru_cache(maxsize=4)
def _measured(model: bytes) -> tuple[Arena | None, str | None]:
    """The arena, and why the runtime refuses; kept, since one model is checked against several targets.

    Both, where it aborts on a softmax alone: what it would allocate is known then, and that it aborts too.
    """
    graph = read_graph(model)
    try:
        return on_device(measure_allocations(model, graph), graph), None
    except RuntimeRefuses as error:
        why, copy = str(error), with_usual_scales(model, graph)
    if copy is None:
        return None, why
    try:
        return on_device(measure_allocations(copy, graph), graph), why
    except RuntimeRefuses:
        return None, why


def _runtime(target: Target, runtime: str | None) -> str:
    """The runtime to check for; raises ``UsageError`` for one that is none, or that the target does not have."""
    if runtime is None or runtime in target.runtimes:
        return runtime or target.runtime
    if runtime not in RUNTIMES:
        near = difflib.get_close_matches(runtime, RUNTIMES, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(RUNTIMES)}"
        raise UsageError(f"no runtime is called {runtime!r}; {hint}", fix=f"--runtime {target.runtime}")
    raise UsageError(
        f"{target.name} runs models under {' or '.join(target.runtimes)}, not {runtime}",
        fix=f"leave --runtime out, or give --runtime {target.runtime}",
        target=target.name,
        runtime=runtime,
    )


def _operator_reasons(unsupported: Sequence[str], where: str) -> list[str]:
    if not unsupported:
        return []
    more = f" and {len(unsupported) - _NAMED} more" if len(unsupported) > _NAMED else ""
    return [f"{where} has no operator {', '.join(unsupported[:_NAMED])}{more}"]


def _size_reasons(target: Target, flash: int, arena: int, ram: int | None) -> list[str]:
    found = []
    if flash > target.flash_bytes:
        found.append(_too_big("flash", flash, target.flash_bytes, target.name))
    if arena > target.arena_ram_bytes:
        found.append(_too_big("RAM in one piece for the arena", arena, target.arena_ram_bytes, target.name))
    elif ram is not None and ram > target.ram_bytes:
        found.append(_too_big("RAM", ram, target.ram_bytes, target.name))
    return found


def _too_big(what: str, needed: int, available: int, name: str) -> str:
    return f"it needs {needed:,} bytes of {what}; {name} has {available:,}"


def _span(kernels: Sequence[LatencyRange], target: Target) -> dict[str, float]:
    own = [k for k in kernels if k.kernels in RUNTIME_KERNELS[target.runtime]] or list(kernels)
    return {"low": _ms(min(k.low for k in own)), "high": _ms(max(k.high for k in own))} if own else {}


def _ms(value: float) -> float:
    """Three significant digits: more would claim too much."""
    return float(f"{value:.3g}")


def _parts(arena: Arena) -> dict[str, int]:
    return {
        "tensors_bytes": arena.tensors,
        "persistent_bytes": arena.persistent,
        "start_bytes": arena.start_bytes,
        "measured_x86_64_bytes": arena.measured.total,
        "kept_at_64_bits_bytes": arena.kept_64,
    }


def _cmsis_scratch(graph: Graph, target: Target) -> int:
    """The most scratch memory that one CMSIS-NN kernel asks for, beside the arena that was measured, in bytes.

    From ``arm_convolve_s8_get_buffer_size`` (two columns of the window as int16), its depthwise counterpart
    (one window of all channels as int16) and ``arm_avgpool_s8_get_buffer_size`` (an int32 per channel), for
    cores with the DSP extension; 0 elsewhere.
    """
    if "dsp" not in target.extensions:
        return 0
    most = 0
    for subgraph in graph.subgraphs:
        for operator in subgraph.operators:
            tensors = [subgraph.tensors[index] for index in operator.inputs if index >= 0]
            if operator.name == "AVERAGE_POOL_2D" and tensors and tensors[0].shape:
                most = max(most, 4 * tensors[0].shape[-1])
            if len(tensors) < 2 or len(tensors[1].shape) != 4:
                continue
            first, height, width, last = tensors[1].shape
            if operator.name == "CONV_2D" and height * width > 1:
                most = max(most, 4 * height * width * last)
            if operator.name == "DEPTHWISE_CONV_2D" and first == 1:
                most = max(most, 2 * height * width * last)
    return most
