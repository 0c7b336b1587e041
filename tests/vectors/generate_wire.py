"""Write ``tests/vectors/wire/*.json``: what every language must read and write the same.

Run from the repository: ``PYTHONPATH=. python tests/vectors/generate_wire.py``. Deterministic: the same code
gives the same files, and a test says when they are not current.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from device_agent.observing import Draws, Observing
from edgeops.core.codec import Message, encode
from edgeops.core.counter_block import pack_counters
from edgeops.core.counters import Counters
from edgeops.core.fourier import draw_fourier
from edgeops.core.input_features import FEATURES, extract
from edgeops.core.manifest import BlobRef
from edgeops.core.messages import (
    CapturePolicy,
    Desired,
    DesiredModel,
    Event,
    Labels,
    ModelState,
    PredictionId,
    Presence,
    Receipt,
    Report,
    ReportPolicy,
    Sample,
    ShadowCounts,
    State,
    Transfer,
    Truth,
)
from edgeops.core.observe import BINS, MARGIN, ObservePlan, margins, plan_feature
from edgeops.core.outputs import anomaly_scores, reconstruction_error
from edgeops.core.tensors import TensorSpec, scale_to_integers
from edgeops.core.window import Window

FOLDER = Path(__file__).parent / "wire"
DIGEST = bytes(range(32))
PREDICTION = PredictionId(DIGEST[:8], 7, 1234, 56, 9, 15)


def sample_messages() -> list[Message]:
    """One or more of each message that travels alone."""
    policy = ReportPolicy(50, 60_000, 1000)
    wanted = DesiredModel(DIGEST, 900, policy, CapturePolicy(250, 100), True)
    other = bytes(reversed(DIGEST))
    patch = Transfer(DIGEST, BlobRef(other, 1_300, 4096), other, "aligned")
    cut = Transfer(DIGEST, BlobRef(DIGEST, 100_000, 1024, other))
    rolled_out = DesiredModel(
        DIGEST, 900, policy, transfers=(patch, cut), shadow_inferences=500, attempt=3, spread_ms=600_000
    )
    shadowing = ModelState(
        "SHADOWING",
        4,
        other,
        bytes(32),
        DIGEST,
        security_counter=7,
        shadow=ShadowCounts(500, 12, 1, 2**40, 2**32),
        artifact=other,
    )
    aside = ModelState(
        "FAILED", 5, other, None, DIGEST, "no chunk came within 60 s", attempts=3, retry_in_ms=20_000
    )
    return [
        Presence(1, True),
        Presence(2**32 - 1, False),
        Desired("plant", "cam-01", 3, {"digits": wanted, "a": DesiredModel()}),
        Desired("plant", "cam-01", 4, {"digits": rolled_out}, daily_bytes=2**33),
        State(1, 1, "0.1.0", "ai_edge_litert 2.1", "linux", 2**40, {"digits": ModelState("IDLE", 0)}, 5, 1),
        State(
            boot=2,
            session=2,
            agent="0.1.0",
            runtime="ai_edge_litert 2.1",
            target="linux",
            free_bytes=0,
            models={"digits": shadowing, "words": aside},
            takes=("tflite", "plan"),
            spent_bytes=2**33,
        ),
        Event(1, 2, "digits", 3, "TRIAL", "ROLLED_BACK", "unhealthy", DIGEST, "too many errors: ä", 99),
        Report("digits", DIGEST[:8], 1, 2, 1, 3, 0, 1000, worked_example(), 500),
        Report("digits", DIGEST[:8], 2**32 - 1, 1, 0, 3, 2**40, 0, full_counters(), 1000, 7, True),
        Receipt(1, {"digits": 17, "a": 0}),
        Labels("digits", (Truth(PREDICTION.pack(), 3),)),
        Sample("digits", DIGEST, PREDICTION.pack(), bytes(range(256))),
    ]


def worked_example() -> Counters:
    """The counters that docs/protocol.md takes apart bit by bit."""
    return Counters(
        bins=bytes.fromhex("0a0b0c0d"),
        inferences=10,
        errors=1,
        rejected_inputs=2,
        classes=(7, 3),
        confidence=(0,) * 14 + (4, 6),
        latency=(0, 10, *(0,) * 14),
        observed=5,
        features=((0, 0, 0, 0, 2, 3, *(0,) * 6),),
        moments=((-3, 7),),
        missing=1,
    )


def full_counters() -> Counters:
    """Counters with every part, as large as a device can count."""
    n = 65_535
    return Counters(
        bins=DIGEST[:4],
        inferences=n,
        errors=n,
        rejected_inputs=n,
        classes=(0, n, 0),
        confidence=(n, *(0,) * 15),
        latency=(*(0,) * 15, n),
        observed=n,
        features=((n, *(0,) * 11), (*(0,) * 11, n)),
        moments=((-64 * n, 64**2 * n), (64 * n, 64**2 * n)),
        margin=(1, *(0,) * 10, n - 1),
        margin_moments=(64 * (n - 2), 64**2 * n),
        missing=n,
        stuck=n,
        fourier=(127 * n, -127 * n) * 32,
    )


def plain(value: object) -> object:
    """A message as JSON: bytes in hexadecimal, messages as objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def counter_cases() -> list[dict[str, object]]:
    """Windows of known inputs and predictions, and the counters that come of them."""
    cases: list[dict[str, object]] = []
    for seed, shape in enumerate([(8, 8, 1), (5, 4, 3), (16, 3), (1, 1, 1)]):
        rng = np.random.default_rng(seed)
        reference = rng.integers(-90, 90, (200, *shape)).astype(np.int8)
        inputs = rng.integers(-128, 128, (40, *shape)).astype(np.int8)
        inputs[0], inputs[1] = -128, 127
        values = extract(FEATURES, reference)
        features = tuple(plan_feature(name, values[:, column]) for column, name in enumerate(FEATURES))
        scores = rng.integers(-128, 128, (40, 4)).astype(np.int8)
        margin = plan_feature(MARGIN, margins(rng.integers(-128, 128, (200, 4)).astype(np.int8)))
        fourier = draw_fourier(len(features)).to_bytes() if seed % 2 else None
        plan = ObservePlan(features, (0,) * 16, (1,) * 4, ((0, 0),) * 16, margin, fourier)
        window = Window(plan)
        predictions = [[n % 4, n % 16, 2**n % 70_000] for n in range(len(inputs))]
        for image, (predicted, confidence, microseconds), row in zip(
            inputs, predictions, scores, strict=True
        ):
            window.count_input(image)
            window.count_prediction(predicted, confidence, microseconds, row.tolist())
        counters = window.counters()
        cases.append(
            {
                "shape": list(shape),
                "plan": encode(plan).hex(),
                "inputs": base64.b64encode(inputs.tobytes()).decode(),
                "features": extract(FEATURES, inputs).tolist(),
                "predictions": predictions,
                "scores": scores.tolist(),
                "counters": plain(counters),
                "block": pack_counters(counters).hex(),
            }
        )
        assert all(len(feature) == BINS for feature in counters.features)
    return cases


class Counting(NamedTuple):
    """A model as ``device_agent.observing`` knows it."""

    digest: bytes
    plan: ObservePlan


def plan_for(seed: int, shape: tuple[int, ...], names: tuple[str, ...], classes: int) -> ObservePlan:
    """A plan over a random reference; a margin where the seed is even, Fourier components where 3 divides it."""
    rng = np.random.default_rng(seed)
    values = extract(names, rng.integers(-100, 100, (200, *shape)).astype(np.int8))
    features = tuple(plan_feature(name, values[:, column]) for column, name in enumerate(names))
    apart = margins(rng.integers(-128, 128, (200, classes)).astype(np.int8))
    margin = plan_feature(MARGIN, apart) if seed % 2 == 0 else None
    fourier = draw_fourier(len(names)).to_bytes() if names and seed % 3 == 0 else None
    return ObservePlan(features, (1,) * 16, (2,) * classes, ((3, 2),) * 16, margin, fourier)


def window_cases() -> list[dict[str, object]]:
    """Whole windows as an agent counts them: predictions of the scores, a share that is observed, failures."""
    models = [
        (
            (49, 10, 1),
            ("level", "spread", "sharpness", "clipped", "band_1", "band_2", "band_3", "band_4"),
            12,
        ),
        ((96,), ("level", "contrast", "detail_2", "detail_4", "detail_8", "band_2", "band_4"), 2),
        ((12, 12, 3), FEATURES, 64),
        ((7, 5), ("spread", "sharpness", "detail_4"), 1),
        ((3, 3, 1), (), 3),
    ]
    cases: list[dict[str, object]] = []
    for seed, ((shape, names, classes), permille) in enumerate(
        zip(models, (1000, 400, 999, 0, 250), strict=True)
    ):
        rng = np.random.default_rng(100 + seed)
        boot, n = 7 + seed, 40
        inputs = rng.integers(-128, 128, (n, *shape)).astype(np.int8)
        inputs[5:8] = inputs[4]  # a sensor that is stuck for a while
        scores = rng.integers(-128, 128, (n, classes)).astype(np.int8)
        scores[9], scores[10] = -128, 127  # the best score is not the only one
        latencies = [int(rng.integers(0, 2**bits)) for bits in rng.integers(1, 33, n).tolist()]
        observing = Observing("model", boot)
        observing.policy = dataclasses.replace(observing.policy, observe_permille=permille)
        plan = plan_for(seed, shape, names, classes)
        observing.switch(Counting(DIGEST, plan), False, 0)
        counted = [
            observing.count(*each) for each in zip(inputs, scores.reshape(n, -1), latencies, strict=True)
        ]
        failures = (seed, 3 * seed, seed)  # errors, refused inputs, and of these without a number
        for _ in range(failures[0]):
            observing.count_error()
        for number in range(failures[1]):
            observing.count_rejected(number < failures[2])
        draws = Draws(boot)
        report = observing.close(1000)
        assert report is not None
        cases.append(
            {
                "shape": list(shape),
                "plan": encode(plan).hex(),
                "boot": boot,
                "observe_permille": permille,
                "observed": [draws.below(permille) for _ in inputs],
                "inputs": base64.b64encode(inputs.tobytes()).decode(),
                "scores": base64.b64encode(scores.tobytes()).decode(),
                "latencies": latencies,
                "failures": list(failures),
                "ids": [prediction.id.hex() for prediction in counted],
                "block": pack_counters(report.counters).hex(),
            }
        )
    return cases


def reconstruction_cases() -> list[dict[str, object]]:
    """Errors and scores of models that restore their input, with scales close and far apart."""
    cases: list[dict[str, object]] = []
    for seed, (size, scales, zeros, threshold) in enumerate(
        [
            (640, (0.39, 0.41), (88, 93), 90_000),
            (1, (1 / 256, 1 / 256), (-128, -128), 1),
            (33, (0.5, 0.5 * (1 + 2**-20)), (0, 127), 2**48 - 1),
            (16, (1.0, 2.0**-14), (-128, 127), 12_345_678),
            (16, (2.0**-60, 1.0), (5, -7), 2**40),
        ]
    ):
        rng = np.random.default_rng(seed)
        given, restored = (
            TensorSpec((size,), "int8", float(np.float32(scale)), zero)
            for scale, zero in zip(scales, zeros, strict=True)
        )
        inputs, outputs = (rng.integers(-128, 128, (8, size)).astype(np.int8) for _ in range(2))
        outputs[0] = inputs[0]
        inputs[1], outputs[1] = -128, 127
        errors: NDArray[np.int64] = reconstruction_error(given, restored, inputs, outputs)
        cases.append(
            {
                "size": size,
                "input": [*scale_to_integers(given.scale), given.zero_point],
                "output": [*scale_to_integers(restored.scale), restored.zero_point],
                "threshold": threshold,
                "inputs": base64.b64encode(inputs.tobytes()).decode(),
                "outputs": base64.b64encode(outputs.tobytes()).decode(),
                "errors": errors.tolist(),
                "scores": anomaly_scores(errors, threshold).tolist(),
            }
        )
    return cases


def documents() -> dict[str, object]:
    """File name to content."""
    return {
        "messages": [
            {"message": type(m).__name__, "hex": encode(m).hex(), "fields": plain(m)}
            for m in sample_messages()
        ],
        "prediction_ids": [
            {"hex": p.pack().hex(), "fields": plain(p)}
            for p in (
                PREDICTION,
                PredictionId(bytes(8), 0, 0, 0, 0, 0),
                PredictionId(b"\xff" * 8, *[2**32 - 1] * 2, 65535, 255, 15),
            )
        ],
        "counters": counter_cases(),
        "windows": window_cases(),
        "reconstructions": reconstruction_cases(),
    }


def render(document: object) -> str:
    """The text of a vector file."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / f"{name}.json").write_text(render(document))
