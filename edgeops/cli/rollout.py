"""``edgeops rollout``: rollouts."""

from typing import Annotated, Any

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    chosen,
    iso,
    print_facts,
    print_json,
    print_rows,
    say,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Rollouts: start, watch, show, list, and what can be asked of one.\n\nExample: edgeops rollout list",
)

NumberArgument = Annotated[int, typer.Argument(help="The rollout's number.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")]


@app.command("start")
def start(
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    to: Annotated[str, typer.Option(help="""Which devices: 'site = "berlin" and target = "rp2040"'.""")] = "",
    stages: Annotated[str | None, typer.Option(help="Counts and shares, e.g. 1,5%,25%,100%.")] = None,
    soak: Annotated[
        str | None,
        typer.Option(help="How long a stage is watched, e.g. 10m; five report intervals if not said."),
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="When to offer, e.g. '22:00-05:00 Europe/Berlin'.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="How fast, e.g. 60/min or '10/min x2 per 50 confirmed'.")
    ] = None,
    approve: Annotated[bool, typer.Option("--approve", help="A person approves each next stage.")] = False,
    gate: Annotated[
        list[str] | None, typer.Option(help="NAME=LIMIT[:ANSWER[:EVIDENCE]] or NAME=off, repeatable.")
    ] = None,
    shadow: Annotated[
        int | None, typer.Option(help="Inputs that it sees beside the active model first.", min=0)
    ] = None,
    spread: Annotated[
        str | None, typer.Option(help="Over how long devices spread their start, e.g. 5m.")
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(help="Offer to no more devices than these bytes serve.", min=0)
    ] = 0,
    patience: Annotated[str | None, typer.Option(help="How long a quiet device is waited for.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list who would get it.")] = False,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Roll a model version out in stages; each advances on confirmed devices only.

    The control plane (edgeops serve) carries it out, now or when it is started.

    Example: edgeops rollout start digits@1 --stages 1,25%,100% --soak 10m
    """
    from pathlib import Path

    from edgeops.cli.notices import listening_notices
    from edgeops.cli.rollout_shown import print_preview, print_started
    from edgeops.control.rollout_orders import plan_of, start_in_workspace
    from edgeops.control.rollout_preview import preview_rollout
    from edgeops.control.workspace import Workspace

    opened = Workspace(Path(workspace))
    plan = plan_of(
        opened,
        to=to,
        stages=stages,
        soak=soak,
        patience=patience,
        window=window,
        rate=rate,
        approve=approve,
        gates=gate or [],
        shadow=shadow,
        spread=spread,
        max_bytes=max_bytes,
    )
    facts = preview_rollout(opened, model, plan) if dry_run else start_in_workspace(opened, model, plan)
    facts["warnings"] += listening_notices(opened, not json)
    if json:
        print_json(facts)
        return
    if dry_run:
        print_preview(facts)
        return
    print_started(facts)
    say(f"Next: edgeops rollout watch {facts['rollout']} --workspace {workspace}")


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the rollouts.

    Example: edgeops rollout list
    """
    from pathlib import Path

    from edgeops.control.rollout_views import rollout_rows
    from edgeops.control.workspace import Workspace

    form = chosen(output, json)
    rows = rollout_rows(Workspace(Path(workspace)))
    columns = ["rollout", "model", "state", "stage", "confirmed", "failed", "created"]
    print_rows([_timed(row, form) for row in rows], columns, form, "no rollouts yet; edgeops rollout start")


@app.command("show")
def show(
    rollout: NumberArgument,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show a rollout: its plan, the verdict of each gate in words and numbers, and its devices.

    Example: edgeops rollout show 1
    """
    from pathlib import Path

    from edgeops.cli.notices import listening_notices
    from edgeops.cli.rollout_shown import print_rollout
    from edgeops.control.rollout_views import rollout_facts
    from edgeops.control.workspace import Workspace

    form = chosen(output, json)
    opened = Workspace(Path(workspace))
    facts = _timed(rollout_facts(opened, rollout), form)
    facts["warnings"] = listening_notices(opened, form is Format.TABLE)
    if form is Format.TABLE:
        print_rollout(facts)
    else:
        print_facts(facts, form)


@app.command("watch")
def watch(
    rollout: NumberArgument,
    timeout: Annotated[
        float, typer.Option(help="Seconds after which to stop watching; 0 never.", min=0)
    ] = 0.0,
    workspace: WorkspaceOption = ".",
) -> None:
    """Watch a rollout until it ends; exit 3 when it was held, aborted, rolled back or superseded, or is not finished.

    Not finished it is when --timeout ends the watching.

    Example: edgeops rollout watch 1
    """
    from pathlib import Path

    from edgeops.cli.rollout_watch import watch_rollout
    from edgeops.control.workspace import Workspace

    watch_rollout(Workspace(Path(workspace)), rollout, timeout)


@app.command("pause")
def pause(
    rollout: NumberArgument,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Offer the version to no more devices until it is resumed.

    Example: edgeops rollout pause 1 --reason "trade fair"
    """
    _order(workspace, rollout, "pause", reason, json)


@app.command("resume")
def resume(
    rollout: NumberArgument,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Go on with a rollout that is paused or held; its gates begin anew.

    Example: edgeops rollout resume 1 --reason "the two cameras were unplugged"
    """
    _order(workspace, rollout, "resume", reason, json)


@app.command("approve")
def approve(
    rollout: NumberArgument,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Let a rollout that was started with --approve go on to its next stage.

    Example: edgeops rollout approve 1
    """
    _order(workspace, rollout, "approve", reason, json)


@app.command("abort")
def abort(
    rollout: NumberArgument,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """End a rollout: devices that confirmed keep the version, the others keep what they have.

    Example: edgeops rollout abort 1
    """
    _order(workspace, rollout, "abort", reason, json)


@app.command("rollback")
def rollback(
    rollout: NumberArgument,
    reason: ReasonOption = None,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Take every device of a rollout back to what it ran before; nothing is downloaded for that.

    Example: edgeops rollout rollback 1 --reason "complaints from Berlin"
    """
    _order(workspace, rollout, "roll_back", reason, json)


@app.command("retry")
def retry(
    rollout: NumberArgument,
    device: Annotated[list[str] | None, typer.Option(help="Only this device, repeatable.")] = None,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Let devices that refused the version, failed or went back try it again.

    Example: edgeops rollout retry 1 --device cam-07
    """
    from pathlib import Path

    from edgeops.cli.notices import listening_notices, warn
    from edgeops.control.rollout_orders import retry_in_workspace
    from edgeops.control.workspace import Workspace

    opened = Workspace(Path(workspace))
    facts = retry_in_workspace(opened, rollout, device or [])
    warnings = listening_notices(opened, not json)
    if json:
        print_json({**facts, "warnings": warnings})
    else:
        say(f"rollout {rollout}: {', '.join(facts['devices']) or 'no device'} to try again")
        warn(warnings)


def _order(workspace: str, rollout: int, command: Any, reason: str | None, json: bool) -> None:
    from pathlib import Path

    from edgeops.cli.notices import listening_notices, warn
    from edgeops.control.rollout_orders import order_in_workspace
    from edgeops.control.workspace import Workspace

    opened = Workspace(Path(workspace))
    facts = order_in_workspace(opened, rollout, command, reason)
    warnings = listening_notices(opened, not json)
    if json:
        print_json({**facts, "warnings": warnings})
    else:
        say(f"rollout {rollout} is {facts['state']}")
        warn(warnings)


def _timed(row: dict[str, Any], form: Format) -> dict[str, Any]:
    words = ago if form is Format.TABLE else iso
    return {
        key: words(value) if key in ("created", "finished") and value else value for key, value in row.items()
    }
