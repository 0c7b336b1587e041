"""The fleet: enrolment, desired states, rollouts, publishing, and ingest of what devices say.

``rollout/`` decides and is pure; ``rollouts`` gives it rows for state and turns its actions into desired states,
``membership``, ``hearing`` and ``judging`` say what it must know; ``desired`` and ``transfers`` write what devices are
told. ``publisher`` and ``broker_memory`` are the only ones that touch a transport; ``ingest`` writes to a session that
it is handed.
"""
