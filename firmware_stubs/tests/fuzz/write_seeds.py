"""Writes what the fuzzers begin with, from the vectors that all languages share.

    python tests/fuzz/write_seeds.py FOLDER

Makes ``FOLDER/plan/``: the execution plans of the small models.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgeops.compile import compile_plan

VECTORS = Path(__file__).resolve().parents[3] / "tests" / "vectors"
MODELS = (
    "fit/dense",
    "fit/dense_per_channel",
    "fit/mixed",
    "fit/residual",
    "fit/separable",
    "inference/small_int8",
)


def main() -> None:
    """Write the seeds of every fuzzer that has real artifacts."""
    folder = Path(sys.argv[1]) / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        plan = compile_plan((VECTORS / f"{name}.tflite").read_bytes())
        (folder / name.replace("/", "_")).write_bytes(plan.plan)


if __name__ == "__main__":
    main()
