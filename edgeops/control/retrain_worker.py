"""Retrains that are ready are carried out, one at a time; one that was cut off is taken up again, a few times."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import Session, col, select

from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.retrain_policies import PolicyShelf, is_quiet
from edgeops.control.retrain_recovery import settle
from edgeops.control.workers import Ended, OwnProcess
from edgeops.control.workspace import Workspace
from edgeops.core.errors import ConfigError, UsageError
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

    def turn(self, now: float) -> None:
        """Start what is ready, unless something is at work, and tell what ended; ``now`` is the wall clock."""
        if self._process.busy:
            return
        ended = self._process.ended()
        if ended is not None:
            self._note(ended)
        self._take_up_abandoned()
        if self._not_before is not None and self._steady() < self._not_before:
            return
        with self._workspace.registry.reading() as session:
            waiting = select(Retrain).where(Retrain.state == "READY").order_by(col(Retrain.id))
            ready = [row for row in session.exec(waiting) if not self._is_quiet(session, row, now)]
        if ready:
            number = self._at_work = ready[0].id or 0
            self._not_before = None
            settings = self._workspace.settings.workers
            self._process.submit(self._workspace.root.absolute(), number, settings.dask)
            self._tell(f"retrain {number}: started, {ready[0].samples} labelled samples")

    def close(self) -> None:
        """End what is at work; its retrain is taken up again by the next ``edgeops serve``."""
        self._process.close()

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

    def _note(self, ended: Ended | BaseException) -> None:
        number, self._at_work = self._at_work, None
        if isinstance(ended, Ended) and ended.away:
            self._tell(f"retrain {number}: {ended.trouble}; tried again in {CLUSTER_AWAY_S:.0f} s")
            self._not_before = self._steady() + CLUSTER_AWAY_S
            return
        if isinstance(ended, Ended):
            self._tell(f"retrain {number}: {ended.state}{f': {ended.trouble}' if ended.trouble else ''}")
        else:
            self._tell(f"retrain {number}: its worker was lost: {type(ended).__name__}: {ended}")
        with self._workspace.registry.session() as session:
            row = session.get(Retrain, number)
            # it ended before it began (no settings, no room): not started for ever, turn by turn
            if row is not None and row.state == "READY" and not _may_try_again(row):
                row.state = RETRAIN.next(RETRAIN.next(row.state, "started"), "failed")
                row.reason = "its worker ended before it began"
                self._tell(f"retrain {row.id}: failed: {row.reason}")

    def _take_up_abandoned(self) -> None:
        """A retrain whose worker died without an outcome is tried again, unless it had come to one."""
        with self._workspace.registry.reading() as session:
            training = session.exec(select(Retrain).where(Retrain.state == "TRAINING")).all()
        if not training:
            return
        try:
            with retrain_lock(self._workspace), self._workspace.registry.session() as session:
                for row in session.exec(select(Retrain).where(Retrain.state == "TRAINING")).all():
                    if settle(session, row):
                        self._tell(f"retrain {row.id}: {row.state}: its worker ended just after that")
                        continue
                    event = "interrupted" if _may_try_again(row) else "failed"
                    row.state = RETRAIN.next(row.state, event)
                    if event == "failed":
                        row.reason = f"its worker ended {row.deaths} times without an outcome"
                    self._tell(f"retrain {row.id}: {event}: its worker ended without an outcome")
        except UsageError:
            return  # somebody holds the lock: it is being trained right now, by hand or by an earlier worker


def _may_try_again(retrain: Retrain) -> bool:
    """Counts in the registry: a machine that dies with each retrain is not killed by it for ever."""
    retrain.deaths += 1
    return retrain.deaths < RETRAIN_ATTEMPTS
