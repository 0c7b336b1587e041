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
    device: Annotated[
        str | None, typer.Option(help="Only of this device, with what rollouts did with it.")
    ] = None,
    last: Annotated[int | None, typer.Option(help="Only so many of the newest entries.", min=1)] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show who or what did something, when by the clock here, and why; -o csv exports it, in UTC.

    Example: edgeops audit log --rollout 3 -o csv
    """
    from pathlib import Path

    from edgeops.cli.notices import local
    from edgeops.control.audit_views import audit_rows
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError

    if rollout is not None and device is not None:
        raise UsageError("--rollout and --device exclude each other", fix="give one of them")
    found = audit_rows(Workspace(Path(workspace)), rollout=rollout, device=device, last=last)
    form = chosen(output, json)
    if form is not Format.TABLE:
        columns = ["at", "by", "action", "of", "what", "reason", "detail"]
        print_rows([{**row, "at": iso(row["at"])} for row in found], columns, form, "nothing was done yet")
        return
    rows = [
        {
            **row,
            "at": f"{local(row['at'])} ({ago(row['at'])})",
            "why": "; ".join(said for said in (row["what"], row["reason"]) if said) or None,
        }
        for row in found
    ]
    if rollout is None:  # else every entry is of that one
        rows = [{**row, "why": f"{row['of']}: {row['why']}" if row["why"] else row["of"]} for row in rows]
    columns = ["at", "by", "action", "why"]
    print_rows(rows, columns, form, "nothing was done yet", keep=len(columns))
