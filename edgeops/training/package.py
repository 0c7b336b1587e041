"""Packaging: a training result becomes a signed manifest and the blobs that it names."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeops.core.codec import encode
from edgeops.core.fourier import draw_fourier
from edgeops.core.input_features import extract
from edgeops.core.manifest import (
    Artifact,
    BlobRef,
    Manifest,
    RawContract,
    TensorContract,
    Trial,
    blob_ref,
    seal,
)
from edgeops.core.observe import CONFIDENCE_BINS, MARGIN, ObservePlan, confidence_bin, margins, plan_feature
from edgeops.core.selftest import SelfTest
from edgeops.training.pipeline import TrainingResult
from edgeops.training.recipe import Recipe

SELF_TESTS = 8
_SHUFFLE = 5
# LiteRT's XNNPACK and the reference kernels differ by rounding; a softmax step is 1/256.
SELF_TEST_TOLERANCE = 3
MIN_AGENT = (0, 1, 0)
DEFAULT_TRIAL = Trial(20, 0)


@dataclass(frozen=True)
class Package:
    """The envelope of the manifest and every blob it names, chunk lists included."""

    manifest: Manifest
    envelope: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """The manifest digest in hexadecimal."""
        return hashlib.sha256(self.envelope).hexdigest()


def observe_plan(result: TrainingResult, features: Sequence[str], multivariate: bool = False) -> ObservePlan:
    """Bins and reference from the training result; calibration from its validation outputs."""
    values = extract(features, result.reference_inputs)
    plans = tuple(plan_feature(name, values[:, column]) for column, name in enumerate(features))
    fourier = draw_fourier(len(plans)).to_bytes() if multivariate and len(plans) > 1 else None
    outputs = result.validation_outputs
    predicted = outputs.argmax(axis=1)
    scores = outputs[np.arange(len(outputs)), predicted]
    bins = [confidence_bin(int(score)) for score in scores]
    calibration = [[0, 0] for _ in range(CONFIDENCE_BINS)]
    for index, right in zip(bins, predicted == result.validation_targets, strict=True):
        calibration[index][0] += 1
        calibration[index][1] += int(right)
    return ObservePlan(
        features=plans,
        confidence=tuple(row[0] for row in calibration),
        classes=tuple(int(n) for n in np.bincount(predicted, minlength=len(result.labels))),
        calibration=tuple((row[0], row[1]) for row in calibration),
        margin=plan_feature(MARGIN, margins(outputs)),
        fourier=fourier,
    )


def reference_file(result: TrainingResult, features: Sequence[str], ordered: bool) -> bytes:
    """What windows are held against, for the control side only; an NPZ file with the same bytes for the same result.

    ``features`` (R, features) int64 of the reference inputs; of the validation set ``validation`` (V, features),
    ``margin`` (V,) int64, ``predicted`` (V,) and ``truth`` (V,) class numbers.
    Only ``ordered`` data, cut from recordings, says how neighbours depend on each
    other; other data comes in the order of its files, by class or by name, which is no order in time: it is shuffled.
    """
    outputs = result.validation_outputs
    inputs = np.arange(len(result.reference_inputs))
    rows = np.arange(len(outputs))
    if not ordered:
        draw = np.random.default_rng(_SHUFFLE)
        draw.shuffle(inputs)
        draw.shuffle(rows)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        features=extract(features, result.reference_inputs)[inputs],
        validation=extract(features, result.validation_inputs)[rows],
        margin=margins(outputs)[rows],
        predicted=outputs.argmax(axis=1).astype(np.int64)[rows],
        truth=result.validation_targets.astype(np.int64)[rows],
    )
    return file.getvalue()


def self_test_vectors(result: TrainingResult) -> SelfTest:
    """Validation inputs whose answer is clear, evenly spaced over the set: rounding cannot turn them."""
    outputs = result.validation_outputs.astype(np.int16)
    ranked = np.sort(outputs, axis=1)
    clear = np.flatnonzero(ranked[:, -1] - ranked[:, -2] > 4 * SELF_TEST_TOLERANCE)
    if len(clear) == 0:
        clear = np.arange(len(outputs))
    chosen = clear[np.unique(np.linspace(0, len(clear) - 1, SELF_TESTS).astype(np.intp))]
    return SelfTest(
        tuple(result.validation_inputs[i].tobytes() for i in chosen),
        tuple(result.validation_outputs[i].tobytes() for i in chosen),
        SELF_TEST_TOLERANCE,
    )


def _raw_contract(recipe: Recipe, result: TrainingResult, unit: str) -> RawContract | None:
    """What the sensor must give, where the front end turns it into another shape; None where it does not."""
    if result.raw_shape == result.input.shape:
        return None
    rate = result.sample_rate_hz
    return RawContract(result.raw_shape, unit, round(rate * 1000) if rate else None)


def build_package(
    result: TrainingResult,
    recipe: Recipe,
    version: int,
    keys: Sequence[Ed25519PrivateKey],
    *,
    chunk_bytes: int = 4096,
    trial: Trial = DEFAULT_TRIAL,
    unit: str = "raw",
    security_counter: int = 1,
    sources: Sequence[str] = (),
) -> Package:
    """Build, sign and return the package of a model version; deterministic for the same result and keys.

    ``security_counter`` is raised by hand, for a version whose predecessors must never run again: a device that has
    confirmed a higher one rejects lower ones, so a counter that rose by itself would forbid going back.
    ``sources`` are HTTPS addresses below which devices find a blob by its digest where the broker does not deliver.
    """
    blobs: list[bytes] = []

    def ref(blob: bytes) -> BlobRef:
        reference, listing = blob_ref(blob, chunk_bytes)
        blobs.extend([blob] if listing is None else [blob, listing])
        return reference

    manifest = Manifest(
        model=recipe.name,
        version=version,
        security_counter=security_counter,
        min_agent=MIN_AGENT,
        artifacts=(Artifact("tflite", "any", ref(result.tflite)),),
        input=TensorContract.of(result.input, unit),
        output=TensorContract.of(result.output, "probability" if result.threshold is None else unit),
        output_kind="classes" if result.threshold is None else "reconstruction",
        labels=result.labels,
        preprocessing=result.steps,
        source=_raw_contract(recipe, result, unit),
        threshold=result.threshold,
        observe=ref(encode(observe_plan(result, recipe.observe.features, recipe.observe.multivariate))),
        vectors=ref(encode(self_test_vectors(result))),
        trial=trial,
        sources=tuple(sources),
    )
    return Package(manifest, seal(manifest, keys), tuple(blobs))
