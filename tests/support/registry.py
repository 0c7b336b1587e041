"""A small registry with one model version, for tests that need rows and no training."""

from __future__ import annotations

from sqlmodel import Session

from edgeops.core.messages import Report
from edgeops.registry.tables import DatasetVersion, Device, ModelVersion, Run
from support.packages import FLEET, MODEL, Package, build, observe_plan

NOW = 1_700_000_000.0


def add_version(
    session: Session, package: Package, *, state: str = "registered", parent: int | None = None
) -> ModelVersion:
    """Dataset, run and model version of a package."""
    model, version = package.manifest.model, package.manifest.version
    name = "set" if model == MODEL else f"set of {model}"
    dataset = DatasetVersion(
        name=name, version=version, sha256=f"{version:064x}", kind="image", folder="x", created_at=NOW
    )
    session.add(dataset)
    session.flush()
    metrics = {name: {"accuracy": 0.9, "n": 10} for name in ("float", "int8")}
    run = Run(
        recipe="r",
        recipe_digest="d",
        dataset_id=dataset.id or 0,
        seed=1,
        metrics=metrics,
        seconds=1.0,
        created_at=NOW,
    )
    session.add(run)
    session.flush()
    row = ModelVersion(
        model=model,
        version=version,
        state=state,
        run_id=run.id or 0,
        parent_id=parent,
        artifact_sha256=package.manifest.artifacts[0].blob.hex,
        artifact_bytes=package.manifest.artifacts[0].blob.size,
        manifest_sha256=package.digest.hex(),
        created_at=NOW,
    )
    session.add(row)
    session.flush()
    return row


def add_devices(session: Session, *names: str) -> None:
    """Enrolled devices."""
    for name in names:
        session.add(Device(id=name, enrolled_at=NOW))
    session.flush()


def report(
    sequence: int, *, boot: int = 1, oldest: int = 1, package: Package | None = None, **other: object
) -> Report:
    """A report of ten inferences of the package's model."""
    plan = observe_plan()
    values: dict[str, object] = {
        "model": MODEL,
        "manifest": (package or build()).digest,
        "bins": plan.digest(),
        "boot": boot,
        "sequence": sequence,
        "oldest": oldest,
        "generation": 1,
        "start_ms": 0,
        "end_ms": 1000,
        "inferences": 10,
        "errors": 0,
        "rejected_inputs": 0,
        "classes": (10,) + (0,) * (len(plan.classes) - 1),
        "confidence": (0,) * 15 + (10,),
        "latency": (10,) + (0,) * 15,
        "observed": 10,
        "observe_permille": 1000,
        "features": ((0,) * 5 + (10,) + (0,) * 6,) * len(plan.features),
    }
    return Report(**{**values, **other})  # type: ignore[arg-type]


__all__ = ["FLEET", "MODEL", "NOW", "add_devices", "add_version", "report"]
