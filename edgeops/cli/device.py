"""``edgeops device``: devices."""

from typing import Annotated

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    chosen,
    iso,
    print_facts,
    print_rows,
    say,
)

app = typer.Typer(no_args_is_help=True, help="Devices: enroll, list, show.\n\nExample: edgeops device list")


@app.command("enroll")
def enroll(
    name: Annotated[str, typer.Argument(help="The device's id.")],
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", help="KEY=VALUE, repeatable.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="What it infers on, e.g. replay:FOLDER.")] = None,
    interval_ms: Annotated[int, typer.Option(help="The pause between two inputs.")] = 100,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Add a device and write the two files that it needs: agent.toml and trust.cose.

    Example: edgeops device enroll cam-01 -a site=berlin --source replay:field
    """
    from pathlib import Path

    from edgeops.cli.output import print_json
    from edgeops.control.devices import enroll_device
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError

    attributes = {}
    for text in attribute or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{text!r} is not KEY=VALUE", value=text)
        attributes[key] = value
    path = enroll_device(Workspace(Path(workspace)), name, attributes, source, interval_ms)
    if json:
        print_json({"device": name, "attributes": attributes, "config": str(path)})
    else:
        say(f"device {name} enrolled; its files are in {path.parent}")
        say(f"Next: python -m device_agent run --config {path}")


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the devices and what was last heard of them.

    Example: edgeops device list
    """
    from pathlib import Path

    from sqlmodel import select

    from edgeops.control.workspace import Workspace
    from edgeops.registry.tables import Device

    with Workspace(Path(workspace)).registry.reading() as session:
        rows = session.exec(select(Device).order_by(Device.id)).all()
    form = chosen(output, json)
    table = [
        {
            "device": row.id,
            "connection": "online" if row.online else ("offline" if row.last_seen_at else "never"),
            "seen": ago(row.last_seen_at) if form is Format.TABLE else iso(row.last_seen_at),
            "attributes": row.attributes,
            "agent": row.agent or None,
            "runtime": row.runtime or None,
            "target": row.target or None,
        }
        for row in rows
    ]
    columns = ["device", "connection", "seen", "attributes", "agent", "runtime"]
    print_rows(table, columns, form, "no devices yet; edgeops device enroll NAME adds one")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="The device's id.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show one device: what it runs, what it is asked to run, its last transitions.

    Example: edgeops device show cam-01
    """
    from pathlib import Path

    from edgeops.control.devices import device_facts
    from edgeops.control.workspace import Workspace

    print_facts(device_facts(Workspace(Path(workspace)), name), chosen(output, json))
