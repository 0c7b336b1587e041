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
    """Show how right each version is, as estimated and as measured, who is silent, and which devices drifted.

    Example: edgeops drift status
    """
    from pathlib import Path

    from edgeops.control.drift_status import drift_status, interval_words
    from edgeops.control.workspace import Workspace
    from edgeops.reports.standing import BLIND

    facts, form = drift_status(Workspace(Path(workspace))), chosen(output, json)
    if form is Format.JSON:
        print_json(facts)
        return
    columns = ["alert", "model", "state", "device", "window", "moved", "decision"]
    if form is Format.TABLE and facts["models"]:
        models = [
            {
                **row,
                "estimated": interval_words(row["estimated_accuracy"]),
                "measured": interval_words(row["measured_accuracy"]),
            }
            for row in facts["models"]
        ]
        print_rows(models, ["model", "devices", "silent", "drifted", "estimated", "measured"], form, "")
        tell(f"accuracy {BLIND}.")
        for note in facts["notes"]:
            tell(note)
        print()
    print_rows(facts["alerts"], columns, form, "no drift alert")


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
        {
            **row,
            "evidence": f"{row['evidence']:.2g}",
            "size": f"{row['size']:.3f}",
            "importance": None if row["importance"] is None else f"{row['importance']:.2f}",
        }
        for row in facts["features"]
    ]
    columns = ["feature", "kind", "size", "importance", "direction", "evidence", "devices"]
    print_rows(rows, columns, form, "nothing moved")
    if form is not Format.TABLE or not rows:
        return
    first = facts["features"][0]["feature"]
    bins = facts["bins"][first]
    if not bins["reference"]:
        return  # errors, faults and all features together have no bins
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
    model: Annotated[
        str | None, typer.Option(help="A version, e.g. digits@1: judge again what its devices reported.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="NPZ with x (rows, features) of the usual world, in its order.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option(help="NPZ with x, and y_true, y_pred, confidence where there are any.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Rows in a window of the stream.", min=10)] = None,
    labels: Annotated[str | None, typer.Option(help="NPZ or NPY with y_true for the stream's rows.")] = None,
    false_alarms: Annotated[
        str | None, typer.Option(help="How many are allowed; else 1 per 3000 windows, or the workspace's.")
    ] = None,
    interval: Annotated[str | None, typer.Option(help="How long a window lasts, e.g. 1m.")] = None,
    min_size: Annotated[
        float | None,
        typer.Option(help="The Jensen-Shannon distance from which a shift matters.", min=0.0, max=1.0),
    ] = None,
    run_length: Annotated[
        float, typer.Option(help="Labels between two false alarms about errors.", min=10.0)
    ] = 30_000.0,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Try the detectors on last year's data, or again on what a version's devices reported.

    Example: edgeops drift replay --reference ref.npz --stream year.npz --window 200
    """
    from edgeops.core.errors import UsageError

    form = chosen(output, json)
    if model is not None:
        if reference or stream or labels or window or interval:
            raise UsageError(
                "--model judges stored reports, which need no other input",
                fix=f"edgeops drift replay --model {model}",
            )
        _replay_stored(workspace, model, false_alarms, min_size, form)
    elif reference is None or stream is None or window is None:
        raise UsageError(
            "what is to be replayed is not said",
            fix="give --model, or --reference, --stream and --window",
        )
    else:
        allowed = (false_alarms or "1 per 3000 windows", interval)
        size = 0.02 if min_size is None else min_size
        _replay_files((reference, stream, labels), window, allowed, size, run_length, form)


def _replay_files(
    files: tuple[str, str, str | None],
    window: int,
    allowed: tuple[str, str | None],
    min_size: float,
    run_length: float,
    form: Format,
) -> None:
    from pathlib import Path

    from edgeops.control.drift_replay import replay_files
    from edgeops.drift.budget import parse_false_alarms
    from edgeops.fleet.rollout.duration import parse_duration

    reference, stream, labels = files
    seconds = parse_duration(allowed[1], "--interval") if allowed[1] is not None else None
    rate = parse_false_alarms(allowed[0]).per_window(seconds)
    labelled = Path(labels) if labels is not None else None
    found = replay_files(Path(reference), Path(stream), labelled, window, rate, min_size, run_length)
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
    columns = ["window", "kind", "features", "size", "evidence", "merged"]
    print_rows(rows, columns, form, f"no alarm in {found.windows} windows")


def _replay_stored(
    workspace: str, model: str, false_alarms: str | None, min_size: float | None, form: Format
) -> None:
    import dataclasses
    from pathlib import Path

    from edgeops.control.drift_recomputed import recompute
    from edgeops.control.workspace import Workspace

    opened = Workspace(Path(workspace))
    settings = opened.settings.drift
    settings = dataclasses.replace(
        settings,
        false_alarms=settings.false_alarms if false_alarms is None else false_alarms,
        min_size=settings.min_size if min_size is None else min_size,
    )
    found = recompute(opened, model, settings.terms())
    if form is Format.JSON:
        print_json(found.to_dict())
        return
    rows = [
        {
            **alarm,
            "features": ", ".join(alarm["features"]),
            "size": f"{alarm['size']:.3f}",
            "evidence": f"{alarm['evidence']:.2g}",
        }
        for alarm in found.alarms
    ]
    columns = ["device", "window", "kind", "scope", "features", "size", "evidence"]
    print_rows(rows, columns, form, f"no alarm in {found.windows} windows")
