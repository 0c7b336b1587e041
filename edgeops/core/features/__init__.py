"""Front ends: how a raw input becomes the quantized tensor that a model takes.

Pure NumPy, declared in the recipe, carried in the manifest, run identically in training and on the device.
``quantize`` holds the affine int8 mapping; ``image``, ``audio`` and ``series`` what is done to each kind of
sensor; ``operations`` the table of it all by name; ``steps`` the steps of a manifest. Vectors for other
languages are in ``tests/vectors/front_ends``.
"""
