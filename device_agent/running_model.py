"""A model that is open: its manifest, its bins and its interpreter."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_agent.inference import Interpreter, installed_runtime, open_interpreter
from device_agent.slots import SlotStore
from edgeops.core.codec import decode
from edgeops.core.errors import DoesNotFit, EdgeOpsError, InferenceFailed, InputError, StorageError, WireError
from edgeops.core.features.steps import output_shape, quantized_input
from edgeops.core.manifest import Manifest
from edgeops.core.observe import ObservePlan
from edgeops.core.outputs import RECONSTRUCTION, RECONSTRUCTION_LABELS, class_scores
from edgeops.core.selftest import SelfTest, difference
from edgeops.core.signing import unverified_payload
from edgeops.core.window import Window

RUNTIME = "tflite"

# What the libraries say of an operator that they do not have.
_BUILTIN = re.compile(r"find op for builtin opcode '(\w+)' version '(\d+)'")
_CUSTOM = re.compile(r"unresolved custom op: ([\w-]+)")
_UNHEARD_OF = re.compile(r"builtin_code out of range: (\d+)")


@dataclass(frozen=True)
class RunningModel:
    """What is needed to predict and to count."""

    digest: bytes
    manifest: Manifest
    plan: ObservePlan
    interpreter: Interpreter

    def infer(self, quantized: NDArray[np.int8]) -> NDArray[np.int8]:
        """int8 input of the contract's shape to int8 class scores (labels,); raises ``InferenceFailed``."""
        try:
            return class_scores(self.manifest, quantized, self.interpreter.invoke(quantized))
        except EdgeOpsError:
            raise
        except (ValueError, RuntimeError, MemoryError) as error:
            raise InferenceFailed(f"the interpreter failed: {error}") from error


def read_manifest(store: SlotStore, digest: bytes) -> Manifest:
    """The manifest that a slot holds; raises ``StorageError`` where none does."""
    envelope = store.manifest(digest)
    if envelope is None or hashlib.sha256(envelope).digest() != digest:
        raise StorageError(f"no slot holds manifest {digest.hex()[:12]}")
    return decode(Manifest, unverified_payload(envelope))


def open_model(store: SlotStore, digest: bytes, target: str, runtime: str | None) -> RunningModel:
    """Open the model that a slot holds.

    Its signature was checked when it was offered (keys may have been rotated since); its digests are checked
    again. Raises ``StorageError`` when the slot is damaged, ``DoesNotFit`` or ``InputError`` when the model
    is not what its manifest says.
    """
    manifest = read_manifest(store, digest)
    artifact = manifest.artifact(RUNTIME, target)
    if artifact is None:
        raise DoesNotFit(f"no {RUNTIME} artifact for target {target!r}", limit="target", available=target)
    blob, plan = store.blob(artifact.blob), store.blob(manifest.observe)
    if blob is None or plan is None:
        raise StorageError(f"the slot of manifest {digest.hex()[:12]} is damaged")
    interpreter = _interpreter(blob, runtime)
    for name, wanted, found in (
        ("input", manifest.input.spec, interpreter.input),
        ("output", manifest.output.spec, interpreter.output),
    ):
        if wanted != found:
            raise DoesNotFit(f"the model's {name} is {found}, its manifest says {wanted}", limit=name)
    model = RunningModel(digest, manifest, decode(ObservePlan, plan), interpreter)
    _check_consistent(model)
    return model


def _interpreter(blob: bytes, runtime: str | None) -> Interpreter:
    try:
        return open_interpreter(blob, runtime)
    except InputError as error:
        missing = unresolved_operators(error.message)
        if not missing:
            raise
        has = installed_runtime(runtime)
        raise DoesNotFit(
            f"operators that {has} does not have: {', '.join(missing)}",
            limit="operators",
            needed=missing,
            available=has,
        ) from error


def unresolved_operators(message: str) -> list[str]:
    """The operators that an interpreter's refusal says it does not have, e.g. ``ADD version 9``."""
    builtin = [f"{name} version {version}" for name, version in _BUILTIN.findall(message)]
    unheard = [f"builtin operator {code}" for code in _UNHEARD_OF.findall(message)]
    return list(dict.fromkeys([*builtin, *_CUSTOM.findall(message), *unheard]))


def _check_consistent(model: RunningModel) -> None:
    """Whether every input could be preprocessed, predicted and counted: found out now, not at inference."""
    manifest, plan = model.manifest, model.plan
    given, taken = manifest.input.spec, manifest.output.spec
    if (given.dtype, taken.dtype) != ("int8", "int8"):
        raise DoesNotFit(f"input {given.dtype} and output {taken.dtype} where int8 is run", limit="dtype")
    zeros = np.zeros(given.shape, np.int8)
    classes = class_scores(manifest, zeros, np.zeros(taken.shape, np.int8)).size
    for what, count in (("labels", len(manifest.labels)), ("counted classes", len(plan.classes))):
        if count != classes:
            raise DoesNotFit(f"{count} {what} for {classes} outputs", limit=what)
    if manifest.output_kind == RECONSTRUCTION and manifest.labels != RECONSTRUCTION_LABELS:
        raise DoesNotFit(
            f"labels {manifest.labels} where a reconstruction has {RECONSTRUCTION_LABELS}", limit="labels"
        )
    made = output_shape(manifest.preprocessing, manifest.raw_shape)
    if made != tuple(given.shape):
        raise DoesNotFit(
            f"preprocessing gives the shape {made}, the model takes {given.shape}", limit="shape"
        )
    quantized_input(manifest, np.zeros(manifest.raw_shape, np.float32))
    _check_countable(plan, zeros, classes)


def _check_countable(plan: ObservePlan, zeros: NDArray[np.int8], classes: int) -> None:
    try:
        window = Window(plan)
    except WireError as error:
        raise DoesNotFit(error.message, limit="bins") from error
    window.count_input(zeros)
    window.count_prediction(0, 0, 0, [0] * classes)
    window.counters()


def open_tested(store: SlotStore, digest: bytes, target: str, runtime: str | None) -> RunningModel:
    """As ``open_model``, and the self-test vectors passed here; raises ``DoesNotFit`` where one did not."""
    model = open_model(store, digest, target, runtime)
    problem = self_test(model, store)
    if problem is not None:
        raise DoesNotFit(problem, limit="self-test")
    return model


def self_test(model: RunningModel, store: SlotStore) -> str | None:
    """Run the manifest's vectors; None when all pass, else what differs."""
    raw = store.blob(model.manifest.vectors)
    if raw is None:
        return "the self-test vectors are missing"
    vectors = decode(SelfTest, raw)
    shape = model.manifest.input.spec.shape
    if not vectors.inputs or len(vectors.inputs) != len(vectors.outputs):
        return f"{len(vectors.inputs)} self-test inputs and {len(vectors.outputs)} outputs"
    for index, (given, expected) in enumerate(zip(vectors.inputs, vectors.outputs, strict=True)):
        if len(given) != np.prod(shape):
            return f"self-test vector {index}: {len(given)} values for shape {shape}"
        output = model.infer(np.frombuffer(given, np.int8).reshape(shape))
        problem = difference(expected, output, vectors.tolerance)
        if problem is not None:
            return f"self-test vector {index}: {problem}"
    return None
