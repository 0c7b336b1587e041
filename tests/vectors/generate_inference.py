"""Writes ``tests/vectors/inference/``: small int8 models, inputs, and what the reference makes of them.

    python tests/vectors/generate_inference.py

Needs the extra ``train``. The expected outputs come from LiteRT's reference kernels; optimized kernels may
differ by one step of rounding, and the vectors say so in ``tolerance``.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

FOLDER = Path(__file__).parent / "inference"
SEED = 20


def small() -> bytes:
    """A classifier of images."""
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), batch_size=1),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    return quantized(model, np.random.default_rng(SEED).normal(size=(128, 1, 8, 8, 1)))


def autoencoder() -> bytes:
    """Restores series on a line; it is made of an exact solution, so nothing is trained."""
    basis = np.stack([np.full(16, 0.25), np.linspace(-1, 1, 16)])
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    model = keras.Sequential(
        [
            keras.Input((16,), batch_size=1),
            keras.layers.Dense(2, use_bias=False),
            keras.layers.Dense(16, use_bias=False),
        ]
    )
    model.set_weights([basis.T.astype(np.float32), basis.astype(np.float32)])
    levels = np.random.default_rng(SEED).normal(size=(128, 1, 2))
    return quantized(model, levels @ basis * 4)


def quantized(model: keras.Model, values: np.ndarray) -> bytes:
    """A model as int8 ``.tflite``, its ranges taken from ``values``."""
    samples = values.astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


def spec(details: dict) -> dict:
    scale, zero_point = details["quantization"]
    return {
        "shape": [int(size) for size in details["shape"][1:]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def write(name: str, content: bytes) -> None:
    """A model and its cases."""
    reference = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    reference.allocate_tensors()
    (taken,), (given,) = reference.get_input_details(), reference.get_output_details()
    shape = tuple(taken["shape"])
    drawn = np.random.default_rng(SEED + 1).integers(-128, 128, size=(12, *shape), dtype=np.int8)
    extremes = [np.full(shape, fill, np.int8) for fill in (-128, 0, 127)]
    cases = []
    for values in [*extremes, *drawn]:
        reference.set_tensor(taken["index"], values)
        reference.invoke()
        output = reference.get_tensor(given["index"])
        cases.append({"input": values.ravel().tolist(), "output": output.ravel().tolist()})
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.tflite").write_bytes(content)
    vectors = {
        "model": f"{name}.tflite",
        "made_with": f"tensorflow {metadata.version('tensorflow')}, "
        f"reference kernels of ai-edge-litert {metadata.version('ai-edge-litert')}",
        "input": spec(taken),
        "output": spec(given),
        "tolerance": 1,
        "cases": cases,
    }
    body = json.dumps({key: value for key, value in vectors.items() if key != "cases"}, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(case, separators=(',', ':'))}" for case in cases)
    (FOLDER / f"{name}.json").write_text(f'{body},\n "cases": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    write("small_int8", small())
    write("autoencoder_int8", autoencoder())
