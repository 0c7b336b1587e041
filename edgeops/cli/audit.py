"""``edgeops audit``: who did what, and why."""

from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, ago, chosen, iso, print_rows

app = typer.Typer(
    no_args_is_help=True, help="The audit trail: log.\n\nExample: edgeops audit log --rollout 3"
)


@app.command("log")
def log(
    rollout: Annotated[int | None, typer.Option(help="Only of this rollout.")] = None,
    device: Annotated[str | None, typer.Option(help="Only of this device.")] = None,
    last: Annotated[int | None, typer.Option(help="Only so many of the newest entries.", min=1)] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show who or what did something, and why; -o csv exports it.

    Example: edgeops audit log --rollout 3 -o csv
    """
    from pathlib import Path

    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError
    from edgeops.fleet.audit import entries

    if rollout is not None and device is not None:
        raise UsageError("--rollout and --device exclude each other", fix="give one of them")
    subject = f"rollout {rollout}" if rollout is not None else f"device {device}" if device else None
    with Workspace(Path(workspace)).registry.reading() as session:
        found = entries(session, subject, limit=last)
    form = chosen(output, json)
    rows = [
        {
            "at": ago(entry.at) if form is Format.TABLE else iso(entry.at),
            "by": entry.actor,
            "action": entry.action.replace("_", " "),
            "of": entry.subject,
            "reason": entry.reason,
            "detail": entry.detail,
        }
        for entry in found
    ]
    columns = ["at", "by", "action", "of", "reason"] + ([] if form is Format.TABLE else ["detail"])
    print_rows(rows, columns, form, "nothing was done yet", keep=len(columns))
