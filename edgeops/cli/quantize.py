"""``edgeops quantize``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, chosen, print_json, print_rows, say

if TYPE_CHECKING:
    from edgeops.control.foreign_models import QuantizedFile

_SIZES = "200"


def quantize(
    model: Annotated[str, typer.Argument(help="A .keras file, or a SavedModel folder.")],
    data: Annotated[str, typer.Option(help="An .npz with x as the model takes it, and y where known.")],
    scheme: Annotated[
        list[str] | None, typer.Option(help="int8, int16x8, dynamic, float16 or float32; all by default.")
    ] = None,
    out: Annotated[str, typer.Option("--out", help="Where to write the first scheme's .tflite.")] = "",
    layers: Annotated[bool, typer.Option("--layers", help="Say for each layer what int8 costs.")] = False,
    plot: Annotated[str, typer.Option(help="Draw the layers into this .svg file.")] = "",
    representative: Annotated[
        str, typer.Option(help="Size of the representative dataset, drawn class by class where y is known.")
    ] = _SIZES,
    sweep: Annotated[
        str, typer.Option(metavar="N,N,…", help="Try these sizes of it and take each scheme's best.")
    ] = "",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Quantize a model that was trained elsewhere, by each scheme, and compare.

    With --layers, -o csv and -o jsonl give the layers; --json gives both.

    Example: edgeops quantize model.keras --data data.npz --out model.tflite
    """
    from edgeops.cli.progress import Progress
    from edgeops.control.foreign_models import quantize_file
    from edgeops.core.errors import UsageError
    from edgeops.files import write_atomic

    if sweep and representative != _SIZES:
        raise UsageError(
            "--sweep and --representative exclude each other", fix=f"--sweep {sweep},{representative}"
        )
    sizes = _numbers("--sweep", sweep) if sweep else _numbers("--representative", representative)
    if len(sizes) > 1 and not sweep:
        raise UsageError("--representative is one size", fix=f"--sweep {representative}")
    _check_path("--out", out, ".tflite")
    _check_path("--plot", plot, ".svg")
    schemes = scheme or ["int8", "int16x8", "dynamic", "float16", "float32"]
    with Progress("quantize", len(schemes)) as bar:

        def told(done: int, total: int, at: str) -> None:
            bar.resize(total)
            bar.update(done, at)

        found = quantize_file(Path(model), Path(data), schemes, sizes, bool(layers or plot), told)
    if out:
        write_atomic(Path(out), found.taken(schemes[0]).tflite)
    if plot:
        write_atomic(Path(plot), found.picture().encode())
    _print(found, layers, bool(sweep), chosen(output, json))
    if max(sizes) > found.items:
        say(f"the data has {found.items:,} items: all of them are representative")
    if out:
        say(f"{schemes[0]} written to {out}")
    if plot:
        say(f"layers drawn into {plot}")


def _print(found: "QuantizedFile", layers: bool, swept: bool, form: Format) -> None:
    rows: list[dict[str, Any]] = [variant.to_dict() for variant in found.variants]
    details = [layer.to_dict() for layer in found.layers]
    if form is Format.JSON:
        print_json({"variants": rows, "layers": details})
        return
    if form is Format.TABLE or not layers:
        columns = ["scheme", "bytes", "accuracy", "agreement", "snr_db", "representative"]
        print_rows(rows, [*columns, "taken"] if swept else columns, form, "no scheme", keep=5)
    if not layers:
        return
    if form is Format.TABLE:
        print()
        narrow = {"snr_db": "snr_db", "worst_snr_db": "worst_db", "worst_channel": "channel"}
        details = [{narrow.get(key, key): value for key, value in row.items()} for row in details]
    columns = list(details[0]) if details else []
    order = ["layer", "snr_db", "worst_db", "channel", "saturated", "op"] if form is Format.TABLE else columns
    print_rows(details, order, form, "no layers", keep=5)


def _numbers(option: str, text: str) -> list[int]:
    """Whole numbers of 1 or more, between commas."""
    from edgeops.core.errors import UsageError

    parts = [part.strip() for part in text.split(",")]
    fix = "--sweep 16,64,256" if option == "--sweep" else f"--representative {_SIZES}"
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise UsageError(f"{option} {text}: whole numbers from 1 are needed", fix=fix)
    return sorted({int(part) for part in parts})


def _check_path(option: str, name: str, suffix: str) -> None:
    """Say what is wrong with a file to write before any work is done."""
    from edgeops.core.errors import UsageError

    if not name:
        return
    path, fix = Path(name), f"{option} {Path(name).stem or 'model'}{suffix}"
    if path.is_dir():
        raise UsageError(f"{option} {name} is a folder", fix=f"{option} {path / 'model'}{suffix}")
    if path.suffix != suffix:
        raise UsageError(f"{option} {name} does not end in {suffix}", fix=fix)
    if any(parent.exists() and not parent.is_dir() for parent in path.parents):
        raise UsageError(f"{option} {name} lies in something that is a file", fix=fix)
