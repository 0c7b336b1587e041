"""The reference models of MLPerf Tiny: their architectures with random weights, and published figures."""

from __future__ import annotations

import math
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
SEED = 3


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
