"""``edgeops doctor``: what is installed, what is in reach."""

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_rows


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
    print_rows(rows, ["check", "state", "detail", "fix"], chosen(output, json), "nothing to check")
    failed = [str(row["check"]) for row in rows if row["state"] == "FAIL"]
    if failed:
        raise CheckFailed(f"{len(failed)} checks failed: {', '.join(failed)}", fix="see the column fix above")
