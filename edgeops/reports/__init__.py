"""The health of a fleet: numbers first (``health``, ``series``, ``history``), pictures after (``html``).

Reading only: nothing here writes to the registry, keeps a clock or decides anything.
"""
