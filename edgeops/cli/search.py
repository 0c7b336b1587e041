"""``edgeops search``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeops.cli.output import (
    Format,
    JsonOption,
    OutputOption,
    WorkspaceOption,
    chosen,
    print_facts,
    print_rows,
    say,
    tell,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from edgeops.control.search_jobs import Outcome, Search
    from edgeops.control.search_results import FoundTrial
    from edgeops.control.search_workers import Workers


def search(
    recipe: Annotated[str, typer.Argument(help="A recipe's folder or file, or the name of one that ships.")],
    target: Annotated[
        str, typer.Option("--target", "-t", help="The part that it must fit: edgeops target list.")
    ],
    trials: Annotated[int, typer.Option(min=0, help="How many in all; those of an earlier start count.")],
    dataset: Annotated[
        str | None, typer.Option(help="NAME or NAME@VERSION; the recipe's by default.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of each trial; the recipe's by default.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes at a time; 0: one for each core.")] = 0,
    dask: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Of a Dask cluster that sees this workspace too: run the trials there."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Of what is drawn, and of each training.")] = 1,
    name: Annotated[str | None, typer.Option(help="Of the search; recipe and target by default.")] = None,
    plot: Annotated[str, typer.Option(help="Draw accuracy against arena into this .svg file.")] = "",
    out: Annotated[str, typer.Option(metavar="DIR", help="Write the best trial as a recipe there.")] = "",
    workspace: WorkspaceOption = ".",
    output: OutputOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Search width, depth, input size and training of a recipe for what fits a part and is accurate.

    What is varied is under [search] in the recipe, or follows from its architecture. An architecture that does
    not fit is not trained; accuracy is of the int8 model on the validation part. The same command goes on with
    a search that was interrupted. Exits with 3 when nothing fits.

    Example: edgeops search models/keyword --target stm32l4r5 --trials 30 --epochs 10
    """
    from pathlib import Path

    from edgeops.cli.signals import terminate_as_interrupt
    from edgeops.control import search_jobs
    from edgeops.control.workspace import Workspace
    from edgeops.files import write_atomic

    terminate_as_interrupt()
    if out:
        search_jobs.refuse_existing(Path(out))
    ready = search_jobs.prepare_search(
        Workspace(Path(workspace)), recipe, target, dataset, epochs, seed, name, say
    )
    outcome = search_jobs.look(ready)
    done = len(outcome.trials)
    if done:
        say(f"{ready.name}: {done} of {max(done, trials)} trials are there")
    if done < trials:
        tell(f"{ready.name}: {_varied(ready)}")
        try:
            with _workers(ready, workers, dask, trials - done) as chosen_workers:
                outcome = search_jobs.run(
                    ready,
                    trials,
                    chosen_workers,
                    lambda trial, count: tell(_line(ready, trial, count, trials)),
                )
        except KeyboardInterrupt:
            say(f"what was found is kept in {ready.path}; the same command goes on")
            raise
    if plot:
        write_atomic(Path(plot), outcome.picture().encode())
    form = chosen(output, json)
    if form is Format.JSON:
        print_facts(outcome.to_dict(), form)
    else:
        _print_front(outcome, form)
    best = search_jobs.require_front(outcome)
    if out:
        written = search_jobs.save_recipe(outcome, best, Path(out))
        say(f"trial {best.number} written to {written}")
        say(f"Next: edgeops train {out} --workspace {workspace}")
    elif form is Format.TABLE:
        given = {"dataset": dataset, "epochs": epochs, "name": name, "seed": None if seed == 1 else seed}
        options = "".join(f" --{key} {value}" for key, value in given.items() if value is not None)
        say(
            f"Next: edgeops search {recipe} --target {target} --trials {len(outcome.trials)}{options} "
            f"--out {ready.name} --workspace {workspace}"
        )


def _workers(ready: "Search", workers: int, dask: str, most: int) -> "AbstractContextManager[Workers]":
    import os

    from edgeops.control.search_workers import dask_workers, local_workers

    if dask:
        return dask_workers(dask)
    cores = len(os.sched_getaffinity(0))
    count = workers or max(1, cores // ready.recipe.training.threads)
    return local_workers(min(count, most))


def _varied(ready: "Search") -> str:
    """What is varied, and between which values."""
    named = _named({dimension.name: dimension for dimension in ready.job.space})
    return ", ".join(
        f"{name} {' '.join(map(str, d.labels)) if d.choices else f'{d.low:g}..{d.high:g}'}"
        for name, d in named.items()
    )


def _line(ready: "Search", trial: "FoundTrial", count: int, trials: int) -> str:
    """One line a trial: what came of it, and with what."""
    facts = trial.to_dict()
    if trial.state == "OK":
        latency = facts["latency_ms"]
        about = "" if latency is None else f", {_range(latency)} ms estimated"
        told = f"{ready.measure} {facts['quality']:.4f}, arena {facts['arena_bytes']} bytes{about}"
    else:
        told = f"{trial.state}: {facts['reasons'][0]}"
    values = "  ".join(f"{key}={_short(value)}" for key, value in _named(trial.values).items())
    return f"{count} of {trials}  trial {trial.number}  {told}  ({values})"


def _print_front(outcome: "Outcome", form: Format) -> None:
    measure = outcome.search.measure
    marked = form is Format.TABLE
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    for trial in outcome.front:
        facts = trial.to_dict()
        latency = facts["latency_ms"]
        values = _named(trial.values)
        names = list(values)
        rows.append(
            {
                "trial": f"{trial.number} best" if marked and trial == outcome.best else trial.number,
                measure: facts["quality"],
                "arena": facts["arena_bytes"],
                "ms_estimated": None if latency is None else _range(latency),
                **{key: _short(value) for key, value in values.items()},
                "flash": facts["flash_bytes"],
                "macs": facts["macs"],
            }
        )
    columns = ["trial", measure, "arena", "ms_estimated", *names, "flash", "macs"]
    print_rows(rows, columns, form, "no trial fits yet", keep=4)
    if marked and rows:
        better = "more accurate" if measure == "accuracy" else "better"
        say(f"{len(rows)} of {len(outcome.trials)} trials: no other is both smaller and {better}")


def _range(latency: dict[str, float]) -> str:
    return f"{latency['low']:.3g}-{latency['high']:.3g}"


def _named(values: Any) -> dict[str, Any]:
    """Values by the shortest names that tell them apart: ``filters`` for ``architecture.filters``."""
    short = {
        name: ".".join(name.split(".")[-2 if name.endswith((".scale", ".length")) else -1 :])
        for name in values
    }
    twice = {key for key in short.values() if list(short.values()).count(key) > 1}
    return {name if short[name] in twice else short[name]: value for name, value in values.items()}


def _short(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value
