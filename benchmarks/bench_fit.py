"""The fit check: arenas of the MLPerf Tiny reference models against published figures, and latency errors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# Bytes of arena on a 32-bit Cortex-M under TensorFlow Lite Micro, and MACs, of the reference models.
PUBLISHED = {
    "keyword": (22_868, 2.66e6),
    "image": (54_436, 12.5e6),
    "person": (100_756, 7.49e6),
    "autoencoder": (2_372, 0.264e6),
}
SHAPES = {"keyword": ((49, 10, 1), 12), "image": ((32, 32, 3), 10), "person": ((96, 96, 3), 2)}
TARGET = "stm32l4r5"
SEED = 3


def rows() -> list[dict[str, Any]]:
    """A ratio to the published arena for each model, the lowest of them, MACs, time taken, and latency errors."""
    from edgeops.targets import check_fit, find_target
    from edgeops.targets.latency import errors_by_kernels, leave_one_out

    found, ratios, seconds = [], [], []
    for name, (published, macs) in PUBLISHED.items():
        model = reference_model(name)
        started = time.perf_counter()
        report = check_fit(model, find_target(TARGET))
        seconds.append(time.perf_counter() - started)
        if report.arena is None or report.arena_bytes is None:
            raise RuntimeError(f"{name}: {'; '.join(report.reasons)}")
        ratios.append(report.arena_bytes / published)
        note = (
            f"{report.arena_bytes} bytes, {report.arena_source}; published {published}; "
            f"64-bit build {report.arena.measured.total}"
        )
        found.append(_row(f"arena_{name}", ratios[-1], "x published", "lower", note))
        off = abs(report.macs / macs - 1)
        found.append(
            _row(f"macs_{name}_off", off, "share", "lower", f"{report.macs} MACs, {macs:.4g} published")
        )
    found.append(
        _row("arena_lowest", min(ratios), "x published", "higher", "never below the published figure")
    )
    found.append(_row("check_seconds", max(seconds), "s", "lower", f"{TARGET}; the slowest of four models"))
    errors = sorted(abs(math.log(estimated / result.ms)) for result, estimated in leave_one_out())
    middle = math.exp((errors[len(errors) // 2] + errors[(len(errors) - 1) // 2]) / 2) - 1
    by_kernels = ", ".join(f"{k or 'all'} x/÷ {math.exp(e):.2f}" for k, e in errors_by_kernels().items())
    note = f"{len(errors)} published results, each estimated without it; rms: {by_kernels}"
    found.append(_row("latency_leave_one_out", middle, "median error", "lower", note))
    return found


def reference_model(name: str) -> bytes:
    """A model of the reference architecture: random weights of usual size, int8, dense layers per tensor."""
    from edgeops.training.architectures import ARCHITECTURES
    from edgeops.training.backend import load_tensorflow
    from edgeops.training.quantize import quantize_int8

    _, keras = load_tensorflow()
    kind = {"keyword": "ds_cnn", "image": "resnet_8", "person": "mobilenet_v1", "autoencoder": "autoencoder"}[
        name
    ]
    built_in = ARCHITECTURES[kind]
    shape, outputs = SHAPES.get(name, ((640,), 640))
    parameters = {key: entry.default for key, entry in built_in.parameters.items()}
    build: Callable[..., Any] = built_in.build
    model = build(keras, shape, outputs, **parameters)
    rng = np.random.default_rng(SEED)
    _draw_weights(model, rng)
    samples = rng.normal(size=(8, *shape)).astype(np.float32)
    return quantize_int8(model, samples, per_channel_dense=False)


def _draw_weights(model: Any, rng: np.random.Generator) -> None:
    """Kernels as He et al. (2015) draw them: fresh weights let values vanish, and a softmax of nothing aborts."""
    for layer in model.layers:
        weights = layer.get_weights()
        for index, variable in enumerate(layer.weights):
            shape = variable.shape
            if len(shape) > 1:
                window = math.prod(shape[:2]) if "depthwise" in layer.name else math.prod(shape[:-1])
                weights[index] = rng.normal(0, math.sqrt(2 / window), shape)
            elif not variable.name.endswith(("gamma", "variance")):
                weights[index] = rng.normal(0, 0.1, shape)
        if weights:
            layer.set_weights(weights)


def _row(name: str, value: float, unit: str, better: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": better, "peer": None, "note": note}


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:24} {measured['value']:.4f}  {measured['note']}")
