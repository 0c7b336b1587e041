"""Datasets: read a source, check every item, split by content, version, store.

Nothing here knows about models, devices or the registry. See ``sources`` and ``dataset``.
"""
