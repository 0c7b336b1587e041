"""EdgeOps: train, quantize, push, watch and retrain small models on fleets of devices.

This package is the control side; ``edgeops.core`` and ``edgeops.mqtt`` are shared with the devices
(see ``device_agent``). Importing it costs nothing: no heavy library is loaded here.
"""

__version__ = "0.1.0"
