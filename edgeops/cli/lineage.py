"""``edgeops lineage``: from an alarm to whether it cleared."""

from typing import Annotated, Any

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, WorkspaceOption, chosen, print_facts, tell

app = typer.Typer(no_args_is_help=True, help="Lineage: show.\n\nExample: edgeops lineage show 1")


@app.callback()
def group() -> None:
    """Lineage: show.

    Example: edgeops lineage show 1
    """


@app.command("show")
def show(
    of: Annotated[str, typer.Argument(help="An alert's number, or MODEL@VERSION.", metavar="ALERT")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show alarm, captured data, retrains, version, rollout, and whether the alarm cleared; of a version, the same.

    Example: edgeops lineage show 1
    """
    from pathlib import Path

    from edgeops.control.lineage_views import chain
    from edgeops.control.workspace import Workspace

    facts, form = chain(Workspace(Path(workspace)), of), chosen(output, json)
    if form is not Format.TABLE:
        print_facts(facts, form)
        return
    print_facts(_lines(facts), form)
    if "outcome" in facts:
        tell(facts["outcome"]["words"])


def _lines(facts: dict[str, Any]) -> dict[str, str]:
    """The chain from top to bottom, a line for each link."""
    lines: dict[str, str] = {}
    if "version" in facts:
        lines.update(_version(facts["version"]))
    if "alert" not in facts:
        return lines
    alert, captured = facts["alert"], facts["captured"]
    who = f"{len(alert['devices'])} devices" if len(alert["devices"]) != 1 else alert["devices"][0]
    lines["alarm"] = f"{alert['alert']} of {alert['model']}: {who}, {alert['selector'] or alert['diagnosis']}"
    moved = [f"{entry['feature']} {entry['size']:.2f}" for entry in alert["features"][:4]]
    lines["moved"] = ", ".join(moved) or "-"
    lines["decision"] = alert["decision"]
    devices = len(captured["labelled_by_device"])
    sources = ", ".join(f"{count} by {source}" for source, count in captured["labelled_by_source"].items())
    lines["captured"] = f"{captured['samples']} samples, {captured['labelled']} labelled" + (
        f" ({sources}), of {devices} device{'' if devices == 1 else 's'}" if sources else ""
    )
    for retrain in facts["retrains"]:
        lines.update(_retrain(retrain))
    lines["outcome"] = facts["outcome"]["verdict"]
    return lines


def _version(version: dict[str, Any]) -> dict[str, str]:
    asked = (
        f"retrain {version['retrain']} for alert {version['alert']}"
        if version["retrain"]
        else "asked for by a person"
    )
    parent = f", made of {version['parent']}" if version["parent"] else ""
    return {"of": f"{version['version']} ({version['state']}): run {version['run']}, {asked}{parent}"}


def _retrain(retrain: dict[str, Any]) -> dict[str, str]:
    name = f"retrain {retrain['retrain']}"
    lines = {name: f"{retrain['state']}, {retrain['samples']} labelled samples"}
    if retrain["dataset"]:
        data = retrain["dataset"]
        lines[f"{name} data"] = f"{data['dataset']}, {data['held_out']} held out"
    for attempt in retrain["attempts"]:
        failed = [gate["name"] for gate in attempt.get("gates", []) if not gate["passed"]]
        said = attempt.get("problem") or ("failed " + ", ".join(failed) if failed else "passed")
        lines[f"{name} {attempt['strategy']}"] = said
    if retrain["version"]:
        how = f", by {retrain['strategy']}" if retrain["strategy"] else ""
        lines[f"{name} made"] = f"{retrain['version']} in run {retrain['run']}{how}"
    for rollout in retrain["rollouts"]:
        lines[f"rollout {rollout['rollout']}"] = (
            f"{rollout['state']}, confirmed by {rollout['confirmed']} of {rollout['devices']}"
        )
    return lines
