"""``edgeops drift``: drift alerts."""

from typing import Annotated

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    chosen,
    print_json,
    print_rows,
    say,
    tell,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Drift: alerts, and what detectors say of arrays.\n\nExample: edgeops drift status",
)


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


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the alerts, each with what it says: one device, a cohort, or the fleet.

    Example: edgeops drift list
    """
    from pathlib import Path

    from edgeops.control.drift_views import alert_list
    from edgeops.control.workspace import Workspace

    rows, form = alert_list(Workspace(Path(workspace))), chosen(output, json)
    if form is Format.TABLE:
        rows = [{**row, "opened": ago(row["opened"])} for row in rows]
    print_rows(
        rows,
        ["alert", "model", "state", "devices", "diagnosis", "selector", "opened"],
        form,
        "no drift alert",
    )


@app.command("explain")
def explain(
    alert: Annotated[int, typer.Argument(help="The alert's number.")],
    device: Annotated[str | None, typer.Option(help="Only this device of it.")] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Say who drifted and what that means, which features moved, and how the first lies in its bins.

    Example: edgeops drift explain 1
    """
    from pathlib import Path

    from edgeops.cli.drift_plot import bin_lines
    from edgeops.control.drift_views import explain as facts_of
    from edgeops.control.workspace import Workspace

    facts, form = facts_of(Workspace(Path(workspace)), alert, device), chosen(output, json)
    if form is Format.JSON:
        print_json(facts)
        return
    tell(facts["words"])
    rows = [
        {**row, "evidence": f"{row['evidence']:.2g}", "size": f"{row['size']:.3f}"}
        for row in facts["features"]
    ]
    print_rows(rows, ["feature", "size", "direction", "evidence", "devices"], form, "nothing moved")
    if form is not Format.TABLE or not rows:
        return
    first = facts["features"][0]["feature"]
    bins = facts["bins"][first]
    if not bins["current"]:
        say(f"{first}: the windows of then are not kept any more (registry.keep_days)")
        return
    print(f"\n{first}")
    for line in bin_lines(bins["reference"], bins["current"]):
        print(line)


@app.command("ack")
def ack(
    alert: Annotated[int, typer.Argument(help="The alert's number.")],
    reason: Annotated[
        str | None, typer.Option(help="Why it needs no answer; kept in the audit trail.")
    ] = None,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Close an alert that needs no (more) answer: no inputs are captured for it, and it asks for no retrain.

    Example: edgeops drift ack 1 --reason "lens was dirty"
    """
    from pathlib import Path

    from edgeops.control.drift_orders import acknowledge
    from edgeops.control.workspace import Workspace

    facts = acknowledge(Workspace(Path(workspace)), alert, reason)
    if chosen(output, json) is Format.JSON:
        print_json(facts)
    else:
        say(f"alert {facts['alert']} is {facts['state']}")


@app.command("replay")
def replay(
    reference: Annotated[
        str, typer.Option(help="NPZ with x (rows, features) of the usual world, in its order.")
    ],
    stream: Annotated[
        str, typer.Option(help="NPZ with x, and y_true, y_pred, confidence where there are any.")
    ],
    window: Annotated[int, typer.Option(help="Rows in a window.", min=10)],
    labels: Annotated[str | None, typer.Option(help="NPZ or NPY with y_true for the stream's rows.")] = None,
    false_alarms: Annotated[str, typer.Option(help="How many are allowed.")] = "1 per 3000 windows",
    interval: Annotated[str | None, typer.Option(help="How long a window lasts, e.g. 1m.")] = None,
    min_size: Annotated[
        float, typer.Option(help="The Jensen-Shannon distance from which a shift matters.", min=0.0, max=1.0)
    ] = 0.02,
    run_length: Annotated[
        float, typer.Option(help="Labels between two false alarms about errors.", min=10.0)
    ] = 30_000.0,
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Try the detectors on last year's data, and see which alarms there would have been.

    Example: edgeops drift replay --reference ref.npz --stream year.npz --window 200
    """
    from pathlib import Path

    from edgeops.control.drift_replay import replay_files
    from edgeops.drift.budget import parse_false_alarms
    from edgeops.fleet.rollout.duration import parse_duration

    seconds = parse_duration(interval, "--interval") if interval is not None else None
    allowed = parse_false_alarms(false_alarms).per_window(seconds)
    labelled = Path(labels) if labels is not None else None
    found = replay_files(Path(reference), Path(stream), labelled, window, allowed, min_size, run_length)
    form = chosen(output, json)
    if form is Format.JSON:
        print_json(found.to_dict())
        return
    for note in found.notes:
        tell(f"note: {note}")
    rows = [
        {
            "window": alarm.window,
            "kind": alarm.kind,
            "features": ", ".join(alarm.features) or None,
            "size": f"{alarm.size:.3f}",
            "evidence": f"{alarm.evidence:.3g}",
            "merged": alarm.merged,
        }
        for alarm in found.alarms
    ]
    print_rows(
        rows,
        ["window", "kind", "features", "size", "evidence", "merged"],
        form,
        f"no alarm in {found.windows} windows",
    )
