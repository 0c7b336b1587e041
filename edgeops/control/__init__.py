"""Composition root: ``serve``, the workers and the demo join the parts here.

The parts (training, fleet, drift, reports) do not know each other; whatever needs several of them, a broker
or a clock, is put together in this package.
"""
