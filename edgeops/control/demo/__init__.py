"""The main job, shown: ``story`` tells it step by step, ``scene`` starts the processes, ``figures`` measures.

Everything runs through the same commands and processes that a user has; only the devices' world is simulated.
"""
