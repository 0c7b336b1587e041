"""``edgeops apply``."""

from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, WorkspaceOption, print_json, print_rows, say


def apply(
    file: Annotated[str, typer.Argument(help="The fleet's desired state, e.g. fleet.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only show the difference; exit with 3 if there is any.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Make the fleet's desired state what a file says; the difference is shown first.

    An attribute of a device that the file does not name stays; an empty one ("") is removed.

    Example: edgeops apply fleet.toml --dry-run
    """
    import sys
    from pathlib import Path

    from edgeops.control.fleet_file import apply_file, differences
    from edgeops.control.fleet_file_reading import read_fleet_file
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import CheckFailed, UsageError

    opened = Workspace(Path(workspace))
    wanted = read_fleet_file(Path(file), opened)
    with opened.registry.reading() as session:
        changes = differences(session, wanted)
    rows = [change.to_dict() for change in changes]
    if not json:
        columns = ["change", "of", "now", "wanted"]
        print_rows(rows, columns, Format.TABLE, f"the fleet is as {file} says", keep=len(columns))
    applied = bool(changes) and not (dry_run or check)
    if applied:
        if not yes and not (sys.stdin.isatty() and not json):
            raise UsageError("nobody is there to be asked", fix=f"edgeops apply {file} --yes")
        if not yes:
            typer.confirm("Do this?", abort=True, err=True)
        rows = [change.to_dict() for change in apply_file(opened, wanted)]
        if not json:
            say("done; Next: edgeops rollout list")
    if json:
        print_json({"changes": rows, "applied": applied})
    if changes and check:
        many = "1 place" if len(changes) == 1 else f"{len(changes)} places"
        raise CheckFailed(f"the fleet differs from {file} in {many}", fix=f"edgeops apply {file}")
