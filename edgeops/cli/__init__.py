"""The ``edgeops`` command: one thin file a noun. Heavy imports stand inside the commands.

The nouns do without ``from __future__ import annotations``: typer would evaluate every annotation from its text,
which costs ``--help`` a third of its own time.
"""
