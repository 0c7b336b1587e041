"""Writes what the fuzzers begin with, from the vectors that all languages share.

    python tests/fuzz/write_seeds.py FOLDER

Makes ``FOLDER/plan/``: the execution plans of the small models; and ``FOLDER/cbor/``: messages of every kind, behind
the byte that chooses the decoder in ``cbor_fuzz.c``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def main() -> None:
    """Write the seeds of every fuzzer that has real artifacts."""
    write_plans(Path(sys.argv[1]) / "plan")
    write_messages(Path(sys.argv[1]) / "cbor")


if __name__ == "__main__":
    main()
