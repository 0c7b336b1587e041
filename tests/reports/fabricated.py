"""A registry filled by hand: what a fleet of digit cameras would have said."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from sqlmodel import Session

from edgeops.core.codec import encode
from edgeops.core.counters import Counters
from edgeops.core.messages import PredictionId, Report
from edgeops.core.observe import FeaturePlan, ObservePlan
from edgeops.registry.tables import (
    DatasetVersion,
    DesiredState,
    Device,
    DeviceModel,
    LabelTruth,
    ModelVersion,
    ReportWindow,
    Run,
)

NOW = 1_700_000_000.0
EDGES = tuple(range(0, 1100, 100))
PLAN = ObservePlan(
    features=tuple(
        FeaturePlan(name, EDGES, (0, *(20,) * 10, 0), 500, 250)
        for name in ("level", "spread", "contrast", "sharpness")
    ),
    confidence=(0,) * 14 + (40, 160),
    classes=(20,) * 10,
    calibration=((0, 0),) * 14 + ((40, 30), (160, 159)),
)


def manifest(version: int) -> str:
    """The digest of a made-up manifest."""
    return hashlib.sha256(f"digits {version}".encode()).hexdigest()


def add_version(session: Session, version: int, parent: int | None = None) -> ModelVersion:
    """A model version with its dataset and run."""
    dataset = DatasetVersion(
        name="digits",
        version=version,
        sha256=hashlib.sha256(f"data {version}".encode()).hexdigest(),
        kind="images",
        folder="digits",
        labels=[str(n) for n in range(10)],
        parts={"train": 898, "validation": 180, "test": 360, "field": 359},
        created_at=NOW - 1000 + 100 * version,
    )
    session.add(dataset)
    session.flush()
    run = Run(
        recipe="digits",
        recipe_digest="0" * 64,
        dataset_id=dataset.id or 0,
        seed=7,
        metrics={"float": {"accuracy": 0.989, "n": 360}, "int8": {"accuracy": 0.9861, "n": 360}},
        gates=[{"name": "accuracy", "passed": True, "value": 0.9861, "limit": 0.96}],
        seconds=9.2,
        created_at=NOW - 990 + 100 * version,
    )
    session.add(run)
    session.flush()
    row = ModelVersion(
        model="digits",
        version=version,
        state="registered",
        run_id=run.id or 0,
        parent_id=parent,
        artifact_sha256=hashlib.sha256(f"artifact {version}".encode()).hexdigest(),
        artifact_bytes=14_336,
        manifest_sha256=manifest(version),
        created_at=NOW - 980 + 100 * version,
    )
    session.add(row)
    session.flush()
    return row


def add_device(
    session: Session,
    name: str,
    *,
    confirmed: int | None = 1,
    wanted: int | None = 1,
    lifecycle: str = "CONFIRMED",
    online: bool = True,
    seen: float | None = NOW - 5,
    **attributes: str,
) -> None:
    """A device, what it shall run and what it says it runs."""
    session.add(
        Device(id=name, attributes=attributes, enrolled_at=NOW - 900, online=online, last_seen_at=seen)
    )
    session.flush()
    if wanted:
        models = {"digits": {"manifest": manifest(wanted)}}
        session.add(DesiredState(device_id=name, generation=1, models=models, document=b"", published=True))
    if confirmed:
        session.add(
            DeviceModel(
                device_id=name,
                model="digits",
                lifecycle=lifecycle,
                generation=1,
                confirmed=manifest(confirmed),
                updated_at=NOW,
            )
        )
    session.flush()


def report(
    version: int = 1, sequence: int = 1, confidence: tuple[int, int] = (10, 40), slow: int = 0
) -> Report:
    """A window whose confidence is in the two highest bins and whose latencies are in buckets 3 and 9."""
    n = sum(confidence)
    return Report(
        model="digits",
        manifest=bytes.fromhex(manifest(version))[:8],
        boot=1,
        sequence=sequence,
        behind=sequence - 1,
        generation=1,
        start_ms=0,
        duration_ms=1000,
        counters=Counters(
            bins=PLAN.digest(),
            inferences=n,
            errors=0,
            rejected_inputs=0,
            classes=(n, *(0,) * 9),
            confidence=(*(0,) * 14, *confidence),
            latency=(0, 0, 0, n - slow, *(0,) * 5, slow, *(0,) * 6),
            observed=n,
            features=((0, n, *(0,) * 10),) * 4,
            moments=((0, 0),) * 4,
        ),
        observe_permille=1000,
    )


def add_window(
    session: Session, device: str, window: Report, received_at: float = NOW, **changes: object
) -> None:
    """A report as ingest writes it; ``changes`` are of the report or its counters."""
    counted = {name: changes.pop(name) for name in list(changes) if hasattr(window.counters, name)}
    counters = replace(window.counters, **counted)  # type: ignore[arg-type]
    window = replace(window, counters=counters, **changes)  # type: ignore[arg-type]
    digests = {bytes.fromhex(manifest(version))[:8]: manifest(version) for version in range(1, 10)}
    session.add(
        ReportWindow(
            device_id=device,
            model=window.model,
            manifest=digests.get(window.manifest, window.manifest.hex()),
            boot=window.boot,
            sequence=window.sequence,
            generation=window.generation,
            trial=window.trial,
            inferences=counters.inferences,
            errors=counters.errors,
            rejected_inputs=counters.rejected_inputs,
            dropped=window.dropped,
            counters=encode(window),
            received_at=received_at,
        )
    )


def add_labels(
    session: Session, device: str, sequence: int, *, right: int, wrong: int, version: int = 1, boot: int = 1
) -> None:
    """Truths for the first predictions of a window."""
    prefix = bytes.fromhex(manifest(version))[:8]
    for index in range(right + wrong):
        prediction = PredictionId(prefix, boot, sequence, index, 3, 15)
        session.add(
            LabelTruth(
                prediction=prediction.pack().hex(),
                device_id=device,
                model="digits",
                manifest_prefix=prefix.hex(),
                boot=boot,
                sequence=sequence,
                predicted=3,
                truth=3 if index < right else 8,
                received_at=NOW,
            )
        )
