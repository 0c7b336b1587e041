"""``edgeops apply``."""

from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, WorkspaceOption, print_json, print_rows, say


def apply(
    file: Annotated[str, typer.Argument(help="The fleet's desired state, e.g. fleet.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Make the fleet's desired state what a file says; the difference is shown first.

    Example: edgeops apply fleet.toml --dry-run
    """
    import sys
    from pathlib import Path

    from edgeops.control.fleet_file import apply_file, differences, read_fleet_file
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError

    opened = Workspace(Path(workspace))
    wanted = read_fleet_file(Path(file), opened)
    with opened.registry.reading() as session:
        changes = differences(session, wanted)
    rows = [change.to_dict() for change in changes]
    if not json:
        print_rows(rows, ["change", "of", "now", "wanted"], Format.TABLE, f"the fleet is as {file} says")
    if changes and not dry_run:
        if not yes and not (sys.stdin.isatty() and not json):
            raise UsageError("nobody is there to be asked", fix=f"edgeops apply {file} --yes")
        if not yes:
            typer.confirm("Do this?", abort=True, err=True)
        rows = [change.to_dict() for change in apply_file(opened, wanted)]
        if not json:
            say("done; Next: edgeops rollout list")
    if json:
        print_json({"changes": rows, "applied": bool(changes) and not dry_run})
