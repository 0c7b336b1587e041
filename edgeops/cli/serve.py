"""``edgeops serve``: the control plane."""

from typing import Annotated

import typer

from edgeops.cli.output import WorkspaceOption, say


def serve(
    workspace: WorkspaceOption = ".",
    broker: Annotated[
        str | None, typer.Option(help="The broker; else EDGEOPS_BROKER, else edgeops.toml.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
) -> None:
    """Run the control plane: ingest, rollouts, drift watch, retrain worker. Ctrl-C ends it.

    Example: edgeops serve
    """
    import os
    import time
    from pathlib import Path

    from edgeops.cli.signals import terminate_as_interrupt
    from edgeops.control.serve import ControlPlane
    from edgeops.control.serve import serve as run
    from edgeops.control.workspace import Workspace
    from edgeops.files import exclusive
    from edgeops.mqtt import MqttTransport

    terminate_as_interrupt()
    opened = Workspace(Path(workspace))
    url = broker or opened.settings.broker
    client = f"edgeops-{opened.settings.fleet}-control-{os.getpid()}"
    end = time.monotonic() + seconds if seconds is not None else None
    with exclusive(opened.root / "serve.lock", "edgeops serve"):
        plane = ControlPlane(opened, MqttTransport(url, client), say)
        try:
            say(f"connecting to {url}")
            plane.start()
            say(f"serving fleet {opened.settings.fleet} on {url}; Ctrl-C ends it")
            try:
                run(plane, lambda: end is not None and time.monotonic() >= end)
            finally:
                plane.step(0.2)  # what came while it was told to end, such as the goodbyes of devices
        finally:
            plane.close()
