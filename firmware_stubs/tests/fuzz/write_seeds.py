"""Writes what the fuzzers begin with, from the vectors that all languages share.

    python tests/fuzz/write_seeds.py FOLDER

Makes ``FOLDER/plan/``: the execution plans of the small models; ``FOLDER/cbor/``: messages of every kind, behind the
byte that chooses the decoder in ``cbor_fuzz.c``; ``FOLDER/counters/``: blocks of counters, and plans with inputs behind
them; and ``FOLDER/features/``: the front ends of the vectors, with what they are given.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeops.compile import compile_plan

TESTS = Path(__file__).resolve().parents[3] / "tests"
VECTORS = TESTS / "vectors"
MODELS = (
    "fit/dense",
    "fit/dense_per_channel",
    "fit/mixed",
    "fit/residual",
    "fit/separable",
    "inference/small_int8",
)


def write_plans(folder: Path) -> None:
    """The execution plans of the small models, and of models that keep state."""
    sys.path.insert(0, str(TESTS))
    from compile.test_recurrent import lstm_model, svdf_model

    models = {name.replace("/", "_"): (VECTORS / f"{name}.tflite").read_bytes() for name in MODELS}
    models |= {
        "svdf": svdf_model(1, wide=False),
        "svdf_wide": svdf_model(1, wide=True),
        "lstm": lstm_model(1),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        (folder / name).write_bytes(compile_plan(model).plan)


def messages() -> Iterator[tuple[int, str]]:
    """Which decoder of ``cbor_fuzz.c``, and what it is given, in hexadecimal."""

    def load(name: str) -> list[Any]:
        return list(json.loads((VECTORS / f"{name}.json").read_text()))

    for case in load("wire/messages"):
        yield {"Desired": 0, "Receipt": 2}.get(case["message"], 7), case["hex"]
    for case in load("trust/desired"):
        yield 1, case["payload"]
    for case in load("trust/manifests"):
        yield 3, case["payload"]
    for payload in load("trust/self_tests"):
        yield 4, payload
    for case in load("wire/counters"):
        yield 5, case["plan"]
    for case in [*load("trust/roots"), *load("trust/documents")]:
        yield 6, case["envelope"]


def write_messages(folder: Path) -> None:
    """Messages of every kind, each behind the byte that chooses its decoder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (decoder, payload) in enumerate(messages()):
        (folder / f"{number:03}").write_bytes(bytes([decoder]) + bytes.fromhex(payload))


def write_counters(folder: Path) -> None:
    """What ``counters_fuzz.c`` reads: blocks behind a 0, and plans behind a 1, their length and an input's shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(json.loads((VECTORS / "wire/counters.json").read_text())):
        plan, shape = bytes.fromhex(case["plan"]), case["shape"]
        sizes = bytes(size - 1 for size in (*shape, 1, 1)[:3])
        inputs = base64.b64decode(case["inputs"])
        (folder / f"block_{number}").write_bytes(b"\0" + bytes.fromhex(case["block"]))
        described = struct.pack("<BHB", 1, len(plan), len(shape) - 1) + sizes + plan
        (folder / f"plan_{number}").write_bytes(described + inputs)


def write_front_ends(folder: Path) -> None:
    """What ``features_fuzz.c`` reads: a chain with its contracts, then the beginning of its input."""
    sys.path.insert(0, str(TESTS))
    from firmware.features_tool import Tensor, described

    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((VECTORS / "front_ends").glob("*.json")):
        for number, case in enumerate(json.loads(path.read_text())):
            if "steps" not in case:
                continue
            raw = np.frombuffer(base64.b64decode(case["input"]), "<f4").reshape(1, *case["raw_shape"])
            steps = [(step["op"], step["billionths"]) for step in case["steps"]]
            tensor = Tensor(
                tuple(case["shape"]), case["scale_mantissa"], case["scale_exponent"], case["zero_point"]
            )
            given = described(steps, raw, tensor) + raw.tobytes()[:512]
            (folder / f"{path.stem}_{number}").write_bytes(given)


def main() -> None:
    """Write the seeds of every fuzzer that has real artifacts."""
    write_plans(Path(sys.argv[1]) / "plan")
    write_messages(Path(sys.argv[1]) / "cbor")
    write_counters(Path(sys.argv[1]) / "counters")
    write_front_ends(Path(sys.argv[1]) / "features")


if __name__ == "__main__":
    main()
