"""The stored reference of the tiny model's package, and windows that lie as far from it as can be."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from edgeops.core.features.steps import quantized_input
from edgeops.core.input_features import extract
from edgeops.core.moments import MAX_STEPS
from edgeops.core.observe import BINS
from edgeops.registry.blobs import BlobStore
from edgeops.registry.tables import ModelVersion, Run
from support.packages import Package, build, image, observe_plan


def quantized(package: Package, seed: int, brighter: float = 0.0) -> NDArray[np.int8]:
    """The quantized image of a seed, brighter by so many of 16 levels."""
    return quantized_input(package.manifest, np.clip(image(seed) + brighter, 0, 16))


@cache
def reference_file() -> bytes:
    """What training would have stored: of the plan's own images, and a validation set with 10 % errors."""
    names = [feature.name for feature in observe_plan().features]
    values = extract(names, np.stack([quantized(build(), seed) for seed in range(200)]))
    draw = np.random.default_rng(5)
    truth = draw.integers(0, 5, 2000)
    predicted = np.where(np.arange(2000) % 10 == 0, (truth + draw.integers(1, 5, 2000)) % 5, truth)
    margin = draw.integers(100, 250, 2000)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        features=values,
        validation=values[draw.integers(0, 200, 2000)],
        margin=margin,
        predicted=predicted,
        truth=truth,
    )
    return file.getvalue()


def give_reference(session: Session, blobs: BlobStore, version: ModelVersion) -> None:
    """Store the reference of a version that was added without a training."""
    run = session.get_one(Run, version.run_id)
    run.record = {**run.record, "drift_reference_sha256": blobs.put(reference_file())}
    session.add(run)


def loud(n: int) -> dict[str, object]:
    """Fields of a report's counters: ``n`` inputs, every feature above all that the reference has."""
    features = len(observe_plan().features)
    return {
        "inferences": n,
        "observed": n,
        "classes": (n // 5,) * 5,
        "confidence": (0,) * 15 + (n,),
        "features": ((0,) * (BINS - 1) + (n,),) * features,
        "moments": ((MAX_STEPS * n, MAX_STEPS**2 * n),) * features,
    }
