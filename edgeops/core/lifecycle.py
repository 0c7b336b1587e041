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
        # A restart resumes: what was downloaded is still on disk, and what was staged goes on where it was.
        **{(state, "restarted"): "OFFERED" for state in ("OFFERED", "DOWNLOADING", "VERIFYING", "STAGED")},
        ("SHADOWING", "restarted"): "SHADOWING",
        ("TRIAL", "restarted"): "TRIAL",
        # What was confirmed here before, and is still whole in its slot, needs neither download nor trial.
        ("OFFERED", "restored"): "CONFIRMED",
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

_ROLLOUT_ADVANCING = ("RUNNING", "SOAKING", "NEEDS_APPROVAL")
_ROLLOUT_WAITING = ("HELD", "PAUSED")
_ROLLOUT_UNFINISHED = (*_ROLLOUT_ADVANCING, *_ROLLOUT_WAITING)

ROLLOUT = Lifecycle(
    "rollout",
    "DRAFT",
    {
        ("DRAFT", "start"): "RUNNING",
        ("RUNNING", "stage_confirmed"): "SOAKING",
        ("SOAKING", "next_stage"): "RUNNING",
        ("SOAKING", "asked"): "NEEDS_APPROVAL",
        ("SOAKING", "completed"): "COMPLETED",
        ("NEEDS_APPROVAL", "approve"): "RUNNING",
        # A device that joins the selection, or lost its model, is served without opening the rollout again.
        **{(state, "hold"): "HELD" for state in (*_ROLLOUT_ADVANCING, "COMPLETED")},
        **{(state, "roll_stage_back"): "HELD" for state in _ROLLOUT_ADVANCING},
        **{(state, "pause"): "PAUSED" for state in _ROLLOUT_ADVANCING},
        **{(state, "resume"): "RUNNING" for state in _ROLLOUT_WAITING},
        **{(state, "abort"): "ABORTED" for state in _ROLLOUT_UNFINISHED},
        **{(state, "superseded"): "SUPERSEDED" for state in _ROLLOUT_UNFINISHED},
        **{(state, "roll_back"): "ROLLING_BACK" for state in (*_ROLLOUT_UNFINISHED, "COMPLETED", "ABORTED")},
        ("ROLLING_BACK", "all_reverted"): "ROLLED_BACK",
        ("ROLLING_BACK", "superseded"): "SUPERSEDED",
    },
)

DEPLOYMENT = Lifecycle(
    "deployment",
    "waiting",
    {
        ("waiting", "offer"): "offered",
        ("waiting", "unsuited"): "unsuited",
        ("unsuited", "suited"): "waiting",
        # It may run the version already, offered by an earlier rollout.
        **{(state, "confirmed"): "confirmed" for state in ("waiting", "offered", "failed")},
        ("offered", "failed"): "failed",
        ("failed", "tries_again"): "offered",
        ("failed", "retry"): "waiting",
        ("confirmed", "lost"): "offered",
        # One that waits to try again is still asked for the version by its desired state.
        **{(state, "revert"): "reverting" for state in ("waiting", "offered", "confirmed", "failed")},
        ("reverting", "restored"): "reverted",
        ("reverting", "failed"): "stuck",
        ("stuck", "restored"): "reverted",
        # A stage that was rolled back is offered again when a person resumes.
        **{(state, "retry"): "waiting" for state in ("reverting", "reverted", "stuck")},
        **{
            (state, "left"): "left"
            for state in (
                "waiting",
                "unsuited",
                "offered",
                "failed",
                "confirmed",
                "reverting",  # a newer rollout has another version for it
                "reverted",
                "stuck",
            )
        },
        ("left", "joined"): "waiting",
    },
)

RETRAIN = Lifecycle(
    "retrain",
    "WANTED",
    {
        ("WANTED", "samples_complete"): "READY",
        ("WANTED", "too_few_samples"): "ABANDONED",
        ("WANTED", "asked"): "WAITING",
        ("WAITING", "approve"): "READY",
        ("WAITING", "reject"): "ABANDONED",
        ("WAITING", "alert_closed"): "ABANDONED",
        ("READY", "started"): "TRAINING",
        # What a person asked for by hand and cut off is trained by nobody else.
        ("READY", "abandoned"): "ABANDONED",
        ("TRAINING", "better"): "REGISTERED",
        ("TRAINING", "not_better"): "REJECTED",
        # No single model serves both worlds: a person decides whether those that drifted get one of their own.
        ("TRAINING", "divided"): "PROPOSED",
        ("PROPOSED", "accepted"): "REGISTERED",
        ("PROPOSED", "declined"): "REJECTED",
        ("TRAINING", "failed"): "FAILED",
        ("TRAINING", "interrupted"): "READY",
        ("REGISTERED", "rollout_started"): "DEPLOYED",
    },
)

LIFECYCLES = (UPDATE, ROLLOUT, DEPLOYMENT, RETRAIN)
