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

import numpy as np

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
    }


def render(document: object) -> str:
    """The text of a vector file."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / f"{name}.json").write_text(render(document))
