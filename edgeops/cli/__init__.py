"""The ``edgeops`` command: one thin file a noun. Heavy imports stand inside the commands."""
