"""The device's update machine: pure, one a model, driven through ``edgeops.core.lifecycle.UPDATE``.

Events go in, a new state and actions come out; no clock, no disk, no network. What must survive a power cut
is the ``UpdateState`` itself: the agent writes it down before it carries the actions out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeops.core.codec import DIGEST, Flag, Message, Text, UInt, wire
from edgeops.core.lifecycle import UPDATE

UNDECIDED = frozenset({"OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "SHADOWING", "TRIAL"})
MAX_TRIAL_BOOTS = 2  # a trial that was cut off in this many starts of the agent is an unhealthy one
FIRST_RETRY_MS = 5_000
MAX_VERIFY_BOOTS = 3  # a model that ends the agent when it is opened must not end it for ever
LAST_RETRY_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class UpdateState(Message):
    """All that is remembered about one model's updates; digests are of manifests.

    ``confirmed`` is what runs and was healthy, ``previous`` what ran before, ``candidate`` what is being
    taken, ``refused`` the last digest that was rejected or rolled back and is not tried again.
    """

    MAX_BYTES = 1024
    lifecycle: str = wire(1, Text(16), default="IDLE")
    generation: int = wire(2, UInt(32), default=0)
    confirmed: bytes | None = wire(3, DIGEST, default=None)
    previous: bytes | None = wire(4, DIGEST, default=None)
    candidate: bytes | None = wire(5, DIGEST, default=None)
    candidate_bytes: int = wire(6, UInt(16), default=0)
    refused: bytes | None = wire(7, DIGEST, default=None)
    reason: str | None = wire(8, Text(160), default=None)
    security_counter: int = wire(9, UInt(32), default=0)
    trial_good: int = wire(10, UInt(32), default=0)
    trial_errors: int = wire(11, UInt(32), default=0)
    trial_boots: int = wire(12, UInt(8), default=0)
    attempts: int = wire(13, UInt(16), default=0)
    retry: bool = wire(14, Flag(), default=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """A desired state names this manifest."""

    manifest: bytes
    manifest_bytes: int
    generation: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The agent has started; the state was read from disk."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The agent stops on purpose: the next start is no sign of a crash."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """The slot of this manifest cannot be read any more; it may be offered, and fetched, again."""

    manifest: bytes


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The back-off after a failure is over."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """The driver finished a step: ``accepted``, ``complete``, ``damaged``, ``verified`` or ``activated``."""

    event: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The driver could not go on: ``rejected`` (never will) or ``failed`` (may try again)."""

    event: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inferred:
    """One inference of the candidate during its trial; ``limit`` and ``max_errors`` are the manifest's."""

    ok: bool
    limit: int
    max_errors: int
    security_counter: int


UpdateEvent = Offer | Restarted | Closed | Damaged | RetryDue | Progressed | Refused | Inferred


@dataclass(frozen=True, slots=True)
class Transition:
    """A row of the table was taken: tell the control side."""

    source: str
    event: str
    target: str
    manifest: bytes | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Begin:
    """Carry out what the new state asks for: fetch the manifest, download, verify, activate, run."""

    lifecycle: str


@dataclass(frozen=True, slots=True)
class DropCandidate:
    """Stop fetching and close what was opened for the candidate; run the confirmed model."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Send ``RetryDue`` after so many milliseconds."""

    milliseconds: int


Action = Transition | Begin | DropCandidate | RetryIn


def step(state: UpdateState, event: UpdateEvent) -> tuple[UpdateState, list[Action]]:
    """The next state and what to do; raises ``LifecycleError`` for an event that the table does not allow."""
    match event:
        case Offer():
            return _offer(state, event)
        case Restarted():
            return _restarted(state)
        case Closed():
            return replace(state, trial_boots=0), []
        case Damaged(manifest):
            return _damaged(state, manifest), []
        case RetryDue():
            return _retry_due(state)
        case Progressed(name):
            moved, actions = _move(state, name)
            if name == "activated":
                moved = replace(moved, trial_good=0, trial_errors=0, trial_boots=1)
            elif name == "verified":
                moved = replace(moved, previous=None)  # its slot now holds the candidate
            return moved, actions
        case Refused(name, reason):
            return _refused(state, name, reason)
        case Inferred():
            return _inferred(state, event)


def retry_delay_ms(attempts: int) -> int:
    """Back-off after the n-th failure in a row: doubling, from 5 s to an hour."""
    return int(min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** min(attempts - 1, 16)))


def _move(
    state: UpdateState, event: str, reason: str | None = None, **changes: object
) -> tuple[UpdateState, list[Action]]:
    target = UPDATE.next(state.lifecycle, event)
    moved = replace(state, lifecycle=target, reason=reason, **changes)  # type: ignore[arg-type]
    actions: list[Action] = [Transition(state.lifecycle, event, target, state.candidate, reason)]
    if target in UNDECIDED:
        actions.append(Begin(target))
    return moved, actions


def _offer(state: UpdateState, offer: Offer) -> tuple[UpdateState, list[Action]]:
    state = replace(state, generation=offer.generation)
    undecided = state.lifecycle in UNDECIDED
    if undecided and offer.manifest == state.candidate:
        return state, []
    actions: list[Action] = []
    if undecided:
        state, actions = _move(state, "superseded", candidate=None, retry=False)
        actions.append(DropCandidate())
    if offer.manifest == state.refused and state.lifecycle == "SUPERSEDED":
        # The control side must hear that it is refused, and not wait for it.
        state, again = _move(replace(state, candidate=offer.manifest), "offered")
        state, no = _refused(state, "rejected", "it was rejected or rolled back before")
        return state, [*actions, *(a for a in again if isinstance(a, Transition)), *no]
    if offer.manifest in (state.confirmed, state.refused):
        return replace(state, retry=False), actions
    state = replace(
        state,
        candidate=offer.manifest,
        candidate_bytes=offer.manifest_bytes,
        attempts=0,
        retry=False,
        trial_boots=0,
    )
    state, more = _move(state, "offered")
    return state, actions + more


def _restarted(state: UpdateState) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle == "FAILED" and state.retry:
        return state, [RetryIn(retry_delay_ms(max(1, state.attempts)))]
    if state.lifecycle not in UNDECIDED:
        return state, []
    if state.lifecycle == "TRIAL" and state.trial_boots >= MAX_TRIAL_BOOTS:
        return _roll_back(state, "the agent did not survive its trial")
    if state.lifecycle == "VERIFYING" and state.trial_boots + 1 >= MAX_VERIFY_BOOTS:
        return _refused(state, "rejected", "the agent did not survive opening it")
    cut = state.lifecycle in ("VERIFYING", "TRIAL")
    return _move(state, "restarted", trial_boots=min(state.trial_boots + cut, 255))


def _damaged(state: UpdateState, manifest: bytes) -> UpdateState:
    if manifest == state.confirmed:
        return replace(state, confirmed=state.previous, previous=None)
    return replace(state, previous=None) if manifest == state.previous else state


def _retry_due(state: UpdateState) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle != "FAILED" or not state.retry or state.candidate is None:
        return state, []
    return _move(replace(state, retry=False), "offered")


def _refused(state: UpdateState, event: str, reason: str) -> tuple[UpdateState, list[Action]]:
    reason = reason.encode()[:160].decode(errors="ignore")
    if event == "rejected":
        moved, actions = _move(state, event, reason, candidate=None, refused=state.candidate)
        return moved, [*actions, DropCandidate()]
    attempts = min(state.attempts + 1, 60_000)
    moved, actions = _move(state, event, reason, attempts=attempts, retry=True, trial_boots=0)
    return moved, [*actions, DropCandidate(), RetryIn(retry_delay_ms(attempts))]


def _inferred(state: UpdateState, event: Inferred) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle != "TRIAL":
        return state, []
    state = replace(
        state, trial_good=state.trial_good + event.ok, trial_errors=state.trial_errors + (not event.ok)
    )
    if state.trial_errors > event.max_errors:
        return _roll_back(
            state, f"{state.trial_errors} errors in its trial where {event.max_errors} are allowed"
        )
    if state.trial_good < event.limit:
        return state, []
    return _move(
        state,
        "healthy",
        confirmed=state.candidate,
        previous=state.confirmed,
        candidate=None,
        refused=None,
        attempts=0,
        security_counter=max(state.security_counter, event.security_counter),
    )


def _roll_back(state: UpdateState, reason: str) -> tuple[UpdateState, list[Action]]:
    moved, actions = _move(state, "unhealthy", reason, candidate=None, refused=state.candidate)
    return moved, [*actions, DropCandidate()]
