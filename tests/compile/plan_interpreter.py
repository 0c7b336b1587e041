"""Runs a plan as ``plan.h`` says, slowly and plainly: what the compiler is judged by where there is no C compiler.

Knows the plan's bytes and nothing of how they were made; only the list of fields is the compiler's, and a test holds
that to the C header.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.compile.plan_format import HEADER, RECORDS, RESET, OpCode, form_of, unpacked

Int64 = NDArray[np.int64]
Record = dict[str, Any]


def run_plan(plan: bytes, inputs: bytes) -> bytes:
    """The output's bytes of one inference from a fresh state."""
    return Runner(plan).run(inputs)


class Runner:
    def __init__(self, plan: bytes) -> None:
        self.plan = plan
        self.header: Record = unpacked(HEADER, plan)
        assert self.header["plan_bytes"] == len(plan)
        # what nobody has written is noise
        self.arena = np.random.default_rng(1).integers(0, 256, self.header["arena_bytes"], np.uint8)
        self.records: list[Record] = []
        at = self.header["ops_at"]
        for _ in range(self.header["op_count"]):
            record = unpacked(RECORDS[OpCode(plan[at])], plan, at)
            assert record["record_bytes"] == form_of(RECORDS[OpCode(plan[at])]).size
            assert record["record_bytes"] % 4 == 0
            self.records.append(record)
            at += record["record_bytes"]
        assert at == self.header["ops_at"] + self.header["ops_bytes"]
        self.reset()

    def reset(self) -> None:
        for number in range(self.header["reset_count"]):
            reset: Record = unpacked(
                RESET, self.plan, self.header["resets_at"] + number * form_of(RESET).size
            )
            assert reset["at"] + reset["bytes"] <= self.header["state_bytes"]
            self.arena[reset["at"] : reset["at"] + reset["bytes"]] = reset["value"]

    def run(self, inputs: bytes) -> bytes:
        assert len(inputs) == self.header["input.bytes"]
        self.write(self.header["input.at"], np.frombuffer(inputs, np.uint8))
        for record in self.records:
            KERNELS[OpCode(record["code"])](self, record)
        return self.read(self.header["output.at"], self.header["output.bytes"], np.uint8).tobytes()

    def read(self, at: int, count: int, dtype: Any = np.int8) -> Any:
        size = count * np.dtype(dtype).itemsize
        assert at >= 0 and at + size <= len(self.arena)
        values = self.arena[at : at + size].copy().view(dtype)
        return values.astype(np.int64) if dtype == np.int8 else values

    def write(self, at: int, values: Any) -> None:
        content = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        assert at >= 0 and at + len(content) <= len(self.arena)
        self.arena[at : at + len(content)] = content

    def constant(self, at: int, count: int, dtype: Any) -> Int64:
        assert at % 4 == 0 and at + count * np.dtype(dtype).itemsize <= len(self.plan)
        return np.frombuffer(self.plan, dtype, count, at).astype(np.int64)

    def put(self, record: Record, values: Int64) -> None:
        """Clamp and write int8 values."""
        low, high = record.get("clamp_min", -128), record.get("clamp_max", 127)
        self.write(record["output"], np.clip(values, low, high).astype(np.int8))


def truncating(a: Int64, b: Any) -> Int64:
    """Division as C does it."""
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def high_multiply(x: Int64, multiplier: Any) -> Int64:
    product = x * multiplier
    return truncating(product + np.where(product >= 0, 1 << 30, 1 - (1 << 30)), 1 << 31)


def shift_right(x: Int64, by: Any) -> Int64:
    """Rounded half away from zero."""
    half = (np.int64(1) << np.asarray(by, np.int64)) >> 1
    return np.sign(x) * ((np.abs(x) + half) >> by)


def scaled(x: Int64, multiplier: Any, shift: Any) -> Int64:
    multiplier, shift = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    up = (x << np.maximum(shift, 0)).astype(np.int32).astype(np.int64)
    return shift_right(high_multiply(up, multiplier), np.maximum(-shift, 0))


def requantization(run: Runner, record: Record, channels: int) -> tuple[Int64, Int64]:
    count = channels if record["flags"] & 1 else 1
    return (
        run.constant(record["multipliers_at"], count, "<i4"),
        run.constant(record["shifts_at"], count, np.int8),
    )


def bias(run: Runner, record: Record, count: int) -> Int64:
    return run.constant(record["bias_at"], count, "<i4") if record["bias_at"] else np.zeros(count, np.int64)


def windows(record: Record, channels: int, image: Int64, outside: int) -> Int64:
    """(out_h, out_w, k_h, k_w, channels)."""
    down, across = record.get("dilation_h", 1), record.get("dilation_w", 1)
    shape = record["out_h"], record["out_w"], record["k_h"], record["k_w"], channels
    found = np.full(shape, outside, np.int64)
    for y in range(shape[0]):
        for x in range(shape[1]):
            for ky in range(shape[2]):
                for kx in range(shape[3]):
                    row = y * record["stride_h"] - record["pad_top"] + ky * down
                    column = x * record["stride_w"] - record["pad_left"] + kx * across
                    if 0 <= row < record["in_h"] and 0 <= column < record["in_w"]:
                        found[y, x, ky, kx] = image[row, column]
    return found


def image_of(run: Runner, record: Record, channels: int) -> Int64:
    count = record["in_h"] * record["in_w"] * channels
    return run.read(record["input"], count).reshape(record["in_h"], record["in_w"], channels)


def convolve(run: Runner, record: Record) -> None:
    in_c, out_c = record["in_c"], record["out_c"]
    image = image_of(run, record, in_c) + record["input_offset"]
    seen = windows(record, in_c, image, 0)
    kernel = record["k_h"], record["k_w"]
    if record["code"] == OpCode.CONV_2D:
        weights = run.constant(record["weights_at"], out_c * kernel[0] * kernel[1] * in_c, np.int8)
        sums = np.tensordot(seen, weights.reshape(out_c, *kernel, in_c), axes=((2, 3, 4), (1, 2, 3)))
    else:
        weights = run.constant(record["weights_at"], kernel[0] * kernel[1] * out_c, np.int8)
        sums = (np.repeat(seen, out_c // in_c, axis=4) * weights.reshape(*kernel, out_c)).sum((2, 3))
    sums = sums + bias(run, record, out_c)
    run.put(record, scaled(sums, *requantization(run, record, out_c)) + record["output_offset"])


def fully_connected(run: Runner, record: Record) -> None:
    rows, inputs, outputs = record["rows"], record["in"], record["out"]
    x = run.read(record["input"], rows * inputs).reshape(rows, inputs) + record["input_offset"]
    weights = run.constant(record["weights_at"], outputs * inputs, np.int8).reshape(outputs, inputs)
    sums = x @ weights.T + bias(run, record, outputs)
    run.put(record, scaled(sums, *requantization(run, record, outputs)) + record["output_offset"])


def average_pool(run: Runner, record: Record) -> None:
    image = image_of(run, record, record["channels"])
    seen = windows(record, record["channels"], image, 0)
    inside = windows(record, record["channels"], np.ones_like(image), 0).sum((2, 3))
    sums = seen.sum((2, 3))
    run.put(record, truncating(sums + np.where(sums > 0, inside // 2, -(inside // 2)), inside))


def max_pool(run: Runner, record: Record) -> None:
    run.put(
        record,
        windows(record, record["channels"], image_of(run, record, record["channels"]), -128).max((2, 3)),
    )


def mean(run: Runner, record: Record) -> None:
    shape = record["outer"], record["reduce"], record["inner"]
    sums = run.read(record["input"], int(np.prod(shape))).reshape(shape).sum(1)
    sums = sums - shape[1] * record["input_zero_point"]
    run.put(record, scaled(sums, record["multiplier"], record["shift"]) + record["output_zero_point"])


def two(run: Runner, record: Record) -> tuple[Int64, Int64]:
    count, repeated = record["elements"], record["other_elements"]
    assert count % repeated == 0
    if record["flags"] & 2:
        other = run.constant(record["other"], repeated, np.int8)
    else:
        other = run.read(record["other"], repeated)
    first = run.read(record["input"], count) + record["input_offset"]
    return first, np.tile(other, count // repeated) + record["other_offset"]


def add(run: Runner, record: Record) -> None:
    first, other = two(run, record)
    left = record["left_shift"]
    first = scaled(first << left, record["input_multiplier"], record["input_shift"])
    other = scaled(other << left, record["other_multiplier"], record["other_shift"])
    total = first - other if record["flags"] & 4 else first + other
    total = scaled(total, record["output_multiplier"], record["output_shift"])
    run.put(record, total + record["output_offset"])


def multiply(run: Runner, record: Record) -> None:
    first, other = two(run, record)
    product = scaled(first * other, record["multiplier"], record["shift"])
    run.put(record, product + record["output_offset"])


def softmax(run: Runner, record: Record) -> None:
    rows, depth = record["rows"], record["depth"]
    exps = run.constant(record["exps_at"], record["exp_count"], "<i4")
    answers = np.empty((rows, depth), np.int64)
    for row, values in enumerate(run.read(record["input"], rows * depth).reshape(rows, depth)):
        below = values.max() - values
        counted = below < record["exp_count"]
        raised = np.where(counted, exps[np.minimum(below, record["exp_count"] - 1)], 0)
        total = int(shift_right(raised, 12).sum())
        # the sum as 2**ones times a number in 1..2, of which one is taken away: Q0.31
        zeros = 32 - total.bit_length()
        fraction = ((total << zeros) - (1 << 31)) & 0xFFFFFFFF
        reciprocal = one_over_one_plus(fraction)
        exponent = (12 - zeros) + 31 - 8
        scaled_back = shift_right(high_multiply(raised, reciprocal), exponent) - 128
        answers[row] = np.where(counted, np.clip(scaled_back, -128, 127), -128)
    run.write(record["output"], answers.astype(np.int8))


def one_over_one_plus(x: int) -> int:
    """1 / (1 + x) of x in 0..1, both Q0.31, by Newton's method from 48/17 - 32/17 d."""
    half = (x + 2**31) >> 1

    def times(a: int, b: int) -> int:
        return int(high_multiply(np.asarray(a, np.int64), b))

    guess = 1515870810 + times(half, -1010580540)
    for _ in range(3):
        guess += max(-(2**31), min(2**31 - 1, times(guess, (1 << 29) - times(half, guess)) << 2))
    return min(2**31 - 1, guess << 1)


def table(run: Runner, record: Record) -> None:
    answers = run.constant(record["table_at"], 256, np.int8)
    run.put(record, answers[run.read(record["input"], record["elements"]) + 128])


def fill(run: Runner, record: Record) -> None:
    run.write(record["output"], np.full(record["bytes"], record["value"], np.int8))


def move(run: Runner, record: Record) -> None:
    source: Any = np.frombuffer(run.plan, np.uint8) if record["flags"] & 2 else run.arena.copy()
    unit = record["unit"]
    for index in np.ndindex(*record["sizes"]):
        start = record["input"] + int(np.dot(index, record["input_strides"]))
        target = record["output"] + int(np.dot(index, record["output_strides"]))
        assert start >= 0 and start + unit <= len(source)
        run.write(target, source[start : start + unit])


def quantize(run: Runner, record: Record) -> None:
    values = run.read(record["input"], record["elements"], np.float32) / np.float32(record["scale"])
    rounded = np.sign(values) * np.floor(np.abs(values.astype(np.float64)) + 0.5)
    run.put(record, np.clip(rounded + record["zero_point"], -128, 127).astype(np.int64))


def dequantize(run: Runner, record: Record) -> None:
    steps = run.read(record["input"], record["elements"]) - record["zero_point"]
    run.write(record["output"], (steps * np.float64(np.float32(record["scale"]))).astype(np.float32))


def svdf(run: Runner, record: Record) -> None:
    filters, memory, rank = record["filters"], record["memory"], record["rank"]
    dtype = np.int16 if record["flags"] & 8 else np.int8
    state = run.read(record["state"], filters * memory, dtype).astype(np.int64).reshape(filters, memory)
    x = run.read(record["input"], record["in"]) - record["input_zero_point"]
    feature = (
        run.constant(record["feature_weights_at"], filters * record["in"], np.int8).reshape(filters, -1) @ x
    )
    newest = scaled(feature, record["feature_multiplier"], record["feature_shift"])
    limits = np.iinfo(dtype)
    newest = np.clip(newest, limits.min, limits.max) + record["state_zero_point"]
    state = np.column_stack([state[:, 1:], newest.astype(dtype)])
    run.write(record["state"], state.astype(dtype))
    time = run.constant(record["time_weights_at"], filters * memory, dtype).reshape(filters, memory)
    sums = (time * (state - record["state_zero_point"])).sum(1).reshape(-1, rank).sum(1)
    sums = sums + bias(run, record, filters // rank)
    run.put(
        record, scaled(sums, record["time_multiplier"], record["time_shift"]) + record["output_zero_point"]
    )


def clamped(x: Int64) -> Int64:
    return np.clip(x, -32768, 32767)


def lstm(run: Runner, record: Record) -> None:
    units, inputs = record["units"], record["in"]
    table_of = run.constant(record["sigmoids_at"], 256, "<u2")

    def between(size: Int64, bits: int, top: int) -> Int64:
        place = np.minimum(size >> bits, 254)
        part = (table_of[place] << bits) + (size & ((1 << bits) - 1)) * (
            table_of[place + 1] - table_of[place]
        )
        return np.where(size >> bits >= 255, top, part)

    def sigmoid(x: Int64) -> Int64:
        found = between(np.abs(3 * x), 9, 0x7FFF << 10)
        return np.where(x >= 0, found + (1 << 9), (1 << 25) - found + (1 << 9) - 1) >> 10

    def tanh(x: Int64, multiplier: int = 3, shift: int = 0) -> Int64:
        v = (x * multiplier + ((1 << shift) >> 1)) >> shift
        found = between(np.abs(v), 8, 0xFFFF << 8)
        return np.where(v >= 0, found - (1 << 23) + (1 << 7), -found + (1 << 23) + (1 << 7) - 1) >> 8

    def by(name: str, x: Int64) -> Int64:
        return scaled(x, record[f"{name}_multiplier"], record[f"{name}_shift"])

    for step in range(record["steps"]):
        x = run.read(record["input"] + step * inputs, inputs) + record["input_offset"]
        h = run.read(record["hidden"], units) + record["hidden_offset"]

        def gate(name: str, x: Int64 = x, h: Int64 = h) -> Int64:
            from_input = run.constant(record[f"{name}.input_weights_at"], units * inputs, np.int8)
            from_state = run.constant(record[f"{name}.hidden_weights_at"], units * units, np.int8)
            at = record[f"{name}.bias_at"]
            sums = from_input.reshape(units, inputs) @ x + (run.constant(at, units, "<i4") if at else 0)
            first = clamped(by(f"{name}.input", sums))
            return clamped(first + clamped(by(f"{name}.hidden", from_state.reshape(units, units) @ h)))

        cell = run.read(record["cell"], units, np.int16).astype(np.int64)
        kept = clamped(by("forget", sigmoid(gate("forget")) * cell))
        cell = clamped(kept + clamped(by("update", sigmoid(gate("input")) * tanh(gate("candidate")))))
        if record["cell_clip"] > 0:
            cell = np.clip(cell, -record["cell_clip"], record["cell_clip"])
        run.write(record["cell"], cell.astype(np.int16))
        shown = sigmoid(gate("output")) * tanh(cell, record["cell_multiplier"], record["cell_shift"])
        new = np.clip(by("hidden", shown) - record["hidden_offset"], -128, 127).astype(np.int8)
        run.write(record["output"] + step * units, new)
        run.write(record["hidden"], new)


KERNELS: dict[OpCode, Callable[[Runner, Record], None]] = {
    OpCode.CONV_2D: convolve,
    OpCode.DEPTHWISE_CONV_2D: convolve,
    OpCode.FULLY_CONNECTED: fully_connected,
    OpCode.AVERAGE_POOL_2D: average_pool,
    OpCode.MAX_POOL_2D: max_pool,
    OpCode.MEAN: mean,
    OpCode.ADD: add,
    OpCode.MUL: multiply,
    OpCode.SOFTMAX: softmax,
    OpCode.TABLE: table,
    OpCode.FILL: fill,
    OpCode.MOVE: move,
    OpCode.QUANTIZE: quantize,
    OpCode.DEQUANTIZE: dequantize,
    OpCode.SVDF: svdf,
    OpCode.LSTM: lstm,
}
