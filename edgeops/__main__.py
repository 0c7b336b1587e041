"""``python -m edgeops`` is the ``edgeops`` command."""

from edgeops.cli.main import run

if __name__ == "__main__":
    run()
