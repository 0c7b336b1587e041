"""The agent that runs on a device: it updates, infers, counts and reports.

It needs ``edgeops.core``, ``edgeops.mqtt`` and one interpreter, nothing else; importing it loads nothing.
"""
