"""How much flash a model takes: its file, and the code of the runtime that runs it.

The code is estimated: the sizes are those of the functions in the pinned ``tflite-micro`` wheel, an optimized
x86-64 build of the reference kernels, read from its symbol table. Thumb-2 code of the same functions is
smaller by about a third, which leaves room for start-up code and the C library; CMSIS-NN kernels are larger
than reference kernels by about as much. Only the operators that the model uses are linked in
(``MicroMutableOpResolver``).
"""

from __future__ import annotations

from types import MappingProxyType

from edgeops.tflite.graph import Graph

# interpreter, allocator, memory planner, reading of the model, quantization helpers
RUNTIME_BASE = 43_436
# an operator that is not listed
OTHER_OPERATOR = 8_192

OPERATOR_CODE = MappingProxyType(
    {
        "ADD": 13_586,
        "AVERAGE_POOL_2D": 9_739,
        "BATCH_MATMUL": 10_716,
        "CONCATENATION": 1_588,
        "CONV_2D": 11_503,
        "DEPTHWISE_CONV_2D": 8_065,
        "DEQUANTIZE": 1_228,
        "FULLY_CONNECTED": 9_342,
        "LOGISTIC": 2_079,
        "MEAN": 13_071,
        "MUL": 23_678,
        "PAD": 8_230,
        "QUANTIZE": 5_217,
        "RESHAPE": 1_723,
        "SOFTMAX": 6_420,
        "STRIDED_SLICE": 19_635,
        "SUB": 18_842,
        "SVDF": 7_592,
        "TANH": 5_118,
        "TRANSPOSE_CONV": 9_075,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": 14_221,
    }
)
# operators that are one object file
_TOGETHER = MappingProxyType({"MAX_POOL_2D": "AVERAGE_POOL_2D"})


def runtime_code_bytes(graph: Graph) -> int:
    """The estimated code of TensorFlow Lite Micro with the operators of ``graph``, in bytes."""
    names = {_TOGETHER.get(operator.name, operator.name) for operator in graph.operators}
    return RUNTIME_BASE + sum(OPERATOR_CODE.get(name, OTHER_OPERATOR) for name in names)
