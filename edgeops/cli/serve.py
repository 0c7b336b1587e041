"""``edgeops serve``: the control plane."""

from typing import Annotated

import typer

from edgeops.cli.output import WorkspaceOption, say

LIMITS_TIMEOUT_S = 2.0


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
    from edgeops.core.errors import BrokerUnreachable
    from edgeops.files import exclusive
    from edgeops.mqtt import MqttTransport
    from edgeops.mqtt_limits import BrokerLimits, broker_limits

    terminate_as_interrupt()
    opened = Workspace(Path(workspace))
    url = broker or opened.settings.broker
    client = f"edgeops-{opened.settings.fleet}-control-{os.getpid()}"
    end = time.monotonic() + seconds if seconds is not None else None
    with exclusive(opened.root / "serve.lock", "edgeops serve"):
        say(f"connecting to {url}")
        try:
            limits = broker_limits(url, LIMITS_TIMEOUT_S)
        except BrokerUnreachable:
            limits = BrokerLimits()  # it may be about to start: the connection itself waits for it
        if limits.retains is False:
            say("warning: this broker keeps no retained messages: devices that come later find nothing")
        transport = MqttTransport(url, client)
        plane = ControlPlane(opened, transport, say, packet_bytes=limits.packet_bytes, steady=time.monotonic)
        try:
            plane.start()
            say(f"serving fleet {opened.settings.fleet} on {url}; Ctrl-C ends it")
            try:
                run(plane, lambda: end is not None and time.monotonic() >= end)
            finally:
                plane.step(0.2)  # what came while it was told to end, such as the goodbyes of devices
        finally:
            plane.close()
