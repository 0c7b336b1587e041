"""Built-in architectures, one file each, and those that a recipe brings as Python code (``own``).

Each file has ``PARAMETERS``, the keys that ``[architecture]`` takes, and ``build(keras, input_shape, outputs,
**parameters)``. ``keras`` is handed in: quantization-aware training builds the same layers of ``tf_keras``.

Every layer has a fixed name: names reach the bytes of the ``.tflite``, and the same recipe must give the same
bytes whatever was built before it in the process.
"""

from edgeops.training.architectures.catalogue import ARCHITECTURES, BuiltIn

__all__ = ["ARCHITECTURES", "BuiltIn"]
