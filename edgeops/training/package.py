"""Packaging: a training result becomes a signed manifest and the blobs that it names."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from edgeops.core.codec import encode
from edgeops.core.errors import DataError
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
from edgeops.core.selftest import SelfTest, difference
from edgeops.training.pipeline import TrainingResult
from edgeops.training.recipe import Recipe

SELF_TESTS = 8
_CANDIDATES = 3 * SELF_TESTS
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


@dataclass(frozen=True)
class PlanForm:
    """The execution plan of a model, the arena in bytes that it runs in, and a self-test that it passes."""

    content: bytes
    arena_bytes: int
    self_test: SelfTest


Outputs = Callable[[NDArray[np.int8]], NDArray[np.int8] | None]
"""Int8 inputs (N, *shape) to outputs (N, values); None where nobody can say."""


def self_test_vectors(result: TrainingResult, of_plan: Outputs | None = None) -> SelfTest:
    """Validation inputs whose answer is clear, evenly spaced over the set: rounding cannot turn them.

    With the outputs ``of_plan``, of those on which a plan passes too: it rounds in another way than LiteRT. Raises
    ``DataError`` where there is none.
    """
    outputs = result.validation_outputs.astype(np.int16)
    ranked = np.sort(outputs, axis=1)
    clear = np.flatnonzero(ranked[:, -1] - ranked[:, -2] > 4 * SELF_TEST_TOLERANCE)
    if len(clear) == 0:
        clear = np.arange(len(outputs))
    chosen = _spread(clear, SELF_TESTS) if of_plan is None else _on_which_both_pass(result, clear, of_plan)
    return SelfTest(
        tuple(result.validation_inputs[i].tobytes() for i in chosen),
        tuple(result.validation_outputs[i].tobytes() for i in chosen),
        SELF_TEST_TOLERANCE,
    )


def _spread(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).astype(np.intp))]


def _on_which_both_pass(
    result: TrainingResult, clear: NDArray[np.intp], of_plan: Outputs
) -> NDArray[np.intp]:
    tried = _spread(clear, _CANDIDATES)
    outputs = of_plan(result.validation_inputs[tried])
    if outputs is None:
        return _spread(clear, SELF_TESTS)
    expected = [result.validation_outputs[row].tobytes() for row in tried]
    pairs = zip(expected, outputs, strict=True)
    alike = np.array([difference(want, got, SELF_TEST_TOLERANCE) is None for want, got in pairs])
    if not alike.any():
        raise DataError(
            f"on none of {len(tried)} validation inputs its answer is within {SELF_TEST_TOLERANCE} steps of LiteRT's",
            fix="train it longer, or with [quantization] aware: its answers hang on rounding",
        )
    return _spread(tried[alike], SELF_TESTS)


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
    plan: PlanForm | None = None,
    with_tflite: bool = True,
    chunk_bytes: int = 4096,
    trial: Trial = DEFAULT_TRIAL,
    unit: str = "raw",
    security_counter: int = 1,
    sources: Sequence[str] = (),
) -> Package:
    """Build, sign and return the package of a model version; deterministic for the same result and keys.

    ``plan`` is a second artifact, for any target: a plan has no instructions in it, and all cores read it alike.
    Raises ``WireError`` for a manifest that would be too long.
    ``security_counter`` is raised by hand, for a version whose predecessors must never run again: a device that has
    confirmed a higher one rejects lower ones, so a counter that rose by itself would forbid going back.
    ``sources`` are HTTPS addresses below which devices find a blob by its digest where the broker does not deliver.
    """
    blobs: list[bytes] = []

    def ref(blob: bytes) -> BlobRef:
        reference, listing = blob_ref(blob, chunk_bytes)
        blobs.extend([blob] if listing is None else [blob, listing])
        return reference

    artifacts = []
    if with_tflite:
        artifacts.append(Artifact("tflite", "any", ref(result.tflite)))
    if plan is not None:
        artifacts.append(Artifact("plan", "any", ref(plan.content), plan.arena_bytes))
    manifest = Manifest(
        model=recipe.name,
        version=version,
        security_counter=security_counter,
        min_agent=MIN_AGENT,
        artifacts=tuple(artifacts),
        input=TensorContract.of(result.input, unit),
        output=TensorContract.of(result.output, "probability" if result.threshold is None else unit),
        output_kind="classes" if result.threshold is None else "reconstruction",
        labels=result.labels,
        preprocessing=result.steps,
        source=_raw_contract(recipe, result, unit),
        threshold=result.threshold,
        observe=ref(encode(observe_plan(result, recipe.observe.features, recipe.observe.multivariate))),
        vectors=ref(encode(plan.self_test if plan else self_test_vectors(result))),
        trial=trial,
        sources=tuple(sources),
    )
    return Package(manifest, seal(manifest, keys), tuple(blobs))
