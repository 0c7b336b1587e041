"""``edgeops target``: microcontrollers and boards that a model can be checked against."""

from typing import Annotated

import typer

from edgeops.cli.output import Format, JsonOption, OutputOption, chosen, print_facts, print_rows

app = typer.Typer(
    no_args_is_help=True,
    help="Targets: list, show. What each part has, and the source of the figures.\n\n"
    "Example: edgeops target list",
)


@app.command("list")
def list_(output: OutputOption = Format.TABLE, json: JsonOption = False) -> None:
    """List the parts of the catalogue, from the smallest core to the largest.

    Example: edgeops target list
    """
    from edgeops.targets.catalogue import catalogue
    from edgeops.targets.sizes import size

    form = chosen(output, json)
    rows = []
    for target in catalogue().values():
        row = {"target": target.name, **target.document()}
        if form is Format.TABLE:
            row |= {"flash": size(target.flash_bytes), "ram": size(target.ram_bytes)}
        rows.append(row)
    columns = ["target", "core", "mhz", "flash", "ram", "runtime", "extensions"]
    if form is not Format.TABLE:
        columns[3:5] = ["flash_bytes", "ram_bytes"]
    print_rows(rows, columns, form, "the catalogue is empty")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A part as `target list` names it, or a file board.toml.")],
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show one part: memory, core, instruction set, and the source of the figures.

    Example: edgeops target show stm32l4r5
    """
    from edgeops.targets.catalogue import find_target
    from edgeops.targets.sizes import size

    form = chosen(output, json)
    facts = find_target(name).document()
    if form is Format.TABLE:
        for key in ("flash_bytes", "ram_bytes", "arena_ram_bytes"):
            facts[key] = f"{facts[key]:,} ({size(facts[key])})"
    print_facts(facts, form)
