"""What is said of a training beside its figures: on what it was tested, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping

from sqlmodel import select

from edgeops.control.training_jobs import Trained
from edgeops.control.workspace import Workspace
from edgeops.registry.tables import Device
from edgeops.reports.quality import inputs_of, scarce


def measured_on(trained: Trained) -> str:
    """``9,763 windows of 17 recordings; 95% intervals count 524 of them``."""
    words = inputs_of(_tested(trained), trained.dataset.kind)
    independent = trained.run.metrics["int8"].get("effective_n")
    return words if independent is None else f"{words}; the 95% intervals count them as {independent:,.0f}"


def scarce_test(trained: Trained) -> str:
    """What is too few in the test part to tell how good the model is: ``3 recordings``; else empty."""
    return scarce(_tested(trained), trained.dataset.kind)


def next_steps(workspace: Workspace, trained: Trained) -> tuple[str, ...]:
    """The commands that come next: to the devices, of which one is enrolled first where there is none.

    A version for evaluation is not rolled out, and is read.
    """
    model = f"{trained.version.model}@{trained.version.version}"
    if trained.version.state == "evaluation":
        return (f"edgeops model card {model}",)
    with workspace.registry.reading() as session:
        enrolled = session.exec(select(Device.id)).first() is not None
    rollout = f"edgeops rollout start {model}"
    return (rollout,) if enrolled else ("edgeops device enroll NAME", rollout)


def _tested(trained: Trained) -> Mapping[str, int]:
    found: Mapping[str, int] = trained.run.record["parts"]["test"]
    return found
