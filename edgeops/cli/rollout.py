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

app = typer.Typer(no_args_is_help=True, help="Rollouts: start, list, show.\n\nExample: edgeops rollout list")


@app.command("start")
def start(
    model: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    where: Annotated[
        list[str] | None, typer.Option("--where", help="KEY=VALUE of the devices, repeatable.")
    ] = None,
    stages: Annotated[str | None, typer.Option(help="Percentages, e.g. 10,50,100.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list who would get it.")] = False,
    workspace: WorkspaceOption = ".",
    json: JsonOption = False,
) -> None:
    """Roll a model version out in stages; each advances on confirmed devices only.

    The control plane (edgeops serve) carries it out, now or when it is started.

    Example: edgeops rollout start digits@1 --stages 10,50,100
    """
    from pathlib import Path

    from edgeops.control.rollout_start import parse_stages, plan_rollout, start_in_workspace
    from edgeops.control.workspace import Workspace
    from edgeops.core.errors import UsageError

    selector = {}
    for text in where or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{text!r} is not KEY=VALUE", value=text)
        selector[key] = value
    opened = Workspace(Path(workspace))
    chosen_stages = parse_stages(stages) if stages else opened.settings.rollout.stages
    if dry_run:
        plan = plan_rollout(opened, model, selector)
        print_rows(
            plan,
            ["device", "connection", "target", "has"],
            Format.JSON if json else Format.TABLE,
            "no device",
        )
        return
    facts = start_in_workspace(opened, model, selector, chosen_stages)
    if json:
        print_json(facts)
    else:
        say(
            f"rollout {facts['rollout']}: {facts['model']} to {facts['devices']} devices in stages {facts['stages']} %"
        )
        say(f"Next: edgeops rollout show {facts['rollout']} --workspace {workspace}")


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the rollouts.

    Example: edgeops rollout list
    """
    from pathlib import Path

    from edgeops.control.rollout_start import rollout_rows
    from edgeops.control.workspace import Workspace

    form = chosen(output, json)
    rows = rollout_rows(Workspace(Path(workspace)))
    columns = ["rollout", "model", "state", "stage", "confirmed", "failed", "created"]
    print_rows([_timed(row, form) for row in rows], columns, form, "no rollouts yet; edgeops rollout start")


@app.command("show")
def show(
    rollout: Annotated[int, typer.Argument(help="The rollout's number.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show a rollout, device by device.

    Example: edgeops rollout show 1
    """
    from pathlib import Path

    from edgeops.control.rollout_start import rollout_facts
    from edgeops.control.workspace import Workspace

    form = chosen(output, json)
    facts = _timed(rollout_facts(Workspace(Path(workspace)), rollout), form)
    if form is Format.TABLE:
        devices = facts.pop("devices")
        print_facts(facts, form)
        print()
        print_rows(devices, ["device", "stage", "state", "reason"], form, "no devices")
    else:
        print_facts(facts, form)


def _timed(row: dict[str, Any], form: Format) -> dict[str, Any]:
    words = ago if form is Format.TABLE else iso
    return {
        key: words(value) if key in ("created", "finished") and value else value for key, value in row.items()
    }
