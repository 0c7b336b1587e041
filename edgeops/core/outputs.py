"""What a model's output says about the labels: one int8 score for each, whatever the model gives.

A manifest's output kind is ``classes`` (the output is one score a label) or ``reconstruction`` (an
autoencoder: the output is the input as the model restores it, and a large difference is an anomaly). All in
integers, so that every language gets the same scores; predictions, confidence bins and labels that come
later need not know which kind of model gave them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import InputError
from edgeops.core.manifest import Manifest
from edgeops.core.tensors import TensorSpec, scale_to_integers

CLASSES = "classes"
RECONSTRUCTION = "reconstruction"
NORMAL, ANOMALY = "normal", "anomaly"
RECONSTRUCTION_LABELS = (NORMAL, ANOMALY)
MAX_RECONSTRUCTED = 2**20  # values an input, so that the sum of squares stays below 2**63
MAX_THRESHOLD = 2**48 - 1

_WEIGHT_BITS = 12
_BATCH = 512


def class_scores(
    manifest: Manifest, quantized_input: NDArray[np.int8], output: NDArray[np.int8]
) -> NDArray[np.int8]:
    """int8 scores (labels,) of one inference: what it was given and what it gave, int8 of the manifest's shapes.

    Raises ``InputError`` for an output kind that this version does not know, or a reconstruction without a
    threshold.
    """
    if manifest.output_kind == CLASSES:
        return output.reshape(-1)
    if manifest.output_kind != RECONSTRUCTION:
        raise InputError(f"output kind {manifest.output_kind!r} is not known to this version")
    if manifest.threshold is None:
        raise InputError(f"output kind {RECONSTRUCTION!r} needs a threshold in the manifest")
    errors = reconstruction_error(
        manifest.input.spec, manifest.output.spec, quantized_input[np.newaxis], output[np.newaxis]
    )
    scores: NDArray[np.int8] = anomaly_scores(errors, manifest.threshold)[0]
    return scores


def score_spec(manifest: Manifest) -> TensorSpec:
    """Shape (labels,), scale and zero point of ``class_scores``; a real score is from 0 to 1."""
    if manifest.output_kind == RECONSTRUCTION:
        return anomaly_spec()
    spec = manifest.output.spec
    return TensorSpec((math.prod(spec.shape),), spec.dtype, spec.scale, spec.zero_point)


def anomaly_spec() -> TensorSpec:
    """The spec of ``anomaly_scores``: 0.5 lies at the threshold."""
    return TensorSpec((len(RECONSTRUCTION_LABELS),), "int8", 1 / 256, -128)


def anomaly_scores(errors: NDArray[np.int64], threshold: int) -> NDArray[np.int8]:
    """Errors (N,) and a threshold t >= 1 in their unit to int8 scores (N, 2) of normal and anomaly.

    anomaly = floor(256 * e / (e + t)) - 128, normal = -1 - anomaly: an error at the threshold is an anomaly.
    """
    if not 1 <= threshold <= MAX_THRESHOLD:
        raise InputError(f"the threshold {threshold} is not between 1 and {MAX_THRESHOLD}")
    anomaly = 256 * errors // (errors + threshold) - 128
    return np.stack([-1 - anomaly, anomaly], axis=1).astype(np.int8)


def reconstruction_error(
    given: TensorSpec, restored: TensorSpec, inputs: NDArray[np.int8], outputs: NDArray[np.int8]
) -> NDArray[np.int64]:
    """The mean squared difference of inputs and outputs, int8 (N, *shape), as int64 (N,), exact and below 2**42.

    With scale = m * 2**x and 2**23 <= m < 2**24 for the input (m_i, x_i) and the output (m_o, x_o), let x be
    the larger exponent, and the weights w = (m + 2**(s-1)) >> s with s = 12 + x - own exponent. Then
    e = floor(sum((w_i * (q_i - z_i) - w_o * (q_o - z_o))**2) / n) over the n values. A difference fits 32
    bits and the sum 63. One unit of e is ``error_unit``; one step of the larger scale is 2**11 to 2**12 of
    its root. Raises ``InputError`` for tensors of different or too many values.
    """
    ours, theirs = _weights(given, restored)
    n = math.prod(given.shape)
    if len(inputs) != len(outputs) or inputs[0:1].size not in (0, n) or outputs[0:1].size not in (0, n):
        raise InputError(
            f"inputs of shape {inputs.shape} and outputs of shape {outputs.shape} where {n} values each are "
            "compared"
        )
    errors = np.empty(len(inputs), np.int64)
    for start in range(0, len(inputs), _BATCH):
        part = slice(start, start + _BATCH)
        a = inputs[part].reshape(-1, n).astype(np.int64) - given.zero_point
        b = outputs[part].reshape(-1, n).astype(np.int64) - restored.zero_point
        difference = ours * a - theirs * b
        errors[part] = np.einsum("ij,ij->i", difference, difference) // n
    return errors


def error_unit(given: TensorSpec, restored: TensorSpec) -> float:
    """What one unit of ``reconstruction_error`` is in the square of the model's input unit."""
    exponent = max(scale_to_integers(spec.scale)[1] for spec in (given, restored))
    return math.ldexp(1.0, 2 * (exponent + _WEIGHT_BITS))


@lru_cache(maxsize=16)
def _weights(given: TensorSpec, restored: TensorSpec) -> tuple[int, int]:
    n = math.prod(given.shape)
    if n != math.prod(restored.shape) or not 1 <= n <= MAX_RECONSTRUCTED:
        raise InputError(
            f"an output of shape {restored.shape} does not restore an input of shape {given.shape}; the same "
            f"number of values is needed, at most {MAX_RECONSTRUCTED}"
        )
    for spec in (given, restored):
        if spec.dtype != "int8" or not -128 <= spec.zero_point <= 127 or not 0 < spec.scale < math.inf:
            raise InputError(f"a reconstruction needs int8 with a scale and a zero point, not {spec}")
    pairs = [scale_to_integers(spec.scale) for spec in (given, restored)]
    exponent = max(pair[1] for pair in pairs)
    first, second = (_rounded_shift(mantissa, _WEIGHT_BITS + exponent - own) for mantissa, own in pairs)
    return first, second


def _rounded_shift(mantissa: int, places: int) -> int:
    return (mantissa + (1 << (places - 1))) >> places
