"""``edgeops quantize``."""

from typing import Annotated, Any

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, chosen, print_facts, print_rows, say


def quantize(
    model: Annotated[str, typer.Argument(help="A .keras file, or a SavedModel folder.")],
    data: Annotated[str, typer.Option(help="An .npz with x as the model takes it, and y where known.")],
    scheme: Annotated[
        list[str] | None, typer.Option(help="int8, int16x8, dynamic, float16 or float32; all but the last.")
    ] = None,
    out: Annotated[str, typer.Option(help="Where to write the first scheme's .tflite.")] = "",
    layers: Annotated[bool, typer.Option("--layers", help="Say for each layer what int8 costs.")] = False,
    plot: Annotated[str, typer.Option(help="Draw the layers into this .svg file.")] = "",
    representative: Annotated[int, typer.Option(help="Size of the representative dataset.", min=1)] = 200,
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Quantize a model that was trained elsewhere, by each scheme, and compare.

    Example: edgeops quantize model.keras --data data.npz --out model.tflite
    """
    from pathlib import Path

    from edgeops.control.foreign_models import quantize_file
    from edgeops.files import write_atomic

    schemes = scheme or ["int8", "int16x8", "dynamic", "float16"]
    found = quantize_file(Path(model), Path(data), schemes, representative, bool(layers or plot))
    form = chosen(output, json)
    rows: list[dict[str, Any]] = [variant.to_dict() for variant in found.variants]
    if out:
        write_atomic(Path(out), found.variants[0].tflite)
    if plot:
        write_atomic(Path(plot), found.picture().encode())
    if form is Format.TABLE:
        print_rows(rows, ["scheme", "bytes", "accuracy", "agreement", "snr_db"], form, "no scheme")
        if found.layers and layers:
            print_rows(
                [layer.to_dict() for layer in found.layers],
                ["layer", "op", "snr_db", "worst_channel", "worst_snr_db", "saturated"],
                form,
                "no layers",
            )
        if out:
            say(f"{schemes[0]} written to {out}")
        return
    print_facts({"variants": rows, "layers": [layer.to_dict() for layer in found.layers]}, form)
