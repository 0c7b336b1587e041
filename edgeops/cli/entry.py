"""The console script: says which extra is missing where only a device's part of EdgeOps is installed."""

import sys


def run() -> None:
    """Run the command line, or name the extra that brings it."""
    try:
        from edgeops.cli.main import run as run_app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("edgeops"):
            raise
        print("error: the control side of EdgeOps is not installed here", file=sys.stderr)
        print(
            'Fix: pip install "edgeops[control]", or run the agent: python -m device_agent --help',
            file=sys.stderr,
        )
        sys.exit(2)
    run_app()
