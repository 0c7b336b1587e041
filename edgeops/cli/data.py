"""``edgeops data``: datasets."""

from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    ago,
    cell,
    chosen,
    iso,
    print_facts,
    print_rows,
    say,
)

if TYPE_CHECKING:
    from edgeops.data.gather import Terms
    from edgeops.data.readers.entry import Request

_LISTED = 10
_SLICE_VALUES = 12


class Fit(StrEnum):
    """What is done with images whose proportions are not those of ``--size``."""

    STRETCH = "stretch"
    CROP = "crop"


app = typer.Typer(
    no_args_is_help=True,
    help="Datasets: add, list, show, diff, report, export.\n\nExample: edgeops data list",
)


@app.command("add")
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, a .tar, .tar.gz or .zip of one, a .csv or .parquet table, an .npz with arrays x and "
            "y, or sklearn:digits."
        ),
    ],
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    kind: Annotated[
        str, typer.Option(help="image, audio, series or table; guessed from the files by default.")
    ] = "",
    pattern: Annotated[
        str, typer.Option(help="What parts of a file's path mean: '{label}/{speaker}_nohash_{take}'.")
    ] = "",
    group: Annotated[
        str, typer.Option(help="The slice whose items stay in one part, such as a speaker or a machine.")
    ] = "",
    label: Annotated[str, typer.Option(help="The column or field that is the label (series, table).")] = "",
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="A column that is metadata, not a feature; may be given several times."),
    ] = None,
    size: Annotated[str, typer.Option(metavar="HxW", help="Bring all images to this size.")] = "",
    fit: Annotated[
        Fit, typer.Option(help="How images come to --size: stretched, or cut to its proportions first.")
    ] = Fit.STRETCH,
    sample_rate: Annotated[
        float | None,
        typer.Option(
            metavar="HZ", help="Resample all recordings to this rate; the rate where they say none.", min=0.0
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Percent of train, validation, test and field: 50,10,20,20 by default.")
    ] = "",
    max_quarantined: Annotated[
        float,
        typer.Option(metavar="PERCENT", help="Stop when more than this is unusable.", min=0.0, max=100.0),
    ] = 20.0,
    replace: Annotated[
        bool, typer.Option("--replace", help="The next version holds what the source holds, nothing else.")
    ] = False,
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Ingest a source as the first or the next version of a dataset.

    Items that are there already keep their parts; files that cannot be used are set aside and listed.

    Example: edgeops data add speech.tar.gz --name keyword --pattern '{label}/{speaker}_nohash_{take}'
    """
    from pathlib import Path

    from edgeops.cli.progress import Progress
    from edgeops.control.datasets import ingest_dataset
    from edgeops.control.workspace import Workspace

    opened = Workspace(Path(workspace))
    request = _request(kind, pattern, label, group, tuple(slice_ or ()), size, fit, sample_rate)
    terms = _terms(split, group, max_quarantined, replace)

    with ExitStack() as drawn:
        bar: Progress | None = None

        def progress(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:  # only now is it known that there is something to read
                bar = drawn.enter_context(Progress("add", total))
            bar.resize(total)
            bar.update(done, "files")

        added = ingest_dataset(opened, source, name, request, terms, progress)
    row = added.row
    form = chosen(output, json)
    for note in added.notes:
        say(note)
    if not added.new:
        say(f"{row.name}@{row.version} has this content already; nothing was added")
    elif row.parent_id is not None:
        say(f"{row.name}@{row.version}: {added.came:,} came, {added.known:,} there already")
    facts = _facts(row)
    if form is Format.TABLE:
        _say_aside(added.quarantined, f"{row.name}@{row.version}")
        facts = _brief(facts) | {"quarantined": len(added.quarantined)}
    else:
        facts |= {
            "new": added.new,
            "came": added.came,
            "known": added.known,
            "quarantined": added.quarantined,
        }
    print_facts(facts, form)


def _request(
    kind: str,
    pattern: str,
    label: str,
    group: str,
    slices: tuple[str, ...],
    size: str,
    fit: Fit,
    sample_rate: float | None,
) -> "Request":
    from edgeops.core.errors import UsageError
    from edgeops.data.readers.entry import Request

    height, x, width = size.lower().partition("x")
    if size and not (
        x and height.isdecimal() and width.isdecimal() and 0 < int(height) <= 4096 >= int(width) > 0
    ):
        raise UsageError(
            f"--size {size!r} is no size of an image",
            fix="give height and width in pixels, at most 4096, such as --size 96x96",
            size=size,
        )
    if fit is Fit.CROP and not size:
        raise UsageError("--fit crop needs a size to cut to", fix="give it, such as --size 96x96")
    return Request(
        kind=kind,
        pattern=pattern,
        label=label,
        group=group,
        slices=slices,
        size=(int(height), int(width)) if size else None,
        crop=fit is Fit.CROP,
        sample_rate_hz=sample_rate or 0.0,
    )


def _terms(split: str, group: str, max_quarantined: float, replace: bool) -> "Terms":
    from edgeops.data.gather import Terms
    from edgeops.data.splitting import SHARES, parse_shares

    return Terms(
        shares=parse_shares(split) if split else SHARES,
        group=group,
        max_quarantined=max_quarantined / 100,
        replace=replace,
    )


@app.command("list")
def list_(
    workspace: WorkspaceOption = ".", output: OutputOption = Format.TABLE, json: JsonOption = False
) -> None:
    """List the dataset versions.

    Example: edgeops data list
    """
    from pathlib import Path

    from sqlmodel import select

    from edgeops.control.workspace import Workspace
    from edgeops.registry.tables import DatasetVersion

    with Workspace(Path(workspace)).registry.reading() as session:
        rows = session.exec(select(DatasetVersion).order_by(DatasetVersion.id)).all()  # type: ignore[arg-type]
    form = chosen(output, json)
    table = [
        {
            "dataset": f"{row.name}@{row.version}",
            "items": sum(row.parts.values()),
            "classes": len(row.labels),
            "kind": row.kind,
            "quarantined": len(row.quarantined),
            "created": ago(row.created_at) if form is Format.TABLE else iso(row.created_at),
            "sha256": row.sha256,
        }
        for row in rows
    ]
    columns = ["dataset", "items", "classes", "kind", "quarantined", "created"]
    print_rows(table, columns, form, "no datasets yet; edgeops data add makes one")


@app.command("show")
def show(
    dataset: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show one dataset version: class balance, durations, value ranges, slices, quarantined files.

    Example: edgeops data show digits@1
    """
    from pathlib import Path

    from edgeops.control.dataset_report import dataset_facts
    from edgeops.control.workspace import Workspace

    row, content = dataset_facts(Workspace(Path(workspace)), dataset)
    form = chosen(output, json)
    facts = {**_facts(row), **content}
    if form is not Format.TABLE:
        print_facts(facts, form)
        return
    by_part = facts.pop("class_balance_by_part")
    columns = facts["values"].pop("by_column", [])
    facts |= {f"slice {name}": _counted(counts) for name, counts in facts.pop("slices").items()}
    facts["shape"] = " x ".join(map(str, content["shape"])) or "one value"
    facts["quarantined"] = len(row.quarantined)
    facts |= {"sha256": row.sha256[:12], "parts": _filled(row.parts)}
    del facts["name"], facts["version"], facts["labels"], facts["class_balance"]
    print_facts({key: value for key, value in facts.items() if value not in (None, "", [], {})}, form)
    print()
    table = [
        {
            "class": name,
            "items": content["class_balance"][name],
            **{part: by_part[part][name] for part in by_part},
        }
        for name in row.labels
    ]
    print_rows(table, ["class", "items", *by_part], form, "")
    if columns:
        print()
        ranges = [{"column": column.pop("name", number), **column} for number, column in enumerate(columns)]
        print_rows(ranges, ["column", "minimum", "mean", "maximum"], form, "")
    _say_aside(row.quarantined, f"{row.name}@{row.version}")


@app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    after: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Say what came, went, moved between parts and was relabelled from one version to another.

    Example: edgeops data diff digits@1 digits@2
    """
    from pathlib import Path

    from edgeops.control.dataset_report import dataset_difference
    from edgeops.control.workspace import Workspace

    found = dataset_difference(Workspace(Path(workspace)), before, after)
    form = chosen(output, json)
    if form is not Format.TABLE:
        print_facts(found, form)
        return
    lists = ("came", "went", "moved", "relabelled", "redescribed")
    facts = {key: len(found[key]) if key in lists else found[key] for key in found if key != "schema"}
    facts |= {f"{key} changed": f"{cell(a)} -> {cell(b)}" for key, (a, b) in found["schema"].items()}
    print_facts(facts, form)
    rows = [
        {"what": name, "item": item["item"], "label": item.get("label")}
        | {"from": item.get("from"), "to": item.get("to", item.get("part"))}
        for name in lists
        for item in found[name][:_LISTED]
    ]
    if rows:
        print()
        print_rows(rows, ["what", "item", "label", "from", "to"], form, "")
    left = sum(max(0, len(found[name]) - _LISTED) for name in lists)
    if left:
        say(f"({left:,} more; --json lists all)")


def _counted(counts: dict[str, int] | int) -> str:
    """The values of a slice and how many items have each, or only how many values there are."""
    if isinstance(counts, dict) and len(counts) <= _SLICE_VALUES:
        return ", ".join(f"{name or '(none)'} ({count:,})" for name, count in counts.items())
    return f"{len(counts) if isinstance(counts, dict) else counts:,} values"


@app.command("report")
def report(
    dataset: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    file: Annotated[str, typer.Option("--out", "-o", help="The HTML file to write.")] = "dataset.html",
    per_class: Annotated[int, typer.Option(help="Items shown of each class.", min=1, max=100)] = 6,
    workspace: WorkspaceOption = ".",
) -> None:
    """Write one self-contained HTML page with figures, class balance and a sample of each class.

    Example: edgeops data report digits@1 -o digits.html
    """
    from pathlib import Path

    from edgeops.control.dataset_report import write_dataset_report
    from edgeops.control.workspace import Workspace

    write_dataset_report(Workspace(Path(workspace)), dataset, Path(file), per_class)
    say(f"written: {file}")


@app.command("export")
def export(
    dataset: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    folder: Annotated[str, typer.Argument(help="Where to write inputs.npy, targets.npy, labels.json.")],
    part: Annotated[str, typer.Option(help="train, validation, test, field or capture_holdout.")] = "field",
    recipe: Annotated[
        str | None, typer.Option(help="Cut recordings into the inputs that this recipe's model takes.")
    ] = None,
    workspace: WorkspaceOption = ".",
) -> None:
    """Write one part of a dataset as a folder that an agent can replay.

    Example: edgeops data export digits@1 field --part field
    """
    from pathlib import Path

    from edgeops.control.replays import export_part
    from edgeops.control.workspace import Workspace

    name = export_part(Workspace(Path(workspace)), dataset, part, Path(folder), recipe)
    say(f"{name}, part {part}: written to {folder}")


def _say_aside(quarantined: list[Any], dataset: str) -> None:
    """What is not used, in words; the first few by name."""
    if not quarantined:
        return
    say(f"{len(quarantined):,} set aside:")
    for file, reason in quarantined[:_LISTED]:
        say(f"  {file}: {reason}")
    if len(quarantined) > _LISTED:
        say(f"  … {len(quarantined) - _LISTED:,} more; edgeops data show {dataset} --json lists all")


def _facts(row: Any) -> dict[str, Any]:
    return {
        "dataset": f"{row.name}@{row.version}",
        "name": row.name,
        "version": row.version,
        "sha256": row.sha256,
        "kind": row.kind,
        "source": row.source,
        "parts": row.parts,
        "split": row.split,
        "labels": row.labels,
        "sample_rate_hz": row.sample_rate_hz or None,
        "quarantined": row.quarantined,
        "notes": row.notes,
        "created": iso(row.created_at),
    }


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    """What a person wants to know at once; notes were said already."""
    left_out = {"name", "version", "notes", "split", "sample_rate_hz" if not facts["sample_rate_hz"] else ""}
    return {key: value for key, value in facts.items() if key not in left_out} | {
        "sha256": facts["sha256"][:12],
        "parts": _filled(facts["parts"]),
    }


def _filled(parts: dict[str, int]) -> dict[str, int]:
    """Without the part of captured items, where there are none yet."""
    return {part: count for part, count in parts.items() if count or part != "capture_holdout"}
