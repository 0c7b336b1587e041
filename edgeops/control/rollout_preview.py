"""A rollout that is not started: who would get it, in which stages, and what should be known of it."""

from __future__ import annotations

from typing import Any

from edgeops.control.rollout_advice import refuse_nobody, takes_from, warnings_of
from edgeops.control.rollout_views import plan_rollout
from edgeops.control.workspace import Workspace
from edgeops.fleet.rollout.plan import Plan
from edgeops.registry.names import find_model


def preview_rollout(workspace: Workspace, model: str, plan: Plan) -> dict[str, Any]:
    """What a start would do; raises ``NotFoundError`` for an unknown version, or when nobody is selected."""
    with workspace.registry.reading() as session:
        version = find_model(session, model, registered=True)
        refuse_nobody(session, plan)
        takes = takes_from(session, version, plan)
        warnings = warnings_of(session, workspace, version, plan)
    rows = plan_rollout(workspace, model, plan)
    suited = sum(row["suited"] for row in rows)
    fetching = [row for row in rows if row["suited"] and not row["already"]]
    total = sum(row["bytes"] for row in fetching)
    return {
        "model": f"{version.model}@{version.version}",
        "devices": rows,
        "already": [row["device"] for row in rows if row["already"]],
        "stages": [{"stage": str(stage), "devices": stage.devices(suited)} for stage in plan.stages],
        "soak_s": plan.soak_s,
        "bytes": total,
        "by_runtime": {
            name: sum(row["runtime"] == name for row in fetching)
            for name in sorted({row["runtime"] for row in fetching})
        },
        "takes": takes,
        "warnings": [*warnings, *_beyond(plan.max_bytes, total)],
    }


def _beyond(budget: int, total: int) -> list[str]:
    if not 0 < budget < total:
        return []
    return [
        f"--max-bytes {budget} ends it before all have it: without patches its devices fetch {total} bytes"
    ]
