"""MACs, parameters and live tensors, against counts made by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from targets.fit_models import model

from edgeops.targets.latency import MODELS, reference_work
from edgeops.targets.ops import Kind, operator_counts, parameter_count, work_of
from edgeops.tflite.flatbuffer import read_graph
from edgeops.tflite.graph import Graph, Operator, Subgraph, Tensor


def tensor(*shape: int, constant: bool = False, dtype: str = "int8") -> Tensor:
    made = Tensor("t", shape, dtype, 0, 1, 1.0, 0, False)
    return Tensor("t", shape, dtype, made.bytes if constant else 0, 1, 1.0, 0, False)


def graph(name: str, inputs: list[Tensor], output: Tensor) -> Graph:
    count = len(inputs)
    operator = Operator(name, tuple(range(count)), (count,))
    return Graph((Subgraph((*inputs, output), (0,), (count,), (operator,)),), 0)


def weights(*shape: int) -> Tensor:
    return tensor(*shape, constant=True)


@pytest.mark.parametrize(
    ("name", "inputs", "output", "kind", "macs"),
    [
        ("CONV_2D", [tensor(1, 8, 8, 3), weights(16, 3, 3, 3)], tensor(1, 4, 4, 16), "convolution", 256 * 27),
        ("CONV_2D", [tensor(1, 8, 8, 3), weights(16, 1, 1, 3)], tensor(1, 8, 8, 16), "separable", 1024 * 3),
        (
            "DEPTHWISE_CONV_2D",
            [tensor(1, 8, 8, 4), weights(1, 3, 5, 8)],
            tensor(1, 8, 8, 8),
            "separable",
            512 * 15,
        ),
        (
            "FULLY_CONNECTED",
            [tensor(1, 640), weights(128, 640)],
            tensor(1, 128),
            "fully_connected",
            128 * 640,
        ),
        ("FULLY_CONNECTED", [tensor(1, 5, 6), weights(7, 6)], tensor(1, 5, 7), "fully_connected", 5 * 7 * 6),
        (
            "TRANSPOSE_CONV",
            [weights(4), weights(8, 2, 2, 3), tensor(1, 5, 5, 3)],
            tensor(1, 10, 10, 8),
            "convolution",
            75 * 8 * 4,
        ),
        (
            "BATCH_MATMUL",
            [tensor(2, 4, 5), tensor(2, 5, 6)],
            tensor(2, 4, 6),
            "fully_connected",
            2 * 4 * 5 * 6,
        ),
        ("SVDF", [tensor(1, 9), weights(8, 9), weights(8, 10)], tensor(1, 4), "fully_connected", 72 + 80),
        (
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            [tensor(1, 7, 3), weights(4, 3), weights(4, 4)],
            tensor(1, 7, 4),
            "fully_connected",
            7 * (12 + 16),
        ),
    ],
)
def test_macs_of_each_operator(name: str, inputs: list[Tensor], output: Tensor, kind: str, macs: int) -> None:
    work = work_of(graph(name, inputs, output))
    assert work.macs_by_kind == {**dict.fromkeys(Kind, 0), Kind(kind): macs}
    assert work.macs == macs
    assert work.other_elements == 0


def test_operators_without_macs_count_the_values_that_they_go_through() -> None:
    pooled = work_of(graph("AVERAGE_POOL_2D", [tensor(1, 8, 8, 2)], tensor(1, 1, 1, 2)))
    assert (pooled.macs, pooled.other_elements) == (0, 128)
    assert work_of(graph("RESHAPE", [tensor(1, 8, 8, 2)], tensor(1, 128))).other_elements == 0


@pytest.mark.parametrize("shape", [(), (3,), (0, 0, 0, 0)])
def test_shapes_that_make_no_sense_cost_nothing_and_raise_nothing(shape: tuple[int, ...]) -> None:
    for name in (
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "BATCH_MATMUL",
        "TRANSPOSE_CONV",
        "CONV_3D",
    ):
        assert work_of(graph(name, [tensor(*shape)] * 3, tensor(*shape))).macs >= 0


def test_a_real_model_is_counted_operator_by_operator() -> None:
    found = read_graph(model("separable"))
    # 12x8x1, stride 2: 6x4; 4x3 kernels to 8 filters, 3x3 depthwise, 1x1 to 8 filters, pooled, 8 to 4 classes
    assert work_of(found).macs_by_kind == {
        Kind.CONVOLUTION: 6 * 4 * 8 * 12,
        Kind.SEPARABLE: 6 * 4 * 8 * 9 + 6 * 4 * 8 * 8,
        Kind.FULLY_CONNECTED: 32,
    }
    # the last layer's bias is zero, and the converter leaves it out
    assert parameter_count(found) == (12 * 8 + 8) + (9 * 8 + 8) + (8 * 8 + 8) + 8 * 4
    assert operator_counts(found) == {
        "CONV_2D": 2,
        "DEPTHWISE_CONV_2D": 1,
        "AVERAGE_POOL_2D": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }
    assert found.main.peak_live_bytes == 2 * 6 * 4 * 8


def test_a_tensor_that_skips_ahead_lives_until_it_is_read() -> None:
    # convolved (256) stays alive through the second convolution (256): a residual block holds three at its end
    assert read_graph(model("residual")).main.peak_live_bytes == 3 * 8 * 8 * 4


def conv(height: int, width: int, window: int, inputs: int, outputs: int) -> int:
    return height * width * window * inputs * outputs


def mlperf_tiny(name: str) -> dict[Kind, int]:
    """The MACs of the reference models, from the sizes of their layers (Banbury et al. 2021, section 4)."""
    if name == "autoencoder":
        sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
        return {Kind.FULLY_CONNECTED: sum(a * b for a, b in pairwise(sizes))}
    if name == "keyword":
        block = conv(25, 5, 9, 64, 1) + conv(25, 5, 1, 64, 64)
        return {
            Kind.CONVOLUTION: conv(25, 5, 40, 1, 64),
            Kind.SEPARABLE: 4 * block,
            Kind.FULLY_CONNECTED: 64 * 12,
        }
    if name == "image":
        deep = (
            conv(16, 16, 9, 16, 32) + conv(16, 16, 9, 32, 32) + conv(8, 8, 9, 32, 64) + conv(8, 8, 9, 64, 64)
        )
        return {
            Kind.CONVOLUTION: conv(32, 32, 9, 3, 16) + 2 * conv(32, 32, 9, 16, 16) + deep,
            Kind.SEPARABLE: conv(16, 16, 1, 16, 32) + conv(8, 8, 1, 32, 64),
            Kind.FULLY_CONNECTED: 64 * 10,
        }
    side, channels, separable = 48, 8, 0
    for stride, filters in (
        (1, 16),
        (2, 32),
        (1, 32),
        (2, 64),
        (1, 64),
        (2, 128),
        *[(1, 128)] * 5,
        (2, 256),
        (1, 256),
    ):
        side //= stride
        separable += conv(side, side, 9, channels, 1) + conv(side, side, 1, channels, filters)
        channels = filters
    return {
        Kind.CONVOLUTION: conv(48, 48, 9, 3, 8),
        Kind.SEPARABLE: separable,
        Kind.FULLY_CONNECTED: 256 * 2,
    }


@pytest.mark.parametrize("name", MODELS)
def test_the_work_of_the_reference_models_is_that_of_their_layers(name: str) -> None:
    assert reference_work(name).macs_by_kind == {**dict.fromkeys(Kind, 0), **mlperf_tiny(name)}
    published = {"autoencoder": 0.264e6, "keyword": 2.66e6, "image": 12.5e6, "person": 7.49e6}
    assert reference_work(name).macs == pytest.approx(published[name], rel=0.002)
