"""``edgeops init``."""

from typing import Annotated

import typer

from edgeops.cli.output import JsonOption, print_json, say


def init(
    folder: Annotated[str, typer.Argument(help="The folder to make the workspace in.")],
    fleet: Annotated[str, typer.Option(help="The name of the fleet, a level of every topic.")] = "fleet",
    broker: Annotated[str, typer.Option(help="The broker's address.")] = "mqtt://127.0.0.1:1883",
    json: JsonOption = False,
) -> None:
    """Make a workspace: settings, registry, blob store, signing keys.

    Example: edgeops init farm --fleet farm
    """
    from pathlib import Path

    from edgeops.control.settings import Settings
    from edgeops.control.workspace import init_workspace
    from edgeops.core.topics import check_name
    from edgeops.mqtt import parse_url

    parse_url(broker)
    workspace = init_workspace(Path(folder), Settings(check_name(fleet, "fleet"), broker))
    if json:
        print_json({"workspace": str(workspace.root), "fleet": fleet, "broker": broker})
    else:
        say(
            f"workspace {folder} made: fleet {fleet}, keys in {folder}/keys, settings in {folder}/edgeops.toml"
        )
        say(f"Next: edgeops data add FOLDER --name NAME --workspace {folder}, one subfolder a class;")
        say(f"or, to try it: edgeops data add sklearn:digits --name digits --workspace {folder}")
