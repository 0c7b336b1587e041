"""A small registry with one model version, for tests that need rows and no training."""

from __future__ import annotations

from dataclasses import fields

from sqlmodel import Session

from edgeops.core.counters import Counters
from edgeops.core.messages import Report
from edgeops.registry.artifacts import as_rows
from edgeops.registry.tables import DatasetVersion, DesiredState, Device, ModelVersion, Run
from support.packages import FLEET, MODEL, Package, build, observe_plan

NOW = 1_700_000_000.0
COUNTED = {field.name for field in fields(Counters)}


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
        artifacts=as_rows(package.manifest.artifacts),
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


def asked_for_inputs(session: Session, *names: str, up_to: int | None = None) -> None:
    """Devices whose desired state asks them for captured inputs; of ``up_to`` there is no bound where it is None."""
    wanted: dict[str, object] = {"capture": [1000, 200]}
    if up_to is not None:
        wanted["captures_to"] = up_to
    for name in names:
        session.add(DesiredState(device_id=name, generation=1, document=b"", models={MODEL: wanted}))
    session.flush()


def report(
    sequence: int, *, boot: int = 1, oldest: int = 1, package: Package | None = None, **other: object
) -> Report:
    """A report of ten inferences of the package's model; ``other`` are fields of the report or its counters."""
    plan = observe_plan()
    counted = {name: other.pop(name) for name in list(other) if name in COUNTED}
    n = int(counted.setdefault("inferences", 10))  # type: ignore[call-overload]
    counters: dict[str, object] = {
        "bins": plan.digest(),
        "errors": 0,
        "rejected_inputs": 0,
        "classes": (n,) + (0,) * (len(plan.classes) - 1),
        "confidence": (0,) * 15 + (n,),
        "latency": (n,) + (0,) * 15,
        "observed": n,
        "features": ((0,) * 5 + (n,) + (0,) * 6,) * len(plan.features),
        "moments": ((0, 0),) * len(plan.features),
    }
    values: dict[str, object] = {
        "model": MODEL,
        "manifest": (package or build()).digest[:8],
        "boot": boot,
        "sequence": sequence,
        "behind": sequence - oldest if oldest <= sequence else 0,
        "generation": 1,
        "start_ms": sequence * 1000,
        "duration_ms": 1000,
        "counters": Counters(**{**counters, **counted}),  # type: ignore[arg-type]
        "observe_permille": 1000,
    }
    return Report(**{**values, **other})  # type: ignore[arg-type]


__all__ = ["FLEET", "MODEL", "NOW", "add_devices", "add_version", "asked_for_inputs", "report"]
