"""``edgeops compile``."""

from pathlib import Path
from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, print_facts, print_json, say


def compile_model(
    model: Annotated[str, typer.Argument(metavar="MODEL.tflite", help="The model's file.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="MODEL.plan", help="Where to write the plan.")],
    json: JsonOption = False,
) -> None:
    """Compile an int8 .tflite into an execution plan, which the C runtime runs in place from flash.

    The plan computes bit for bit what TensorFlow Lite Micro computes.

    Example: edgeops compile model.tflite -o model.plan
    """
    from edgeops.compile import compile_plan
    from edgeops.core.errors import DataError, NotFoundError, UsageError
    from edgeops.files import write_atomic
    from edgeops.targets.sizes import size
    from edgeops.tflite.flatbuffer import MAX_MODEL_BYTES

    source, target = Path(model), Path(out)
    if target.is_dir() or source.resolve() == target.resolve():
        raise UsageError(
            f"{out} is {'a folder' if target.is_dir() else 'the model itself'}", fix="-o MODEL.plan"
        )
    try:
        with source.open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {model}", fix="give the path of a .tflite file") from error
    except OSError as error:
        raise DataError(f"{model} cannot be read: {error.strerror}", fix="give a readable file") from error
    compiled = compile_plan(content)
    write_atomic(target, compiled.plan)
    figures = {
        "plan_bytes": compiled.plan_bytes,
        "arena_bytes": compiled.arena_bytes,
        "live_tensor_bytes": compiled.live_tensor_bytes,
        "ops": compiled.ops,
        "macs": compiled.macs,
    }
    if json:
        print_json(figures)
        return
    at_once = f"{compiled.live_tensor_bytes:,} bytes live at once"
    facts = {
        "plan": f"{compiled.plan_bytes:,} bytes of flash ({size(compiled.plan_bytes)}), constants "
        f"{compiled.weight_bytes:,}",
        "arena": f"{compiled.arena_bytes:,} bytes of RAM ({size(compiled.arena_bytes)}), {at_once}",
        "work": f"{compiled.macs:,} MACs",
        "ops": ", ".join(f"{count} {name}" for name, count in compiled.ops.items()) or "none",
    }
    print_facts(facts, Format.TABLE)
    say(f"{target.name} is written")
