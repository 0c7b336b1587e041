"""The compiler: from a ``.tflite`` to an execution plan that the C runtime in ``firmware_stubs`` runs in place."""

from edgeops.compile.compiler import CompiledPlan, PlanTensor, compile_plan

__all__ = ["CompiledPlan", "PlanTensor", "compile_plan"]
