"""``python -m edgeops`` is the ``edgeops`` command."""

from edgeops.cli.entry import run

if __name__ == "__main__":
    run()
