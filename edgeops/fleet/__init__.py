"""The fleet: enrolment, desired states, the rollout engine, publishing, and ingest of what devices say.

``rollout_engine`` and the counting in ``receipts`` are pure; ``ingest`` writes to a session that it is handed;
``publisher`` is the only one that touches a transport.
"""
