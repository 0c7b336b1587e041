"""``edgeops broker``: a private broker for trying out."""

from typing import Annotated

import typer

from edgeops.cli.output import say

app = typer.Typer(
    no_args_is_help=True, help="A private broker: run.\n\nExample: edgeops broker run --port 1883"
)


@app.command("run")
def run(
    port: Annotated[int, typer.Option(help="The port on the loopback interface.")] = 1883,
    kind: Annotated[str | None, typer.Option(help="mosquitto or amqtt; the first that is there.")] = None,
    folder: Annotated[str | None, typer.Option(help="Keep retained messages here (Mosquitto).")] = None,
) -> None:
    """Run a broker on the loopback interface until Ctrl-C.

    Mosquitto where it is installed, else the embedded amqtt, which keeps nothing over a restart.

    Example: edgeops broker run --port 1883
    """
    import time
    from pathlib import Path
    from typing import cast

    from edgeops.cli.signals import terminate_as_interrupt
    from edgeops.control.broker import Kind, PrivateBroker
    from edgeops.core.errors import BrokerUnreachable, UsageError

    if kind not in (None, "mosquitto", "amqtt"):
        raise UsageError(f"no broker is called {kind!r}", fix="--kind mosquitto or --kind amqtt")
    terminate_as_interrupt()
    with PrivateBroker(port, Path(folder) if folder else None, cast("Kind | None", kind)) as broker:
        say(f"{broker.kind} listens at {broker.url} (this machine only); Ctrl-C ends it")
        while broker.running:
            time.sleep(0.2)
        raise BrokerUnreachable(f"{broker.kind} ended by itself", fix=f"read {broker.log}")
