"""``edgeops fleet``: the fleet's health."""

from typing import Annotated

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    cell,
    chosen,
    iso,
    print_json,
    print_rows,
    say,
)

app = typer.Typer(no_args_is_help=True, help="Fleet health: status, report.\n\nExample: edgeops fleet status")


@app.command("status")
def status(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """Show every device: connection, wanted and confirmed version, accuracy, confidence, latency, health.

    Example: edgeops fleet status
    """
    from pathlib import Path

    from edgeops.control.fleet_report import current_health, words
    from edgeops.control.workspace import Workspace

    health = current_health(Workspace(Path(workspace)))
    form = chosen(output, json)
    if form is Format.JSON:
        document = health.as_dict()
        document["at"] = iso(health.at)
        for row, known in zip(document["rows"], health.rows, strict=True):
            row["last_seen_at"] = iso(known.last_seen_at)
        print_json(document)
        return
    rows = [
        {
            "device": row.device,
            "health": row.health,
            "connection": row.connection,
            "wanted": row.wanted,
            "confirmed": row.confirmed,
            "accuracy": words(row.accuracy),
            "confidence": words(row.confidence, said=False),
            "p95_us": row.latency_p95_us.value,
            "seen": ago(row.last_seen_at),
            "why": "; ".join(row.causes) or None,
        }
        for row in health.rows
    ]
    columns = [
        "device",
        "health",
        "connection",
        "wanted",
        "confirmed",
        "accuracy",
        "why",
        "confidence",
        "p95_us",
    ]
    print_rows(rows, columns, form, "no devices yet; edgeops device enroll NAME adds one")
    if form is Format.TABLE:
        say(f"{health.online} of {health.devices} online   open alerts {health.open_alerts}   "
            f"not usable or twice: {cell(dict(health.ingest))}")  # fmt: skip


@app.command("report")
def report(
    file: Annotated[str, typer.Argument(help="The HTML file to write.")] = "report.html",
    workspace: WorkspaceOption = ".",
) -> None:
    """Write the fleet health report: one self-contained HTML page with plots.

    Example: edgeops fleet report report.html
    """
    from pathlib import Path

    from edgeops.control.fleet_report import write_report
    from edgeops.control.workspace import Workspace

    write_report(Workspace(Path(workspace)), Path(file))
    say(f"written: {file}")
