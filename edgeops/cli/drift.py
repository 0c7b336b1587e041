"""``edgeops drift``: drift alerts."""

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_rows

app = typer.Typer(no_args_is_help=True, help="Drift alerts: status.\n\nExample: edgeops drift status")


@app.command("status")
def status(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """Show which devices drifted, in which window, and which feature moved how far.

    Example: edgeops drift status
    """
    from pathlib import Path

    from edgeops.control.alerts import alert_rows
    from edgeops.control.workspace import Workspace

    rows = alert_rows(Workspace(Path(workspace)))
    columns = ["alert", "model", "state", "device", "window", "moved", "decision"]
    print_rows(rows, columns, chosen(output, json), "no drift alert")
