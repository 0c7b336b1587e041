"""Rollouts, the pure part: whom they are for, in which stages, how fast and when, and what they decide.

Nothing in here knows a clock, a database or a broker; ``edgeops.fleet.rollouts`` brings those.
"""
