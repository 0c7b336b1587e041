"""A search kept in a file, so that it goes on after an end at any moment: an Optuna study in its journal.

The journal is a text file that is only appended to, one operation a line, each synced to the disk; what a
killed process left behind is at most half a line, which is cut off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeops.control.search_results import FoundTrial
from edgeops.core.errors import MissingExtra, StorageError, UsageError
from edgeops.files import exclusive
from edgeops.training.search_space import Dimension, Values, own_values
from edgeops.training.search_trial import TrialFigures

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_STUDY = "search"
_IDENTITY = "identity"
# attributes of a trial
_FIGURES, _ERROR, _INTERRUPTED, _ATTEMPT = "figures", "error", "interrupted", "attempt"
_MAX_ATTEMPTS = 2
_SEED_STEP = 1_000_003


@contextmanager
def open_search(
    path: Path, identity: Mapping[str, Any], space: Sequence[Dimension], seed: int
) -> Iterator[SearchFile]:
    """The search that ``path`` keeps, made where there is none; nobody else opens it meanwhile.

    Trials of a process that is no more are taken out, to be drawn again with the same values. Raises
    ``UsageError`` where the file is another search's, naming what differs, or no search at all; where it is in
    use; ``MissingExtra`` without Optuna.
    """
    optuna = _load_optuna()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {error.strerror or error}") from error
    with exclusive(path.with_suffix(".held"), "search"):
        # the lock above is ours, so a link that is left is of a process that is no more
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        journal = optuna.storages.journal
        try:
            _cut_half_line(path)
            storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(path)))
            study = optuna.create_study(
                storage=storage,
                study_name=_STUDY,
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise UsageError(
                f"{path} is not a search, or is damaged: {error}",
                fix="move it away, or name another search: --name",
                path=str(path),
            ) from error
        yield SearchFile(path, study, dict(identity), tuple(space), seed)


def _load_optuna() -> Any:
    """Optuna, which then says nothing but warnings, on stderr."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra(
            "searching needs Optuna", fix='pip install "edgeops[search,train]"', extra="search"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _cut_half_line(path: Path) -> None:
    """Take off what was not written to its end; raises ``ValueError`` where a whole line is none of a journal."""
    if not path.is_file():
        return
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    for line in content[:end].splitlines():
        entry = json.loads(line)
        if not isinstance(entry, dict) or "op_code" not in entry:
            raise ValueError(f"it holds {line[:40]!r}")
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)


class SearchFile:
    """Ask for a trial's values, tell what was found. One process at a time has it open: see ``open_search``.

    Trials are numbered from 1; one that was interrupted leaves a gap.

    What is drawn depends on the seed, the trials before and their figures only: a search that was interrupted
    goes on as it would have gone on.
    """

    def __init__(
        self, path: Path, study: Study, identity: dict[str, Any], space: tuple[Dimension, ...], seed: int
    ) -> None:
        self._study = study
        self._space = space
        self._seed = seed
        self._distributions = {dimension.name: _distribution(dimension) for dimension in space}
        identity = json.loads(json.dumps(identity))
        if not study.get_trials(deepcopy=False):
            study.set_user_attr(_IDENTITY, identity)
            own = own_values(space)
            if own is not None:
                study.enqueue_trial(dict(own))
        else:
            _require_same(path, study.user_attrs.get(_IDENTITY, {}), identity)
            self.release(repeat=True)

    @property
    def trials(self) -> list[FoundTrial]:
        """All finished trials; those that were interrupted are none."""
        return [_found(trial) for trial in self._finished()]

    @property
    def count(self) -> int:
        """How many trials are finished."""
        return len(self._finished())

    def ask(self) -> tuple[int, Values]:
        """The number and the values of a new trial: at first the recipe's own, then what promises most."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        running = len(self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        drawn = self.count + running
        # a sampler of its own for each trial, or the first ones after an interruption would be drawn again
        self._study.sampler = TPESampler(seed=(self._seed * _SEED_STEP + drawn) % 2**32)
        trial = self._study.ask(self._distributions)
        return trial.number + 1, dict(trial.params)

    def known(self, values: Values) -> FoundTrial | None:
        """A finished trial of the same values, if there is one: it need not be done twice."""
        return next(
            (trial for trial in self.trials if trial.figures and dict(trial.values) == dict(values)), None
        )

    def tell(self, number: int, figures: TrialFigures) -> FoundTrial:
        """Keep what a trial found."""
        trial = self._trial(number)
        trial.set_user_attr(_FIGURES, figures.to_dict())
        return self._end(number, figures)

    def fail(self, number: int, why: str) -> FoundTrial:
        """Keep that a trial failed, and why."""
        from optuna.trial import TrialState

        self._trial(number).set_user_attr(_ERROR, why)
        return _found(self._study.tell(number - 1, state=TrialState.FAIL))

    def release(self, *, repeat: bool) -> None:
        """Take out what is still running, because its process is no more; it will be asked for again.

        With ``repeat`` false the trials may be the reason: one that comes here twice has failed.
        """
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            attempt = int(trial.user_attrs.get(_ATTEMPT, 1))
            if _FIGURES in trial.user_attrs:
                self._end(trial.number + 1, TrialFigures.from_dict(trial.user_attrs[_FIGURES]))
            elif _ERROR in trial.user_attrs:
                self._study.tell(trial.number, state=TrialState.FAIL)
            elif attempt >= _MAX_ATTEMPTS and not repeat:
                self.fail(trial.number + 1, f"its worker process ended {attempt} times")
            else:
                # what was queued has its values from the start; one that was not drawn to the end is drawn anew
                values = dict(trial.system_attrs.get("fixed_params") or trial.params)
                if values.keys() == self._distributions.keys():
                    again = attempt if repeat else attempt + 1
                    self._study.enqueue_trial(values, user_attrs={_ATTEMPT: again})
                self._trial(trial.number + 1).set_user_attr(_INTERRUPTED, True)
                self._study.tell(trial.number, state=TrialState.FAIL)

    def _end(self, number: int, figures: TrialFigures) -> FoundTrial:
        """What does not fit has no values, only by how much it does not."""
        from optuna.trial import TrialState

        trial = self._trial(number)
        if not trial.constraints:
            trial.set_constraint("fit", figures.violation)
        if not figures.feasible:
            return _found(self._study.tell(number - 1, state=TrialState.PRUNED))
        assert figures.quality is not None and figures.fit is not None
        return _found(self._study.tell(number - 1, (figures.quality, float(figures.fit.arena_bytes or 0))))

    def _trial(self, number: int) -> Any:
        from optuna.trial import Trial

        return Trial(self._study, self._study.get_trials(deepcopy=False)[number - 1]._trial_id)

    def _finished(self) -> list[FrozenTrial]:
        every = self._study.get_trials(deepcopy=False)
        return [
            trial for trial in every if trial.state.is_finished() and _INTERRUPTED not in trial.user_attrs
        ]


def _require_same(path: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differ = sorted(key for key in {*kept, *wanted} if kept.get(key) != wanted.get(key))
    if differ:
        words = ", ".join(f"{key} ({kept.get(key)} there, {wanted.get(key)} now)" for key in differ)
        raise UsageError(
            f"{path} is a search with another {words}",
            fix="search with what it was begun with, or begin another: --name",
            path=str(path),
            differs=differ,
        )


def _found(trial: FrozenTrial) -> FoundTrial:
    figures = trial.user_attrs.get(_FIGURES)
    return FoundTrial(
        trial.number + 1,
        trial.params,
        None if figures is None else TrialFigures.from_dict(figures),
        str(trial.user_attrs.get(_ERROR, "")),
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.labels)
    if dimension.whole:
        step = int(dimension.step) or 1
        return IntDistribution(int(dimension.low), int(dimension.high), dimension.log, step)
    return FloatDistribution(dimension.low, dimension.high, dimension.log, dimension.step or None)
