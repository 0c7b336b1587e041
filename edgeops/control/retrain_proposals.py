"""When no single model serves both worlds: a version for those that drifted, offered to a person, and taken or not."""

from __future__ import annotations

import time
from typing import Any

from sqlmodel import select

from edgeops.control.drift_views import alert_list
from edgeops.control.packaging import packaged
from edgeops.control.workspace import Workspace
from edgeops.core.codec import decode, encode
from edgeops.core.errors import NotFoundError, UsageError
from edgeops.core.lifecycle import RETRAIN
from edgeops.core.manifest import Manifest, seal
from edgeops.core.signing import Role
from edgeops.registry.artifacts import as_rows
from edgeops.registry.tables import AlertDevice, ModelVersion, Retrain, Run
from edgeops.training.gates import NO_SLICE_WORSE, NO_WORSE
from edgeops.training.ladder import Attempt
from edgeops.training.recipe import Recipe


def proposal(
    workspace: Workspace, alert_id: int, recipe: Recipe, version: ModelVersion, attempt: Attempt
) -> dict[str, Any]:
    """What a person is asked, as plain data; its package is stored, and nothing is signed.

    ``selector`` picks the cohort that the alert's diagnosis found, the devices that alarmed where it found none, and
    all (an empty one) where the whole fleet drifted. ``manifest`` is the digest of the manifest, not signed.
    """
    assert attempt.result is not None  # what serves one world was made
    found = next(entry for entry in alert_list(workspace) if entry["alert"] == alert_id)
    selector = selector_of(found["diagnosis"], found["selector"], _devices(workspace, alert_id))
    made = packaged(workspace, recipe, attempt.result, version.version)
    package = made.package
    for blob in package.blobs:
        workspace.blobs.put(blob)
    failed = [gate for gate in attempt.gates if not gate.passed]
    return {
        "selector": selector,
        "strategy": attempt.strategy,
        "version": version.version,
        "model_version_id": version.id,
        "manifest": workspace.blobs.put(encode(package.manifest)),
        "not_packaged": dict(made.left_out),
        "push_bytes": attempt.push_bytes,
        "words": words(f"{version.model}@{version.version}", attempt, selector),
        "failed": [gate.name for gate in failed],
    }


def selector_of(diagnosis: str, selector: str | None, devices: list[str]) -> str:
    """The diagnosed cohort; else the devices by name; all, where the world has changed for the fleet."""
    if diagnosis == "fleet":
        return ""
    return selector or " or ".join(f'device = "{device}"' for device in sorted(devices))


def words(name: str, attempt: Attempt, selector: str) -> str:
    """The proposal in a sentence or two."""
    failed = [gate for gate in attempt.gates if not gate.passed]
    gate = next((g for g in failed if g.name in (NO_WORSE, NO_SLICE_WORSE)), failed[0])
    whom = f"a version for {selector} alone" if selector else "a version for the changed world"
    return (
        f"No single model serves both worlds: {attempt.strategy} has {attempt.captured_accuracy:.3f} of the captured "
        f"samples right, but fails {gate.name} ({gate.value:.3f} against {gate.limit:.3f}). Proposed is {whom}, {name}."
    )


def specialise(workspace: Workspace, retrain_id: int) -> ModelVersion:
    """Accept what a retrain proposed: its version is signed and registered, for the proposal's selector.

    Raises ``NotFoundError`` for a retrain that is not there, ``UsageError`` for one that proposes nothing.
    """
    with workspace.registry.session() as session:
        retrain = _proposed(session.get(Retrain, retrain_id), retrain_id)
        manifest = decode(Manifest, workspace.blobs.get(retrain.proposal["manifest"]))
        version = session.get_one(ModelVersion, retrain.proposal["model_version_id"])
        version.manifest_sha256 = workspace.blobs.put(seal(manifest, [workspace.key(Role.RELEASE)]))
        version.artifacts = as_rows(manifest.artifacts)
        version.state, version.selector = "registered", retrain.proposal["selector"]
        run = session.get_one(Run, version.run_id)
        run.record = {**run.record, "not_packaged": retrain.proposal.get("not_packaged", {})}
        retrain.state = RETRAIN.next(retrain.state, "accepted")
        retrain.model_version_id = version.id
        session.add_all((version, retrain, run))
    return version


def decline(workspace: Workspace, retrain_id: int) -> None:
    """Refuse what a retrain proposed; raises as ``specialise`` does."""
    with workspace.registry.session() as session:
        retrain = _proposed(session.get(Retrain, retrain_id), retrain_id)
        retrain.state = RETRAIN.next(retrain.state, "declined")
        retrain.finished_at = time.time()
        session.add(retrain)


def _proposed(retrain: Retrain | None, retrain_id: int) -> Retrain:
    if retrain is None:
        raise NotFoundError(
            f"no retrain {retrain_id}", fix="edgeops drift list shows the alerts and what answered"
        )
    if retrain.state != "PROPOSED":
        raise UsageError(
            f"retrain {retrain_id} is {retrain.state}: it proposes no version",
            fix="edgeops drift list shows the alerts and what answered them",
        )
    return retrain


def _devices(workspace: Workspace, alert_id: int) -> list[str]:
    with workspace.registry.reading() as session:
        query = select(AlertDevice.device_id).where(AlertDevice.alert_id == alert_id)
        return list(session.exec(query))
