"""``edgeops doctor``: what is installed, what is in reach."""

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_rows, say


def doctor(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """Check extras, broker, registry and keys. Exits with 3 when something fails.

    Example: edgeops doctor
    """
    from pathlib import Path

    from edgeops.control.doctor import examine
    from edgeops.core.errors import CheckFailed

    rows = examine(Path(workspace))
    form = chosen(output, json)
    columns = ["check", "state", "detail"] if form is Format.TABLE else ["check", "state", "detail", "fix"]
    print_rows(rows, columns, form, "nothing to check", keep=3)
    failed = [row for row in rows if row["state"] == "FAIL"]
    if form is Format.TABLE:
        for row in rows:
            if row["fix"] and not (row["state"] == "FAIL" and len(failed) == 1):
                say(f"{row['check']}: {row['fix']}")
    if failed:
        names = ", ".join(str(row["check"]) for row in failed)
        raise CheckFailed(
            f"{len(failed)} {'check' if len(failed) == 1 else 'checks'} failed: {names}",
            fix=failed[0]["fix"] if len(failed) == 1 else "the commands above, one a check",
        )
