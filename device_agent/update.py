"""The device's update machine: pure, one a model, driven through ``edgeops.core.lifecycle.UPDATE``.

Events go in, a new state and actions come out; no clock, no disk, no network. What must survive a power cut
is the ``UpdateState`` itself: the agent writes it down before it carries the actions out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeops.core.codec import DIGEST, Flag, Message, Text, UInt, wire
from edgeops.core.errors import LifecycleError
from edgeops.core.lifecycle import UPDATE
from edgeops.core.manifest import Trial

UNDECIDED = frozenset({"OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "SHADOWING", "TRIAL"})
MAX_TRIAL_BOOTS = 2  # a trial that was cut off in this many starts of the agent is an unhealthy one
MAX_VERIFY_BOOTS = 3  # a model that ends the agent when it is opened must not end it for ever
MAX_REASON_BYTES = 160

RETRY_MS = tuple(1000 * seconds for seconds in (5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600))
"""The pause after the n-th failure in a row; after more than there are here, the last."""
ASIDE_AFTER = 3
"""From this many failures in a row on, a device says that it puts the version aside."""


@dataclass(frozen=True, slots=True)
class UpdateState(Message):
    """All that is remembered about one model's updates; digests are of manifests.

    ``confirmed`` is what runs and was healthy, ``previous`` what was so before, ``candidate`` what is being taken,
    ``refused`` the last digest that was rejected or rolled back and is not tried again before a new ``attempt``.
    ``shadow``: so many inputs the candidate sees beside the confirmed model before its trial.
    """

    MAX_BYTES = 1024
    lifecycle: str = wire(1, Text(16), default="IDLE")
    generation: int = wire(2, UInt(32), default=0)
    confirmed: bytes | None = wire(3, DIGEST, default=None)
    previous: bytes | None = wire(4, DIGEST, default=None)
    candidate: bytes | None = wire(5, DIGEST, default=None)
    candidate_bytes: int = wire(6, UInt(16), default=0)
    refused: bytes | None = wire(7, DIGEST, default=None)
    reason: str | None = wire(8, Text(MAX_REASON_BYTES), default=None)
    security_counter: int = wire(9, UInt(32), default=0)
    trial_good: int = wire(10, UInt(32), default=0)
    trial_errors: int = wire(11, UInt(32), default=0)
    trial_boots: int = wire(12, UInt(8), default=0)
    attempts: int = wire(13, UInt(16), default=0)
    retry: bool = wire(14, Flag(), default=False)
    shadow: int = wire(15, UInt(32), default=0)
    attempt: int = wire(16, UInt(16), default=0)

    @property
    def restoring(self) -> bool:
        """Whether what is offered was confirmed here before: its slot may need no more than to be opened."""
        return self.lifecycle == "OFFERED" and self.candidate is not None and self.candidate == self.previous


@dataclass(frozen=True, slots=True)
class Offer:
    """A desired state of this generation names this manifest, or none; the rest is as in ``DesiredModel``."""

    manifest: bytes | None
    manifest_bytes: int
    generation: int
    attempt: int = 0
    shadow: int = 0


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
    """The driver finished a step.

    ``accepted``, ``complete``, ``damaged``, ``verified``, ``shadow``, ``activated``, or ``restored``: the one
    before was opened again.
    """

    event: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The driver could not go on: ``rejected`` (never will), ``failed`` (may try again), or ``unhealthy`` (what
    was staged cannot be run).
    """

    event: str
    reason: str


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What the candidate did so far beside the active model; ``max_errors`` is its manifest's."""

    inferences: int
    errors: int
    max_errors: int


@dataclass(frozen=True, slots=True)
class Inferred:
    """One inference of the candidate in its trial, which began ``elapsed_ms`` ago; the rest is its manifest's."""

    ok: bool
    trial: Trial
    security_counter: int
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Waited:
    """The trial began ``elapsed_ms`` ago; the rest is the candidate's manifest's."""

    trial: Trial
    security_counter: int
    elapsed_ms: int


UpdateEvent = (
    Offer | Restarted | Closed | Damaged | RetryDue | Progressed | Refused | Shadowed | Inferred | Waited
)


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
            return _damaged(state, manifest)
        case RetryDue():
            return _retry_due(state)
        case Progressed(name):
            return _progressed(state, name)
        case Refused(name, reason):
            return _refused(state, name, reason)
        case Shadowed():
            return _shadowed(state, event)
        case Inferred():
            return _inferred(state, event)
        case Waited(trial, counter, elapsed):
            return _judge_trial(state, trial, counter, elapsed)


def retry_delay_ms(attempts: int) -> int:
    """Milliseconds of pause after the n-th failure in a row, from 1: see ``RETRY_MS``."""
    return RETRY_MS[min(attempts, len(RETRY_MS)) - 1]


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
    again = offer.attempt > state.attempt
    state = replace(state, generation=offer.generation, attempt=offer.attempt)
    if again and offer.manifest == state.refused:
        state = replace(state, refused=None)
    if offer.manifest is None:
        dropped, actions = _supersede(state)
        return replace(dropped, candidate=None, retry=False), actions
    if offer.manifest == state.confirmed:
        return (state, []) if state.lifecycle == "CONFIRMED" else _stay_confirmed(state)
    if offer.manifest == state.candidate and (state.lifecycle in UNDECIDED or (state.retry and not again)):
        # It is on its way, or put aside for a while.
        return replace(state, shadow=offer.shadow, attempts=0 if again else state.attempts), []
    if offer.manifest == state.previous and (again or offer.shadow):
        # A rollout, and no way back: it has to prove itself anew, though its slot needs no download.
        state = replace(state, previous=None)
    refused = offer.manifest == state.refused
    if refused and state.lifecycle in ("REJECTED", "ROLLED_BACK"):
        return state, []
    state, actions = _supersede(state)
    state = replace(
        state,
        candidate=offer.manifest,
        candidate_bytes=offer.manifest_bytes,
        attempts=0,
        retry=False,
        trial_boots=0,
        shadow=offer.shadow,
    )
    state, more = _move(state, "offered")
    if refused:
        # The control side must hear that it is refused, and not wait for it.
        state, no = _refused(state, "rejected", "it was rejected or rolled back before")
        return state, [*actions, more[0], *no]
    return state, actions + more


def _supersede(state: UpdateState) -> tuple[UpdateState, list[Action]]:
    """End what is under way, if anything is."""
    if state.lifecycle not in UNDECIDED:
        return state, []
    state, actions = _move(state, "superseded")
    return state, [*actions, DropCandidate()]


def _stay_confirmed(state: UpdateState) -> tuple[UpdateState, list[Action]]:
    """What is wanted runs already: end whatever is under way, and say so."""
    state, actions = _supersede(state)
    state = replace(state, candidate=state.confirmed, attempts=0, retry=False, trial_boots=0)
    state, offered = _move(state, "offered")
    state, restored = _move(state, "restored", candidate=None)
    return state, [*actions, offered[0], *restored]


def _progressed(state: UpdateState, name: str) -> tuple[UpdateState, list[Action]]:
    if name == "restored":
        if not state.restoring:
            raise LifecycleError(f"{state.lifecycle}: only the one before can be restored", event=name)
        return _move(
            state,
            name,
            confirmed=state.candidate,
            previous=state.confirmed,
            candidate=None,
            attempts=0,
            trial_boots=0,
        )
    moved, actions = _move(state, name)
    if name == "verified":
        moved = replace(moved, previous=None)  # its slot now holds the candidate
    elif name in ("shadow", "activated"):
        moved = replace(moved, trial_good=0, trial_errors=0, trial_boots=1)
    return moved, actions


def _restarted(state: UpdateState) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle == "FAILED" and state.retry:
        return state, [RetryIn(retry_delay_ms(max(1, state.attempts)))]
    if state.lifecycle not in UNDECIDED:
        return state, []
    running = state.lifecycle in ("SHADOWING", "TRIAL")
    opening = state.lifecycle == "VERIFYING" or state.restoring
    if running and state.trial_boots >= MAX_TRIAL_BOOTS:
        what = "trial" if state.lifecycle == "TRIAL" else "run beside the active model"
        return _refused(state, "unhealthy", f"the agent did not survive its {what}")
    if opening and state.trial_boots + 1 >= MAX_VERIFY_BOOTS:
        return _refused(state, "rejected", "the agent did not survive opening it")
    return _move(state, "restarted", trial_boots=min(state.trial_boots + (running or opening), 255))


def _damaged(state: UpdateState, manifest: bytes) -> tuple[UpdateState, list[Action]]:
    if manifest == state.confirmed:
        state = replace(state, confirmed=state.previous, previous=None)
        wanted = state.candidate is not None and state.candidate == state.confirmed
        return _stay_confirmed(state) if wanted else (state, [])
    return (replace(state, previous=None) if manifest == state.previous else state), []


def _retry_due(state: UpdateState) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle != "FAILED" or not state.retry or state.candidate is None:
        return state, []
    return _move(replace(state, retry=False), "offered")


def _refused(state: UpdateState, event: str, reason: str) -> tuple[UpdateState, list[Action]]:
    if event in ("rejected", "unhealthy"):
        moved, actions = _move(state, event, _cut(reason), candidate=None, refused=state.candidate)
        return moved, [*actions, DropCandidate()]
    attempts = min(state.attempts + 1, 60_000)
    delay = retry_delay_ms(attempts)
    aside = f"; put aside for {delay // 1000} s after {attempts} failures in a row"
    reason = _cut(reason, aside if attempts >= ASIDE_AFTER else "")
    moved, actions = _move(state, event, reason, attempts=attempts, retry=True, trial_boots=0)
    return moved, [*actions, DropCandidate(), RetryIn(delay)]


def _shadowed(state: UpdateState, event: Shadowed) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle != "SHADOWING":
        return state, []
    if event.errors > event.max_errors:
        where = "beside the active model"
        return _refused(
            state, "unhealthy", f"{event.errors} errors {where} where {event.max_errors} are allowed"
        )
    return _progressed(state, "activated") if event.inferences >= state.shadow else (state, [])


def _inferred(state: UpdateState, event: Inferred) -> tuple[UpdateState, list[Action]]:
    if state.lifecycle != "TRIAL":
        return state, []
    good, errors = state.trial_good + event.ok, state.trial_errors + (not event.ok)
    state = replace(state, trial_good=good, trial_errors=errors)
    if errors > event.trial.max_errors:
        return _refused(
            state, "unhealthy", f"{errors} errors in its trial where {event.trial.max_errors} are allowed"
        )
    return _judge_trial(state, event.trial, event.security_counter, event.elapsed_ms)


def _judge_trial(
    state: UpdateState, trial: Trial, security_counter: int, elapsed_ms: int
) -> tuple[UpdateState, list[Action]]:
    enough = state.trial_good >= trial.inferences or 0 < trial.seconds * 1000 <= elapsed_ms
    if state.lifecycle != "TRIAL" or not state.trial_good or not enough:
        return state, []
    return _move(
        state,
        "healthy",
        confirmed=state.candidate,
        previous=state.confirmed,
        candidate=None,
        attempts=0,
        security_counter=max(state.security_counter, security_counter),
    )


def _cut(reason: str, ending: str = "") -> str:
    """What fits its field, cut between letters; the ending stays whole."""
    room = MAX_REASON_BYTES - len(ending.encode())
    return reason.encode()[:room].decode(errors="ignore") + ending
