"""Drift, found in merged counters alone.

``detect`` measures how far counters moved from the reference, ``watch`` turns a device's windows into at
most one alarm a model version, ``policy`` decides what the alarms of a fleet ask for, ``estimate`` says how
accurate the model probably is. All of it is pure: no clock, no I/O, no registry.
"""
