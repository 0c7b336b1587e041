"""What the control side and the devices share: no I/O, no clock, no environment.

Only numpy, cbor2 and cryptography may be imported here. ``errors`` is the exception tree, ``topics``
and ``messages`` are the wire, ``codec`` the bounded CBOR under them, ``manifest`` and ``signing`` the
contract that travels with a model, ``lifecycle`` the state tables, ``features`` the preprocessing,
``observe`` the counters, and ``transport`` the seam that ``edgeops.mqtt`` implements.
"""
