"""From a recipe and a dataset to an int8 model with the proof of what it can do.

TensorFlow is loaded only when something is built, trained or converted. See ``recipe`` and ``pipeline``.
"""
