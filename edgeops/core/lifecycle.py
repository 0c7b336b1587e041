"""Lifecycles as tables: states, events and transitions, which code, documentation and C are checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeops.core.errors import LifecycleError


@dataclass(frozen=True)
class Lifecycle:
    """A state machine: ``transitions[(state, event)]`` is the next state; everything else is refused."""

    name: str
    initial: str
    transitions: Mapping[tuple[str, str], str]

    def next(self, state: str, event: str) -> str:
        """The state after ``event``; raises ``LifecycleError`` when the table has no such row."""
        try:
            return self.transitions[(state, event)]
        except KeyError:
            raise LifecycleError(
                f"{self.name}: event {event!r} is not allowed in state {state}", state=state, event=event
            ) from None

    def allows(self, state: str, event: str) -> bool:
        """Whether the table has a row for ``event`` in ``state``."""
        return (state, event) in self.transitions

    @property
    def states(self) -> frozenset[str]:
        """Every state that the table names."""
        return frozenset({self.initial, *(s for s, _ in self.transitions), *self.transitions.values()})


_UPDATE_UNDECIDED = ("OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "SHADOWING", "TRIAL")
_UPDATE_SETTLED = ("IDLE", "CONFIRMED", "REJECTED", "FAILED", "ROLLED_BACK", "SUPERSEDED")

UPDATE = Lifecycle(
    "update",
    "IDLE",
    {
        **{(state, "offered"): "OFFERED" for state in _UPDATE_SETTLED},
        **{(state, "superseded"): "SUPERSEDED" for state in _UPDATE_UNDECIDED},
        **{(state, "rejected"): "REJECTED" for state in ("OFFERED", "DOWNLOADING", "VERIFYING", "STAGED")},
        **{(state, "failed"): "FAILED" for state in ("OFFERED", "DOWNLOADING", "VERIFYING", "STAGED")},
        # A restart resumes: what was downloaded is still on disk, a trial goes on where it was.
        **{
            (state, "restarted"): "OFFERED"
            for state in ("OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "SHADOWING")
        },
        ("TRIAL", "restarted"): "TRIAL",
        ("OFFERED", "accepted"): "DOWNLOADING",
        ("DOWNLOADING", "complete"): "VERIFYING",
        ("VERIFYING", "damaged"): "DOWNLOADING",
        ("VERIFYING", "verified"): "STAGED",
        ("STAGED", "shadow"): "SHADOWING",
        ("STAGED", "activated"): "TRIAL",
        ("SHADOWING", "activated"): "TRIAL",
        ("SHADOWING", "unhealthy"): "ROLLED_BACK",
        ("TRIAL", "healthy"): "CONFIRMED",
        ("TRIAL", "unhealthy"): "ROLLED_BACK",
    },
)

ROLLOUT = Lifecycle(
    "rollout",
    "DRAFT",
    {
        ("DRAFT", "start"): "RUNNING",
        ("RUNNING", "stage_confirmed"): "RUNNING",
        ("RUNNING", "all_confirmed"): "COMPLETED",
        ("RUNNING", "too_many_failures"): "HELD",
        ("RUNNING", "superseded"): "SUPERSEDED",
        ("HELD", "superseded"): "SUPERSEDED",
        ("HELD", "resume"): "RUNNING",
    },
)

RETRAIN = Lifecycle(
    "retrain",
    "WANTED",
    {
        ("WANTED", "samples_complete"): "READY",
        ("WANTED", "too_few_samples"): "ABANDONED",
        ("READY", "started"): "TRAINING",
        ("TRAINING", "better"): "REGISTERED",
        ("TRAINING", "not_better"): "REJECTED",
        ("TRAINING", "failed"): "FAILED",
        ("TRAINING", "interrupted"): "READY",
        ("REGISTERED", "rollout_started"): "DEPLOYED",
    },
)

LIFECYCLES = (UPDATE, ROLLOUT, RETRAIN)
