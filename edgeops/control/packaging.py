"""The forms in which a model version goes to devices: the ``.tflite``, and an execution plan where there can be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from edgeops.compile import compile_plan
from edgeops.control.workspace import Workspace
from edgeops.core.errors import EdgeOpsError, WireError
from edgeops.core.manifest import Trial
from edgeops.core.signing import Role
from edgeops.registry.artifacts import PLAN, TFLITE
from edgeops.targets.micro import micro_outputs
from edgeops.training.gates import Gate
from edgeops.training.package import Package, PlanForm, build_package, self_test_vectors
from edgeops.training.pipeline import TrainingResult
from edgeops.training.recipe import Recipe

COMPILES = "compiles_to_plan"
TOO_LONG = "the manifest would be longer than devices take; fewer or shorter labels leave it room"


@dataclass(frozen=True)
class Forms:
    """What a result is packaged as: its plan, and by runtime why a form is left out."""

    plan: PlanForm | None
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Packaged:
    """A package, and by runtime why a form is not in it."""

    package: Package
    left_out: Mapping[str, str]


def forms_of(recipe: Recipe, result: TrainingResult) -> Forms:
    """The forms that the recipe wants and the model allows; nothing is raised where there can be no plan."""
    if PLAN not in recipe.package.runtimes:
        return Forms(None, {PLAN: "the recipe leaves it out: [package] runtimes"})
    try:
        made = compile_plan(result.tflite)
        vectors = self_test_vectors(result, partial(micro_outputs, result.tflite))
    except EdgeOpsError as error:
        return Forms(None, {PLAN: error.message})
    return Forms(PlanForm(made.plan, made.arena_bytes, vectors))


def gate_of(recipe: Recipe, forms: Forms) -> tuple[Gate, ...]:
    """The gate of a recipe that names ``plan`` under ``[package]``: then a version without one is of no use."""
    if not recipe.package.required or PLAN not in recipe.package.runtimes:
        return ()
    made = forms.plan is not None
    return (Gate(COMPILES, made, float(made), 1.0, forms.left_out.get(PLAN, "")),)


def packaged(
    workspace: Workspace, recipe: Recipe, result: TrainingResult, number: int, forms: Forms | None = None
) -> Packaged:
    """The package of a training result as this workspace makes them; nothing is stored.

    A plan that nobody asked for is left out where the manifest has no room for it; raises ``WireError`` where there
    is no room otherwise.
    """
    forms = forms if forms is not None else forms_of(recipe, result)
    rollout = workspace.settings.rollout
    build = partial(
        build_package,
        result,
        recipe,
        number,
        [workspace.key(Role.RELEASE)],
        with_tflite=TFLITE in recipe.package.runtimes or forms.plan is None,
        chunk_bytes=rollout.chunk_bytes,
        trial=Trial(rollout.trial_inferences, rollout.trial_max_errors),
        sources=rollout.sources,
    )
    left_out = dict(forms.left_out)
    if TFLITE not in recipe.package.runtimes and forms.plan is not None:
        left_out[TFLITE] = "the recipe leaves it out: [package] runtimes"
    try:
        return Packaged(build(plan=forms.plan), left_out)
    except WireError:
        if forms.plan is None or recipe.package.required:
            raise
        return Packaged(build(), {**left_out, PLAN: TOO_LONG})
