"""Retrains that are ready are carried out, one at a time; one that was cut off is taken up again, a few times."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session, col, select

from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.retrain_policies import PolicyShelf, is_quiet
from edgeops.control.retrain_recovery import abandon, cut_off, settle
from edgeops.control.workers import Ended, OwnProcess
from edgeops.control.workspace import Workspace
from edgeops.core.errors import ConfigError, StorageError, UnreachableError, UsageError
from edgeops.core.lifecycle import RETRAIN
from edgeops.registry.tables import Alert, ModelVersion, Retrain, Run

RETRAIN_ATTEMPTS = 3
CLUSTER_AWAY_S = 60.0  # then a cluster that did not answer is asked again


class RetrainWorker:
    """Looks after the retrains of a workspace; holds nothing that the registry does not, but the job at work.

    ``steady``: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        workspace: Workspace,
        tell: Callable[[str], None],
        steady: Callable[[], float],
        process: OwnProcess | None = None,
    ) -> None:
        self._workspace = workspace
        self._tell = tell
        self._steady = steady
        self._process = process or OwnProcess()
        self._policies = PolicyShelf(workspace.settings.retrain)
        self._at_work: int | None = None
        self._not_before: float | None = None
        self._told_quiet: set[int] = set()
        self._told_busy = False

    def turn(self, now: float) -> None:
        """Start what is ready, unless something is at work, and tell what ended; ``now`` is the wall clock."""
        if self._process.busy:
            return
        ended = self._process.ended()
        if ended is not None:
            self._note(ended, now)
        self._take_up_abandoned(now)
        if self._not_before is not None and self._steady() < self._not_before:
            return
        with self._workspace.registry.reading() as session:
            waiting = select(Retrain).where(Retrain.state == "READY", col(Retrain.by_hand).is_(False))
            in_turn = session.exec(waiting.order_by(col(Retrain.id)))
            ready = [row for row in in_turn if not self._is_quiet(session, row, now)]
        if ready and self._is_free():
            number = self._at_work = ready[0].id or 0
            self._not_before = None
            settings = self._workspace.settings.workers
            self._process.submit(self._workspace.root.absolute(), number, settings.dask)
            self._tell(f"retrain {number}: started, {ready[0].samples} labelled samples")

    def close(self) -> None:
        """End what is at work; its retrain is taken up again by the next ``edgeops serve``, and has not died."""
        number, self._at_work = self._at_work, None
        self._process.close()
        if number is None:
            return
        try:
            with retrain_lock(self._workspace), self._workspace.registry.session() as session:
                row = session.get(Retrain, number)
                if row is not None and row.state == "TRAINING" and not settle(session, row):
                    row.state = RETRAIN.next(row.state, "interrupted")
        except (UsageError, StorageError, UnreachableError) as error:
            # it stays in TRAINING, and costs one of its attempts
            self._tell(f"retrain {number}: cut off: {error.message}")

    def _is_free(self) -> bool:
        """Whether nobody else trains in the workspace; said once where somebody does."""
        try:
            with retrain_lock(self._workspace):
                self._told_busy = False
        except UsageError as error:
            if not self._told_busy:
                self._tell(f"retrains wait: {error.message}")
            self._told_busy = True
        return not self._told_busy

    def _is_quiet(self, session: Session, retrain: Retrain, now: float) -> bool:
        alert = session.get_one(Alert, retrain.alert_id)
        version = session.get_one(ModelVersion, alert.model_version_id)
        number = retrain.id or 0
        try:
            quiet = is_quiet(self._policies.of(session.get_one(Run, version.run_id)), now)
        except ConfigError:
            quiet = False  # its training says what is wrong with the recipe
        if quiet and number not in self._told_quiet:
            self._told_quiet.add(number)
            self._tell(f"retrain {number}: waits: these are quiet hours")
        return quiet

    def _note(self, ended: Ended | BaseException, now: float) -> None:
        number, self._at_work = self._at_work, None
        if isinstance(ended, Ended) and ended.away:
            self._tell(f"retrain {number}: {ended.trouble}; tried again in {CLUSTER_AWAY_S:.0f} s")
            self._not_before = self._steady() + CLUSTER_AWAY_S
            return
        with self._workspace.registry.session() as session:
            row = session.get(Retrain, number)
            if isinstance(ended, Ended):
                self._tell(f"retrain {number}: {ended.state}{f': {ended.trouble}' if ended.trouble else ''}")
            elif row is not None and row.state == "FAILED":
                self._tell(f"retrain {number}: FAILED: {row.reason}")
            else:
                self._tell(f"retrain {number}: its worker was lost: {type(ended).__name__}: {ended}")
            # it ended before it began (no settings, no room): not started for ever, turn by turn
            if row is not None and row.state == "READY" and not _may_try_again(row):
                row.state = RETRAIN.next(RETRAIN.next(row.state, "started"), "failed")
                row.reason, row.finished_at = "its worker ended before it began", now
                self._tell(f"retrain {row.id}: failed: {row.reason}")

    def _take_up_abandoned(self, now: float) -> None:
        """A retrain whose worker died without an outcome is tried again, unless it had come to one, or was by hand."""
        left = select(Retrain).where(
            (col(Retrain.state) == "TRAINING")
            | ((col(Retrain.state) == "READY") & col(Retrain.by_hand).is_(True))
        )
        with self._workspace.registry.reading() as session:
            if session.exec(left).first() is None:
                return
        try:
            with retrain_lock(self._workspace), self._workspace.registry.session() as session:
                for row in session.exec(left).all():
                    self._take_up(session, row, now)
        except UsageError:
            return  # somebody holds the lock: it is being trained right now, by hand or by an earlier worker

    def _take_up(self, session: Session, row: Retrain, now: float) -> None:
        if row.state == "READY":
            abandon(row, now)
            self._tell(f"retrain {row.id}: ABANDONED: {row.reason}")
        elif settle(session, row):
            self._tell(f"retrain {row.id}: {row.state}: its worker ended just after that")
        elif row.by_hand:
            cut_off(row, now)
            self._tell(f"retrain {row.id}: {row.state}: {row.reason}")
        elif _may_try_again(row):
            cut_off(row, now)
            self._tell(f"retrain {row.id}: interrupted: its worker ended without an outcome")
        else:
            row.state, row.finished_at = RETRAIN.next(row.state, "failed"), now
            row.reason = f"its worker ended {row.deaths} times without an outcome"
            self._tell(f"retrain {row.id}: failed: {row.reason}")


def _may_try_again(retrain: Retrain) -> bool:
    """Counts in the registry: a machine that dies with each retrain is not killed by it for ever."""
    retrain.deaths += 1
    return retrain.deaths < RETRAIN_ATTEMPTS
