"""``edgeops check``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, chosen, print_facts, print_rows, say

if TYPE_CHECKING:
    from edgeops.targets.check import FitReport


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL.tflite", help="The model's file.")],
    target: Annotated[
        str, typer.Option(help="A part as `edgeops target list` names it, or a file board.toml.")
    ],
    runtime: Annotated[
        str | None, typer.Option(help="tflm, plan or linux; the target's own where it is left out.")
    ] = None,
    agent: Annotated[
        bool, typer.Option("--agent", help="With --runtime plan: count the agent in C beside it.")
    ] = False,
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Prove that a model fits a part: memory, operators and time; exits with 3 when it does not.

    The arena is measured with TensorFlow Lite Micro, in a process of its own; that of an execution plan
    (--runtime plan) is known to the byte.

    Example: edgeops check model.tflite --target stm32l4r5
    """
    from pathlib import Path

    from edgeops.core.errors import DataError, DoesNotFit, NotFoundError, UsageError
    from edgeops.targets.catalogue import find_target
    from edgeops.targets.check import check_fit
    from edgeops.tflite.flatbuffer import MAX_MODEL_BYTES

    part = find_target(target)
    try:
        with Path(model).open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {model}", fix="give the path of a .tflite file") from error
    except OSError as error:
        raise DataError(f"{model} cannot be read: {error.strerror}", fix="give a readable file") from error
    if agent and (runtime or part.runtime) != "plan":
        raise UsageError("--agent is of devices that run plans", fix="give --runtime plan with --agent")
    report = check_fit(content, part, runtime, with_agent=agent)
    form = chosen(output, json)
    if form is Format.TABLE:
        _print_table(report)
    elif form is Format.CSV:
        print_rows([_flat(report)], list(_flat(report)), form, "")
    else:
        print_facts(report.document(), form)
    if not report.fits:
        raise DoesNotFit(
            f"{Path(model).name} does not fit {part.name}: {'; '.join(report.reasons)}",
            fix=_fix(report),
            limit=part.name,
            reasons=list(report.reasons),
        )


def _fix(report: "FitReport") -> str:
    if report.runtime == "plan" and report.plan is None:
        return "ship the .tflite to a device that runs TensorFlow Lite Micro (--runtime tflm), or change the layers"
    if report.unsupported_ops:
        return "change the layers that become these operators; docs/guides/fit.md lists what runs"
    if report.arena_bytes is None or "cannot run it" in " ".join(report.reasons):
        return "train it, convert it again, and check the operators and types that it uses"
    return "make the model smaller, or choose a larger part: edgeops target list"


def _flat(report: "FitReport") -> dict[str, Any]:
    document = report.document()
    latency = document.pop("latency_ms")
    kept = (
        "target",
        "fits",
        "reasons",
        "flash_bytes",
        "arena_bytes",
        "macs",
        "unsupported_ops",
        "arena_source",
    )
    return {
        **{key: document[key] for key in kept},
        "latency_low_ms": latency.get("low"),
        "latency_high_ms": latency.get("high"),
    }


def _print_table(report: "FitReport") -> None:
    from edgeops.targets.plan_code import built_with
    from edgeops.targets.sizes import size

    part = report.target
    code_is = report.plan.code.source.split(":")[0] if report.plan else "estimated"

    def row(what: str, needed: int | None, has: int, how: str, at_start: int | None = None) -> dict[str, Any]:
        most = max(needed or 0, at_start or 0)
        state = "-" if needed is None else "OK" if most <= has else "FAIL"
        wanted = "-" if needed is None else size(needed)
        return {"resource": what, "needs": wanted, "has": size(has), "state": state, "how": how}

    start = report.arena.start_bytes if report.arena else None
    rows = [
        row("flash", report.flash_bytes or None, part.flash_bytes, code_is),
        row("arena", report.arena_bytes, part.arena_ram_bytes, _how(report.arena_source), start),
        row("RAM", report.ram_bytes, part.ram_bytes, code_is),
    ]
    facts = {
        "target": f"{part.name}: {part.variant}, {part.core}, {part.mhz} MHz, runtime {report.runtime}",
        "work": f"{report.macs:,} MACs, {report.parameters:,} parameters",
        "operators": ", ".join(f"{count} {name}" for name, count in report.ops.items()),
        "flash": _flash_words(report),
        "arena": report.arena_source,
    }
    if report.plan is not None:
        facts["code"] = f"{report.plan.code.source}, {built_with()}"
        facts["agent"] = _agent_words(report)
    print_facts(facts, Format.TABLE)
    print()
    print_rows(rows, ["resource", "needs", "has", "state", "how"], Format.TABLE, "")
    if report.runtime == "plan":
        _end(report)
        return
    print()
    times = [
        {"kernels": k.kernels, "low_ms": _ms(k.low), "high_ms": _ms(k.high), "estimated_from": k.basis}
        for k in report.kernels
    ]
    columns = ["kernels", "low_ms", "high_ms", "estimated_from"]
    print_rows(times, columns, Format.TABLE, "nothing is known of how long it takes on that core")
    if report.cmsis_nn_scratch_bytes:
        say(f"with CMSIS-NN kernels the arena may take {report.cmsis_nn_scratch_bytes:,} bytes more")
    _end(report)


def _end(report: "FitReport") -> None:
    if report.fits:
        say(f"it fits {report.target.name}")


def _flash_words(report: "FitReport") -> str:
    from edgeops.targets.sizes import size

    plan = report.plan
    if plan is not None:
        return f"plan {size(plan.plan_bytes)}, the runtime's code {size(plan.code.runtime_bytes)}"
    if report.runtime == "plan":
        return "-"
    code = report.flash_bytes - report.model_bytes
    return f"model {size(report.model_bytes)}, the runtime's code {size(code)}"


def _agent_words(report: "FitReport") -> str:
    """What the agent takes, and whether it is counted."""
    from edgeops.targets.sizes import size

    assert report.plan is not None
    code = report.plan.code
    counted = report.flash_bytes > report.plan.flash_bytes
    beside = "counted in" if counted else "not counted in; --agent does"
    return f"{size(code.agent_flash_bytes)} of flash, {size(code.agent_ram_bytes)} of RAM at most, {beside}"


def _how(source: str) -> str:
    """The first word of how the arena was found, or ``-`` where it could not be."""
    return "-" if source.startswith("not") else source.split()[0].rstrip(",:")


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
