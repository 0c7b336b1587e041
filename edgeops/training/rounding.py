"""A keras model that rounds as its int8 version will, while it is still trained in float.

Kernels are rounded with one scale an output channel, symmetric; tensors that the device holds between operators
with one scale, both as the converter does it. Gradients pass through the rounding unchanged within the range
(the straight-through estimator; Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference").
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from edgeops.training.arrays import Float32
from edgeops.training.backend import load_tensorflow
from edgeops.training.fit import Forward, predict_float

_LARGEST = 127.0
_TINY = 1e-12
_KEPT = 0.99  # of a range, each step; the rest comes from the batch

# What runs within the operator before it (normalisation, ReLU), and what only moves values about.
_CONVOLUTIONS = (
    "Conv1D",
    "Conv2D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Conv2DTranspose",
    "SeparableConv2D",
)
_TAKES_IN = {*_CONVOLUTIONS, "Dense", "BatchNormalization", "Add"}
_MOVES = {"Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D", "Dropout", "SpatialDropout2D"}
# an average has its input's scale too: a rounding of its own would be finer than the device's
_MOVES |= {"MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling2D", "AveragePooling1D", "AveragePooling2D"}


def rounded_clone(model: Any, examples: Float32) -> Any:
    """A functional keras model with the same layers and weights, and rounding of each tensor between operators.

    ``examples`` (N, *shape) float32 are model inputs that give the first ranges. Raises ``ValueError`` for a
    model that is not functional.
    """
    _, keras = load_tensorflow()
    # by a tensor's id, the layer that made it; the tensor is kept too, so that its id stays its own
    made: dict[int, tuple[Any, Any]] = {}
    rounded: dict[int, Any] = {}

    def through(tensor: Any, reader: Any) -> Any:
        maker = made.get(id(tensor), (None, None))[0]
        if maker is not None and (_kind(maker) in _MOVES or _is_fused(maker, reader)):
            return tensor
        if id(tensor) not in rounded:
            rounded[id(tensor)] = _rounding_layer()(name=f"rounded_{len(rounded)}")(tensor)
        return rounded[id(tensor)]

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:
        if not isinstance(layer, keras.layers.InputLayer):
            arguments = keras.tree.map_structure(lambda tensor: through(tensor, layer), arguments)
        output = layer(*arguments, **named)
        made[id(output)] = (layer, output)
        return output

    # a sequential model has no graph of its own to insert layers into
    functional = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    clone = keras.models.clone_model(functional, call_function=call)
    copy_weights(model, clone)
    _find_ranges(clone, examples)
    return clone


def copy_weights(source: Any, target: Any) -> None:
    """Give the layers of ``target`` the weights of those of ``source`` that have the same names."""
    known = {layer.name: layer for layer in target.layers}
    for layer in source.layers:
        if layer.name in known and layer.weights:
            known[layer.name].set_weights(layer.get_weights())


def rounding_forward(clone: Any, per_channel_dense: bool) -> Forward:
    """The forward pass of a rounded clone in training, its kernels rounded too."""
    axes = _kernel_axes(clone, per_channel_dense)
    trained, kept = clone.trainable_variables, clone.non_trainable_variables

    def forward(x: Any) -> tuple[Any, list[Any]]:
        kernels = [
            _rounded_kernel(variable, axes[variable.path]) if variable.path in axes else variable.value
            for variable in trained
        ]
        values = [variable.value for variable in kept]
        outputs, changed, losses = clone.stateless_call(kernels, values, x, training=True, return_losses=True)
        for variable, value in zip(kept, changed, strict=True):
            variable.assign(value)
        return outputs, losses

    return forward


@functools.cache
def _rounding_layer() -> type[Any]:
    """The layer that rounds to 8 bits within a range that follows the batches; made once keras is there."""
    tensorflow, keras = load_tensorflow()
    layer: Any = keras.layers.Layer

    class Rounded(layer):
        """Any shape to the same; while ``watching`` it only widens its range."""

        watching = False

        def build(self, input_shape: Any) -> None:
            """Make the two ends of the range."""
            del input_shape
            self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, name="low")
            self.high = self.add_weight(shape=(), initializer="zeros", trainable=False, name="high")

        def call(self, x: Any, training: bool = False) -> Any:
            """Round; the range always holds zero, as TensorFlow Lite asks."""
            low, high = tensorflow.reduce_min(x), tensorflow.reduce_max(x)
            if self.watching:
                self.low.assign(tensorflow.minimum(self.low, low))
                self.high.assign(tensorflow.maximum(self.high, high))
                return x
            if training:
                self.low.assign(tensorflow.minimum(_KEPT * self.low + (1 - _KEPT) * low, 0.0))
                self.high.assign(tensorflow.maximum(_KEPT * self.high + (1 - _KEPT) * high, 0.0))
            return tensorflow.quantization.fake_quant_with_min_max_vars(x, self.low, self.high)

    return Rounded


def _find_ranges(clone: Any, examples: Float32) -> None:
    layers = [layer for layer in clone.layers if isinstance(layer, _rounding_layer())]
    for layer in layers:
        layer.watching = True
    predict_float(clone, examples)
    for layer in layers:
        layer.watching = False


def _kind(layer: Any) -> str:
    return type(layer).__name__


def _is_fused(maker: Any, reader: Any) -> bool:
    """Whether the converter makes one operator of the two, so that no tensor lies between them."""
    if _kind(maker) not in _TAKES_IN or _activation(maker) != "linear":
        return False
    is_relu = _kind(reader) == "Activation" and _activation(reader) in ("relu", "relu6")
    return is_relu or _kind(reader) in ("BatchNormalization", "ReLU")


def _activation(layer: Any) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _kernel_axes(clone: Any, per_channel_dense: bool) -> dict[str, tuple[int, ...]]:
    """The axes over which each kernel shares one scale, by the kernel's path."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in clone.layers:
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            kernel = getattr(layer, name, None)
            if kernel is None or len(kernel.shape) < 2:
                continue
            axes = range(len(kernel.shape))
            own: Sequence[int] = axes[-1:]
            if name == "depthwise_kernel" or _kind(layer).startswith("Depthwise"):
                own = axes[-2:]
            elif _kind(layer).endswith("Transpose"):
                own = axes[-2:-1]
            elif _kind(layer) == "Dense" and not per_channel_dense:
                own = ()
            found[kernel.path] = tuple(axis for axis in axes if axis not in own)
    return found


def _rounded_kernel(variable: Any, axes: tuple[int, ...]) -> Any:
    tensorflow, _ = load_tensorflow()
    kernel = tensorflow.convert_to_tensor(variable.value)
    largest = tensorflow.reduce_max(tensorflow.abs(kernel), axis=axes, keepdims=True)
    scale = tensorflow.maximum(largest / _LARGEST, _TINY)
    steps = tensorflow.round(kernel / scale)
    return kernel + tensorflow.stop_gradient(steps * scale - kernel)
