"""Write ``tests/vectors/front_ends/*.json``: preprocessing and class scores that every language must reach.

Run from the repository: ``PYTHONPATH=. python tests/vectors/generate_front_ends.py``. One file an operation,
``chains`` for several in a row and ``reconstruction`` for an autoencoder's scores.

A case has its steps (by name, and in billionths as a manifest carries them), an input and what must come of
it: float32 values, and int8 values under a scale and zero point. Arrays are base64 of little-endian values in
C order. A float32 may differ by ``tolerance``; the scale is chosen so that no value lies nearer than that to
where rounding turns, so the int8 values must be met exactly. Some of them are cut off at -128 and 127.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeops.core.features.quantize import quantize
from edgeops.core.features.steps import apply_steps, make_step, named_parameters
from edgeops.core.manifest import Step
from edgeops.core.outputs import anomaly_scores, reconstruction_error
from edgeops.core.tensors import TensorSpec, scale_to_integers

FOLDER = Path(__file__).parent / "front_ends"
MARGIN = 0.002  # of one int8 step

Array = NDArray[np.generic]
SPEECH = {
    "sample_rate_hz": 8000,
    "frame_length": 320,
    "frame_step": 160,
    "fft_length": 512,
    "low_hz": 20,
    "high_hz": 4000,
}

# of cepstral coefficients: the first ones are large
WIDE_MEANS = (-12.5, 4.25, 0.5, 0.75, -0.25, 0.125, 0.0, 0.3, -0.2, 0.1)
WIDE_DEVIATIONS = (6.5, 2.25, 1.5, 1.25, 1.0, 0.875, 0.75, 0.7, 0.65, 0.6)


def image(shape: tuple[int, ...], seed: int) -> Array:
    """Whole numbers from 0 to 255, as a camera gives them."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def signal(shape: tuple[int, ...], seed: int) -> Array:
    """A sawtooth in noise that becomes quiet, of multiples of 2**-15 within -1..1: the same on every platform."""
    rng = np.random.default_rng(seed)
    time = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    tone = (time * 37) % 512 - 256 + np.zeros(shape, np.int64)
    loudness = 2.0 ** -(8 * time // shape[0])
    values = (32 * tone + rng.integers(-8000, 8000, shape)) * loudness
    return (np.rint(values) / 32768).astype(np.float32)


def cases() -> Mapping[str, Sequence[tuple[list[Step], Array]]]:
    """File name to steps and input of each case."""
    silence = np.zeros(100, np.float32)
    machine = {"sample_rate_hz": 12_000, "high_hz": 6000}
    mean, deviation = (120.5, 110.25, 99.0), (60.125, 58.0, 70.5)
    return {
        "scale": [
            ([make_step("scale", factor=0.0625)], image((8, 8, 1), 1)),
            ([make_step("scale", factor=1 / 127.5, offset=-1.0)], image((6, 5, 3), 2)),
        ],
        "resize": [
            ([make_step("resize", height=8, width=8)], image((20, 13, 3), 3)),
            ([make_step("resize", height=13, width=17)], image((7, 9, 1), 4)),
            ([make_step("resize", height=3, width=5)], image((1, 1, 2), 5)),
        ],
        "grey": [([make_step("grey")], image((9, 7, 3), 6)), ([make_step("grey")], image((4, 4, 1), 7))],
        "normalise": [
            ([make_step("normalise", mean=127.5, deviation=64.0)], image((6, 6, 1), 8)),
            ([make_step("normalise", mean=mean, deviation=deviation)], image((6, 6, 3), 9)),
        ],
        "columns": [
            (
                [make_step("columns", first=1, mean=(120.5, 90.25), deviation=(60.125, 40.5))],
                image((6, 4), 24),
            ),
            ([make_step("columns", first=0, mean=mean, deviation=deviation)], image((5, 3, 1), 25)),
        ],
        "fit_length": [
            ([make_step("fit_length", samples=100)], signal((131,), 10)),
            ([make_step("fit_length", samples=60)], signal((41, 2), 11)),
        ],
        "log_mel": [
            ([make_step("log_mel", **SPEECH, mels=40)], signal((1600,), 12)),
            ([make_step("log_mel", **SPEECH, mels=20, spectrum="power", floor=0.001)], signal((1000, 1), 13)),
        ],
        "mfcc": [
            ([make_step("mfcc", **SPEECH, mels=40, coefficients=10)], signal((1600,), 14)),
            (
                [make_step("mfcc", **SPEECH, mels=23, coefficients=23, spectrum="power", offset=0.01)],
                signal((800, 1), 15),
            ),
        ],
        "detrend": [
            ([make_step("detrend")], signal((200, 3), 16) + np.float32(4.5)),
            (
                [make_step("detrend", kind="linear")],
                signal((150,), 17) + np.arange(150, dtype=np.float32) / 64,
            ),
        ],
        "standardise": [
            ([make_step("standardise")], signal((120, 3), 18)),
            ([make_step("standardise", per="window", floor=0.5)], signal((120, 2), 19)),
        ],
        "rms_scale": [
            ([make_step("rms_scale")], signal((100, 3), 20)),
            ([make_step("rms_scale", per="channel", floor=0.25)], signal((100, 2), 21)),
        ],
        "taper": [
            ([make_step("taper")], signal((101,), 22)),
            ([make_step("taper", share=0.25)], signal((64, 2), 23)),
        ],
        "fft_bands": [
            ([make_step("fft_bands", **machine, fft_length=256, bands=32)], signal((256, 3), 24)),
            (
                [make_step("fft_bands", **machine, fft_length=256, frame_step=128, bands=64)],
                signal((640,), 25),
            ),
            (
                [
                    make_step(
                        "fft_bands",
                        sample_rate_hz=1000,
                        fft_length=512,
                        bands=12,
                        low_hz=10,
                        high_hz=400,
                        spacing="log",
                        floor=0.00001,
                    )
                ],
                np.concatenate([silence, signal((300,), 26)]),
            ),
        ],
        "chains": [
            (
                [
                    make_step("grey"),
                    make_step("resize", height=12, width=12),
                    make_step("normalise", mean=127.5, deviation=64.0),
                ],
                image((24, 18, 3), 27),
            ),
            (
                [
                    make_step("scale", factor=0.000030518),
                    make_step("fit_length", samples=1600),
                    make_step("mfcc", **SPEECH, mels=40, coefficients=10),
                ],
                np.rint(signal((1300,), 28) * 32768).astype(np.float32),
            ),
            (
                [
                    make_step("detrend", kind="linear"),
                    make_step("rms_scale"),
                    make_step("fft_bands", **machine, fft_length=256, frame_step=128, bands=16),
                ],
                signal((512, 3), 29) + np.float32(1),
            ),
            (
                [
                    make_step("resize", height=10, width=9),
                    make_step("grey"),
                    make_step("scale", factor=1 / 127.5, offset=-1.0),
                ],
                image((11, 15, 3), 30),
            ),
            (
                [
                    make_step("scale", factor=0.000030518),
                    make_step("mfcc", **SPEECH, mels=40, coefficients=10, offset=0.05),
                    make_step("columns", first=0, mean=WIDE_MEANS[:7], deviation=WIDE_DEVIATIONS[:7]),
                    make_step("columns", first=7, mean=WIDE_MEANS[7:], deviation=WIDE_DEVIATIONS[7:]),
                ],
                np.rint(signal((1440,), 31) * 32768).astype(np.float32),
            ),
            # edges that lie on bins; then steps that need the whole of what the bands give
            (
                [
                    make_step("detrend"),
                    make_step("taper", share=0.1),
                    make_step(
                        "fft_bands",
                        sample_rate_hz=8000,
                        fft_length=128,
                        frame_step=64,
                        bands=5,
                        low_hz=125,
                        high_hz=4000,
                        spacing="log",
                    ),
                    make_step("standardise", floor=0.25),
                    make_step("fit_length", samples=7),
                    make_step("rms_scale"),
                ],
                signal((700, 2), 32) - np.float32(3),
            ),
            # a spectrum of a spectrum
            (
                [
                    make_step("fft_bands", **machine, fft_length=64, frame_step=8, bands=2),
                    make_step("detrend", kind="linear"),
                    make_step("fft_bands", sample_rate_hz=100, high_hz=50, fft_length=64, bands=9),
                ],
                signal((400,), 33),
            ),
        ],
    }


def case(steps: list[Step], values: Array) -> dict[str, object]:
    """One case as it stands in a file."""
    output = apply_steps(steps, values.astype(np.float32))
    scale, zero_point = clear_scale(output)
    mantissa, exponent = scale_to_integers(scale)
    return {
        "steps": [
            {
                "op": step.op,
                "parameters": dict(named_parameters(step)),
                "billionths": list(step.parameters),
            }
            for step in steps
        ],
        "raw_shape": list(values.shape),
        "shape": list(output.shape),
        "scale": scale,
        "scale_mantissa": mantissa,
        "scale_exponent": exponent,
        "zero_point": zero_point,
        "tolerance": MARGIN * scale,
        "input": text(values, "<f4"),
        "output": text(output, "<f4"),
        "int8": text(quantize(output, scale, zero_point), "i1"),
    }


def clear_scale(output: Array) -> tuple[float, int]:
    """A scale and zero point under which no value is near a tie, and a few in a hundred are cut off."""
    values = output.astype(np.float64)
    low, high = np.quantile([*values.flat, 0.0], [0.01, 0.99])  # TensorFlow Lite's ranges hold zero
    low, high = min(low, 0.0), max(high, 0.0)
    for attempt in range(5000):
        scale = float(np.float32(max(high - low, 1e-3) / 255 * (1 + attempt * 1e-4)))
        zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        places = values / scale
        inside = (places + zero_point > -128.5 - MARGIN) & (places + zero_point < 127.5 + MARGIN)
        from_tie = np.abs(places - np.floor(places) - 0.5)
        if not inside.any() or from_tie[inside].min() > 2 * MARGIN:
            return scale, zero_point
    raise RuntimeError("every scale has a value near a tie; take another seed")


def reconstructions() -> list[dict[str, object]]:
    """Errors and scores of outputs that are near and far from their inputs, under scales near and far."""
    found: list[dict[str, object]] = []
    for seed, (given, restored) in enumerate(
        [
            (TensorSpec((640,), "int8", 0.0625, -3), TensorSpec((640,), "int8", 0.0625, -3)),
            (TensorSpec((5, 16), "int8", 0.04831, 17), TensorSpec((80,), "int8", 0.05127, -9)),
            (TensorSpec((12, 1), "int8", 3.7e-5, -128), TensorSpec((12,), "int8", 0.9, 127)),
            (TensorSpec((7,), "int8", 1.25, 0), TensorSpec((7,), "int8", 1.25 * 2.0**-40, 5)),
        ]
    ):
        given, restored = (
            TensorSpec(spec.shape, spec.dtype, float(np.float32(spec.scale)), spec.zero_point)
            for spec in (given, restored)
        )
        rng = np.random.default_rng(seed)
        inputs = rng.integers(-128, 128, (6, *given.shape)).astype(np.int8)
        real = (inputs.reshape(6, -1).astype(np.float64) - given.zero_point) * given.scale
        real += rng.integers(-40, 41, real.shape) * given.scale * np.arange(6)[:, np.newaxis] / 5
        outputs = np.clip(np.rint(real / restored.scale) + restored.zero_point, -128, 127).astype(np.int8)
        inputs[-1], outputs[-1] = -128, 127
        outputs = outputs.reshape(6, *restored.shape)
        errors = reconstruction_error(given, restored, inputs, outputs)
        threshold = max(int(np.sort(errors)[2]), 1)
        found.append(
            {
                "input": spec_of(given),
                "output": spec_of(restored),
                "threshold": threshold,
                "inputs": [text(one, "i1") for one in inputs],
                "outputs": [text(one, "i1") for one in outputs],
                "errors": errors.tolist(),
                "scores": anomaly_scores(errors, threshold).tolist(),
            }
        )
    return found


def spec_of(spec: TensorSpec) -> dict[str, object]:
    """A tensor as a manifest has it."""
    mantissa, exponent = scale_to_integers(spec.scale)
    return {
        "shape": list(spec.shape),
        "scale_mantissa": mantissa,
        "scale_exponent": exponent,
        "zero_point": spec.zero_point,
    }


def text(values: Array, dtype: str) -> str:
    """An array in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode()


def documents() -> dict[str, object]:
    """File name to content."""
    made: dict[str, object] = {name: [case(*one) for one in given] for name, given in cases().items()}
    return {**made, "reconstruction": reconstructions()}


def render(document: object) -> str:
    """The text of a vector file."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / f"{name}.json").write_text(render(document))
