"""Reading a .tflite: what is found, and what every kind of damage is answered with."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from targets.fit_models import NAMES, model

from edgeops.core.errors import DataError, ExitCode, exit_code_of
from edgeops.tflite import flatbuffer
from edgeops.tflite.flatbuffer import MAX_MODEL_BYTES, read_graph
from edgeops.tflite.graph import TENSOR_TYPES, Graph
from edgeops.tflite.operators import BUILTIN_OPERATORS
from edgeops.tflite.options import OPTIONS

WHOLE = model("separable")
schema = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")


# as the schema calls the options that are read
SCHEMA_NAMES = {
    "padding": "padding",
    "stride_w": "strideW",
    "stride_h": "strideH",
    "filter_w": "filterWidth",
    "filter_h": "filterHeight",
    "activation": "fusedActivationFunction",
    "dilation_w": "dilationWFactor",
    "dilation_h": "dilationHFactor",
    "multiplier": "depthMultiplier",
    "weights_format": "weightsFormat",
    "axis": "axis",
    "beta": "beta",
    "alpha": "alpha",
}


def test_a_model_is_read_as_the_schemas_own_reader_reads_it() -> None:
    compared: set[str] = set()
    for name in NAMES:
        content = model(name)
        graph, theirs = (
            read_graph(content),
            schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0)),
        )
        assert len(graph.subgraphs) == len(theirs.subgraphs)
        ours, other = graph.main, theirs.subgraphs[0]
        assert list(ours.inputs) == list(other.inputs)
        assert list(ours.outputs) == list(other.outputs)
        for tensor, expected in zip(ours.tensors, other.tensors, strict=True):
            data = theirs.buffers[expected.buffer].data
            scales = expected.quantization.scale if expected.quantization else None
            assert tensor.name == expected.name.decode()
            assert list(tensor.shape) == list(expected.shape if expected.shape is not None else [])
            assert tensor.constant_bytes == (0 if data is None else len(data))
            assert tensor.scales == (0 if scales is None else len(scales))
            assert TENSOR_TYPES[expected.type][0] == tensor.dtype
            zeros = expected.quantization.zeroPoint if expected.quantization else None
            assert tensor.zero_points == (0 if zeros is None else len(zeros))
            assert tensor.zero_point == (0 if zeros is None or not len(zeros) else zeros[0])
            axis = expected.quantization.quantizedDimension if expected.quantization else 0
            assert tensor.quantized_axis == axis
            signature = expected.shapeSignature if expected.shapeSignature is not None else []
            assert tensor.dynamic == tuple(at for at, size in enumerate(signature) if at and size < 0)
        for operator, expected in zip(ours.operators, other.operators, strict=True):
            assert list(operator.inputs) == list(expected.inputs)
            assert list(operator.outputs) == list(expected.outputs)
            given = {} if expected.builtinOptions is None else vars(expected.builtinOptions)
            for option in OPTIONS.get(operator.name, ()) if given else ():
                assert operator.options[option.name] == pytest.approx(given[SCHEMA_NAMES[option.name]])
                compared.add(operator.name)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX", "MAX_POOL_2D", "CONCATENATION"} <= compared


def test_the_operators_and_types_are_those_of_the_schema() -> None:
    numbers = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    assert [numbers[i] for i in range(len(numbers))] == list(BUILTIN_OPERATORS)
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    assert [types[i] for i in range(len(types))] == [name for name, _ in TENSOR_TYPES]


def test_a_custom_operator_keeps_its_name() -> None:
    assert {operator.name for operator in read_graph(model("custom")).operators} == {"CUSTOM:Invert", "ADD"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"TFL3", "identifier TFL3 is missing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "identifier TFL3 is missing"),
        (b"\x00\x00\x00\x00TFL3", "ends at byte 8|outside"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "ends at byte 72"),
        (WHOLE[:-1000], "ends at byte"),
        (bytes(MAX_MODEL_BYTES + 1), f"at most {MAX_MODEL_BYTES}"),
    ],
    ids=["empty", "short", "picture", "header only", "wild root", "cut", "huge"],
)
def test_what_is_no_model_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_graph(content)
    assert caught.value.message.startswith("not a usable TensorFlow Lite model: ")
    assert "\n" not in caught.value.message and caught.value.fix
    assert exit_code_of(caught.value) is ExitCode.USAGE


def test_a_model_without_operators_is_refused() -> None:
    builder = pytest.importorskip("flatbuffers").Builder(0)
    theirs = schema.ModelT(version=3, subgraphs=[schema.SubGraphT(tensors=[], operators=[])], buffers=[])
    builder.Finish(theirs.Pack(builder), b"TFL3")
    with pytest.raises(DataError, match="no operators"):
        read_graph(bytes(builder.Output()))


def rewritten(**changes: object) -> bytes:
    """The whole model with attributes of its first tensor or operator replaced."""
    import flatbuffers

    theirs = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(WHOLE, 0))
    graph = theirs.subgraphs[0]
    for name, value in changes.items():
        part, attribute = name.split("__")
        owner = {"tensor": graph.tensors[0], "operator": graph.operators[0], "code": theirs.operatorCodes[0]}[
            part
        ]
        setattr(owner, attribute, value)
    builder = flatbuffers.Builder(0)
    builder.Finish(theirs.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tensor__shape": [1, -2, 8, 1]}, r"shape \[1, -2, 8, 1\]"),
        ({"tensor__shape": [2**20, 2**20]}, "too large for any device"),
        ({"tensor__shape": [1] * 9}, "a shape of 9 numbers"),
        ({"tensor__type": 99}, "type 99"),
        ({"tensor__buffer": 10_000}, "buffer 10000"),
        ({"operator__inputs": [0, 10_000, 2]}, "names none of"),
        ({"operator__outputs": [-1]}, "names none of"),
        ({"operator__opcodeIndex": 50}, "code 50"),
        ({"code__builtinCode": 100_000}, "operator 100000"),
        ({"tensor__buffer": 2}, r"needs \d+ bytes of data"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else None,
)
def test_a_value_that_cannot_be_is_named(changes: dict[str, object], words: str) -> None:
    assert isinstance(read_graph(rewritten()), Graph)
    with pytest.raises(DataError, match=words):
        read_graph(rewritten(**changes))


@given(st.integers(0, len(WHOLE) - 1))
def test_every_truncation_is_an_error_and_never_a_crash(length: int) -> None:
    with pytest.raises(DataError):
        read_graph(WHOLE[:length])


@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12),
)
@example("separable", [(0, 255)])
def test_flipped_bytes_give_a_graph_or_a_clear_error(name: str, flips: list[tuple[int, int]]) -> None:
    content = bytearray(model(name))
    for place, value in flips:
        content[place % len(content)] = value
    try:
        graph = read_graph(bytes(content))
    except DataError as error:
        assert error.message.startswith("not a usable")
    else:
        assert graph.main.operators
        assert graph.main.peak_live_bytes >= 0


def test_the_work_is_bounded_however_many_offsets_lead_to_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MAX_ELEMENTS_READ", 100)
    with pytest.raises(DataError, match="more than 100 entries"):
        read_graph(WHOLE)
