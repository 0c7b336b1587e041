"""Front ends: how a raw input becomes the quantized tensor that a model takes.

Pure NumPy, declared in the recipe, carried in the manifest, run identically in training and on the device.
``quantize`` holds the affine int8 mapping, ``steps`` the named preprocessing operations.
"""
