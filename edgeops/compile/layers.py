"""Layers: convolutions, fully connected layers, pooling, means and softmax as steps of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edgeops.compile.fixed_point import exp_of_negative, input_radius, multiply, quantize_multiplier
from edgeops.compile.lowering import Lowerer, Lowering
from edgeops.compile.network import same_quantization
from edgeops.compile.plan_format import MOST_CLASSES, MOST_ROW_BYTES, OpCode, OpFlag
from edgeops.compile.refusals import SMALLER, not_compilable, unsupported
from edgeops.compile.steps import Group, Step
from edgeops.tflite.options import PADDING_SAME


def convolution(one: Lowering) -> Group:
    """CONV_2D and DEPTHWISE_CONV_2D."""
    one.quantized(0)
    depthwise = one.name == "DEPTHWISE_CONV_2D"
    source, made = _image(one, one.tensor().shape), _image(one, one.made.shape)
    weights = _weights(one, 4)
    if depthwise:
        kernel, out_c, fits = weights.shape[1:3], weights.shape[3], weights.shape[0] == 1
        fits = fits and out_c % source[2] == 0
    else:
        kernel, out_c, fits = weights.shape[1:3], weights.shape[0], weights.shape[3] == source[2]
    if not fits:
        raise unsupported(
            one.name, f"weights of {list(weights.shape)} for {source[2]} channels: a grouped convolution"
        )
    if out_c != made[2]:
        raise _mismatch(one)
    if source[1] * source[2] > MOST_ROW_BYTES:
        rows = f"{one.name} reads rows of {source[1] * source[2]:,} bytes"
        raise not_compilable(f"{rows}; a plan has up to {MOST_ROW_BYTES:,}", SMALLER)
    window = _window(one, source, made, (kernel[0], kernel[1]))
    constants, flags = _requantization(one, out_c, _product_scales(one))
    fields = {**window, **_offsets(one), **one.clamp(), "in_c": source[2], "out_c": out_c}
    macs = math.prod(made) * math.prod(kernel) * (1 if depthwise else source[2])
    code = OpCode.DEPTHWISE_CONV_2D if depthwise else OpCode.CONV_2D
    return (
        Step(
            code,
            one.output,
            one.buffer(),
            fields=fields,
            constants={**constants, "weights_at": weights.tobytes(), **_bias(one, out_c)},
            flags=flags,
            macs=macs,
        ),
    )


def fully_connected(one: Lowering) -> Group:
    """FULLY_CONNECTED, its weights quantized per tensor or per channel."""
    one.quantized(0)
    weights = _weights(one, 2)
    outputs, inputs = weights.shape
    rows = one.tensor().elements // inputs if inputs else 0
    if rows * inputs != one.tensor().elements or rows * outputs != one.made.elements:
        raise _mismatch(one)
    if one.option("weights_format"):
        raise unsupported(one.name, "its weights are shuffled")
    scales = _product_scales(one)
    if one.tensor(1).scales == 1 and not one.has(2):
        # without a bias the kernel multiplies input and weight scale in float32
        with np.errstate(over="ignore"):
            product = float(np.float32(one.tensor().scale) * np.float32(one.tensor(1).scale))
        scales = [product / one.made.scale]
    constants, flags = _requantization(one, outputs, scales)
    fields = {"rows": rows, "in": inputs, "out": outputs, **_offsets(one), **one.clamp()}
    return (
        Step(
            OpCode.FULLY_CONNECTED,
            one.output,
            one.buffer(),
            fields=fields,
            constants={**constants, "weights_at": weights.tobytes(), **_bias(one, outputs)},
            flags=flags,
            macs=rows * inputs * outputs,
        ),
    )


def pooling(one: Lowering) -> Group:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    one.quantized(0)
    source, made = _image(one, one.tensor().shape), _image(one, one.made.shape)
    kernel = one.option("filter_h"), one.option("filter_w")
    if source[2] != made[2] or min(kernel) < 1:
        raise _mismatch(one)
    one.summed(math.prod(kernel))
    window = _window(one, source, made, kernel)
    fields = {name: value for name, value in window.items() if not name.startswith("dilation")}
    code = OpCode.AVERAGE_POOL_2D if one.name == "AVERAGE_POOL_2D" else OpCode.MAX_POOL_2D
    return (Step(code, one.output, one.buffer(), fields={**fields, "channels": source[2], **one.clamp()}),)


def mean(one: Lowering) -> Group:
    """MEAN over axes that lie side by side."""
    one.quantized(0)
    shape = one.tensor().shape
    axes = {axis + len(shape) if axis < 0 else axis for axis in one.integers(1)}
    if not axes <= set(range(len(shape))):
        raise _mismatch(one)
    # an axis of size one may count as reduced or not
    reduced = [axis for axis in sorted(axes) if shape[axis] > 1]
    first, end = (reduced[0], reduced[-1] + 1) if reduced else (0, 0)
    if any(shape[axis] > 1 and axis not in axes for axis in range(first, end)):
        raise unsupported(one.name, f"the axes {sorted(axes)} of {list(shape)} do not lie side by side")
    outer, count, inner = math.prod(shape[:first]), math.prod(shape[first:end]), math.prod(shape[end:])
    if outer * inner != one.made.elements:
        raise _mismatch(one)
    one.summed(count)
    fields: dict[str, object] = {"outer": outer, "reduce": count, "inner": inner}
    source, made = one.tensor(), one.made
    multiplier, shift = one.multiplier(source.scale / made.scale)
    # 1 / count goes into the multiplier, which keeps its 31 bits by as many shifts as count has
    more = min(count.bit_length() - 1, 32, 31 + shift)
    fields |= {
        "input_zero_point": source.zero_point,
        "output_zero_point": made.zero_point,
        "multiplier": (multiplier << more) // count,
        "shift": shift - more,
    }
    return (Step(OpCode.MEAN, one.output, one.buffer(), fields=fields),)


def maximum(one: Lowering) -> Group:
    """REDUCE_MAX over the height and width of an image: one window as large as the image."""
    one.quantized(0)
    height, width, channels = _image(one, one.tensor().shape)
    axes = {axis + 4 if axis < 0 else axis for axis in one.integers(1)}
    if axes != {1, 2} or one.made.elements != channels or not same_quantization(one.tensor(), one.made):
        raise unsupported(one.name, "it is not over the height and width of an image")
    one.summed(height * width)
    window = {"in_h": height, "in_w": width, "k_h": height, "k_w": width, "out_h": 1, "out_w": 1}
    fields = {**window, "stride_h": 1, "stride_w": 1, "channels": channels, **one.clamp()}
    return (Step(OpCode.MAX_POOL_2D, one.output, one.buffer(), fields=fields),)


def softmax(one: Lowering) -> Group:
    """SOFTMAX over the last axis; the exponentials that can occur come with the plan."""
    one.quantized(0)
    one.same_size()
    source, made = one.tensor(), one.made
    if made.zero_point != -128 or made.scale != 1 / 256:
        raise unsupported(one.name, "its output does not have the scale 1/256 and the zero point -128")
    depth = source.shape[-1] if source.shape else 1
    if depth > MOST_CLASSES:
        raise not_compilable(
            f"a softmax is over {depth:,} classes; a plan has up to {MOST_CLASSES:,}, whose sum fits 32 bits",
            SMALLER,
        )
    real = min(one.node.options.get("beta", 1.0) * source.scale * (1 << 26), (1 << 31) - 1.0)
    if not real > 1.0:
        raise not_compilable(
            f"a softmax reads values of scale {source.scale:.2g}, too small for its integer multiplier: the model "
            "looks untrained",
            "train it, and convert it again",
        )
    multiplier, shift = quantize_multiplier(real)
    count = min(input_radius(5, shift), 255) + 1
    distances = -np.arange(count, dtype=np.int64)
    exponentials = exp_of_negative(multiply(distances, multiplier, shift), 5)
    return (
        Step(
            OpCode.SOFTMAX,
            one.output,
            one.buffer(),
            fields={"rows": source.elements // depth, "depth": depth, "exp_count": count},
            constants={"exps_at": exponentials.astype("<i4").tobytes()},
        ),
    )


def _image(one: Lowering, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of one image."""
    if len(shape) != 4:
        raise unsupported(one.name, f"its shape {list(shape)} is not (1, height, width, channels)")
    if shape[0] != 1:
        raise unsupported(one.name, f"its shape {list(shape)} has a batch of {shape[0]}, not 1")
    return shape[1], shape[2], shape[3]


def _weights(one: Lowering, rank: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    tensor = one.tensor(1)
    if tensor.dtype != "int8":
        raise unsupported(
            one.name, f"its weights are {tensor.dtype}; plans have int8 weights", dtype=tensor.dtype
        )
    values = one.values(1)
    if values.ndim != rank or 0 in values.shape:
        raise unsupported(one.name, f"its weights have shape {list(values.shape)}")
    if (
        tensor.zero_points
        and np.frombuffer(one.network.model, "<i8", tensor.zero_points, tensor.zero_point_at).any()
    ):
        raise unsupported(one.name, "its weights have a zero point")
    return values.astype(np.int8, copy=False)


def _bias(one: Lowering, outputs: int) -> dict[str, bytes]:
    if not one.has(2):
        return {}
    if one.tensor(2).dtype != "int32" or one.tensor(2).elements != outputs:
        raise unsupported(one.name, f"its bias is not {outputs} values of int32")
    values = one.values(2)
    return {"bias_at": values.astype("<i4").tobytes()} if values.any() else {}


def _offsets(one: Lowering) -> dict[str, object]:
    return {"input_offset": -one.tensor().zero_point, "output_offset": one.made.zero_point}


def _product_scales(one: Lowering) -> list[float]:
    """Input scale times weight scale over output scale, in float64, for each scale of the weights."""
    scales = one.scales(1).astype(np.float64)
    if not scales.size or not np.isfinite(scales).all() or (scales < 0).any():
        raise not_compilable(
            f"the weights of {one.name} have no usable scale", "quantize the model again, with int8"
        )
    return [float(scale) for scale in np.float64(one.tensor().scale) * scales / np.float64(one.made.scale)]


def _requantization(one: Lowering, outputs: int, scales: list[float]) -> tuple[dict[str, bytes], OpFlag]:
    """Multipliers and shifts, one for all outputs where they are the same."""
    if len(scales) not in (1, outputs):
        raise unsupported(one.name, f"its weights have {len(scales)} scales for {outputs} outputs")
    pairs = [one.multiplier(scale) for scale in scales]
    flags = OpFlag.PER_CHANNEL
    if len(set(pairs)) == 1:
        pairs, flags = pairs[:1], OpFlag(0)
    multipliers, shifts = zip(*pairs, strict=True)
    return {
        "multipliers_at": np.asarray(multipliers, "<i4").tobytes(),
        "shifts_at": np.asarray(shifts, np.int8).tobytes(),
    }, flags


def _window(
    one: Lowering, source: tuple[int, int, int], made: tuple[int, int, int], kernel: tuple[int, int]
) -> dict[str, object]:
    """The fields of a window that slides over an image, with the padding that was fused in."""
    fields: dict[str, object] = {}
    top, left, bottom, right = one.node.padding
    axes = (("h", "top", 0, top, bottom), ("w", "left", 1, left, right))
    for axis, side, at, before, after in axes:
        stride, dilation = one.option(f"stride_{axis}"), one.option(f"dilation_{axis}", 1)
        size, extent = source[at] + before + after, (kernel[at] - 1) * dilation + 1
        if stride < 1 or dilation < 1:
            raise _mismatch(one)
        if one.option("padding") == PADDING_SAME:
            count = -(-size // stride)
            own = max(0, (count - 1) * stride + extent - size) // 2
        else:
            count, own = -(-(size - extent + 1) // stride), 0
        if count != made[at]:
            raise _mismatch(one)
        fields |= {
            f"in_{axis}": source[at],
            f"out_{axis}": made[at],
            f"k_{axis}": kernel[at],
            f"stride_{axis}": stride,
            f"dilation_{axis}": dilation,
            f"pad_{side}": own + before,
        }
    return fields


def _mismatch(one: Lowering) -> Exception:
    return not_compilable(f"the shapes of {one.name} do not fit each other", "convert the model again")


LAYERS: Mapping[str, Lowerer] = {
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": convolution,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": pooling,
    "MAX_POOL_2D": pooling,
    "MEAN": mean,
    "REDUCE_MAX": maximum,
    "SOFTMAX": softmax,
}
