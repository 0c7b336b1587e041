"""``edgeops demo``: the main job on this machine."""

from typing import Annotated, Any

import typer

from edgeops.cli.output import Format, JsonOption, print_facts, print_json, say
from edgeops.cli.progress import Progress


class TerminalStage:
    """Shows the demo on stderr: a line a step, a bar while it waits, the fleet as a small table."""

    def step(self, number: int, title: str, text: str) -> None:
        """One line."""
        say(f"{number:>2}/10  {title:<10} {text}")

    def fleet(self, rows: list[dict[str, Any]]) -> None:
        """The sites, indented."""
        for row in rows:
            say(
                f"       {'':<10} {row['site']:<6} {row['devices']:>3} devices  {row['version'] or '-':<9} "
                f"accuracy {row['accuracy']}  confidence {row['confidence']}  p95 {row['latency']}"
            )

    def waiting(self, title: str, total: int) -> Progress:
        """A bar."""
        return Progress(title, total)


def demo(
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="A folder for the demo.")] = "demo",
    devices: Annotated[int, typer.Option(min=2, max=200, help="How many simulated devices.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Makes training, drift and decisions repeat.")] = 1,
    broker: Annotated[
        str | None, typer.Option(envvar="EDGEOPS_BROKER", help="A broker; else a private one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Play the whole loop: train, push, watch, drift, retrain, push again.

    Example: edgeops demo --devices 20 --workspace demo
    """
    from pathlib import Path

    from edgeops.cli.signals import terminate_as_interrupt
    from edgeops.control.demo.story import Demo

    terminate_as_interrupt()
    summary = Demo(Path(workspace), devices, seed, broker, TerminalStage()).run()
    if json:
        print_json(summary)
        return
    seconds = summary["seconds"]
    say("")
    print_facts(
        {
            "int8 accuracy": f"{summary['int8_accuracy']:.4f} (float {summary['float_accuracy']:.4f}), test images",
            "before the drift": f"{summary['accuracy_before']:.4f} accuracy on the devices that drift",
            "during the drift": f"{summary['accuracy_during']:.4f}",
            "after recovery": f"{summary['accuracy_after']:.4f}",
            "detected": f"within {summary['windows_to_detection']} windows on {summary['devices_detected']} of "
            f"{summary['devices_drifted']} devices; {summary['alarms_before_drift']} alarms before",
            "sensor at fault": ", ".join(summary["sensor_faults"]) or "-",
            "pushed": f"{summary['bytes_published']:,} bytes published, {summary['bytes_received']:,} received",
            "seconds": "  ".join(f"{name} {value:.0f}" for name, value in seconds.items()),
        },
        Format.TABLE,
    )
    say(f"Done in {int(seconds['total']) // 60} min {int(seconds['total']) % 60} s. "
        f"Nothing was written outside {workspace}")  # fmt: skip
    say(f"Next: edgeops fleet status --workspace {workspace}")
    say(f"      open {workspace}/report.html")
