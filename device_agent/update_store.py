"""What must survive a power cut about one model's updates: the update state, and its security counter apart.

::

    <data>/models/<model>/state.cbor         the UpdateState
    <data>/models/<model>/security-counter   the highest counter that was confirmed, in decimals, and a line end
    <data>/models/<model>/state.damaged      a state that did not decode, kept for whoever wants to know why
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from device_agent.update import UNDECIDED, UpdateState
from edgeops.core.codec import decode, encode
from edgeops.core.errors import StorageError, WireError
from edgeops.core.lifecycle import UPDATE
from edgeops.files import read_or_none, write_atomic

STATE = "state.cbor"
SECURITY_COUNTER = "security-counter"
DAMAGED = "state.damaged"
MAX_COUNTER = 2**32 - 1


class UpdateStore:
    """The update state of one model below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counter = 0
        self._written: UpdateState | None = None

    def load(self) -> tuple[UpdateState, str | None]:
        """The state, and what was wrong with it where it was damaged: then it is put aside and a fresh one is
        given. The security counter is the highest that either file knows, whatever became of the other.
        """
        self._counter = self._load_counter()
        raw, problem, state = read_or_none(self._root / STATE), None, UpdateState()
        if raw is not None:
            try:
                state = _sane(decode(UpdateState, raw))
            except WireError as error:
                problem = f"{STATE} is damaged: {error.message}"
                self._put_aside()
            else:
                self._written = state
        return replace(state, security_counter=max(state.security_counter, self._counter)), problem

    def save(self, state: UpdateState) -> None:
        """Write the state atomically; raises ``StorageError``.

        The counter goes first: whatever cut comes between the two, no state can come back with a lower one. What a
        restart comes to anyway is not written, see ``_told_again``.
        """
        if _told_again(self._written or UpdateState(), state):
            return
        if state.security_counter > self._counter:
            write_atomic(self._root / SECURITY_COUNTER, b"%d\n" % state.security_counter)
            self._counter = state.security_counter
        write_atomic(self._root / STATE, encode(state))
        self._written = state

    def _load_counter(self) -> int:
        raw = read_or_none(self._root / SECURITY_COUNTER) or b""
        digits = raw.removesuffix(b"\n")
        whole = digits != raw and digits.isdigit() and len(digits) <= len(str(MAX_COUNTER))
        return min(int(digits), MAX_COUNTER) if whole else 0

    def _put_aside(self) -> None:
        try:
            os.replace(self._root / STATE, self._root / DAMAGED)
        except OSError as error:
            raise StorageError(
                f"{self._root / STATE} is damaged and cannot be put aside: {error.strerror}",
                fix=f"remove {self._root / STATE}: the model is then fetched again",
                path=str(self._root / STATE),
            ) from error


def _told_again(written: UpdateState, state: UpdateState) -> bool:
    """Whether a restart from ``written`` comes to ``state``, or to where it goes on from, without being told.

    The desired state has its own file, and offers the same again: an offer and its download remember nothing else, as
    what was fetched remembers itself. STAGED is followed by a trial or a shadow run at once, which is written; until
    then its model is opened again from VERIFYING, which was written before it was opened first.
    """
    if state.lifecycle == "STAGED":
        return written == replace(state, lifecycle="VERIFYING", previous=written.previous)
    offered = ("lifecycle", "generation", "candidate", "candidate_bytes", "reason", "shadow", "attempt")
    return (
        state.lifecycle in ("OFFERED", "DOWNLOADING")
        and not state.restoring  # it is opened in this state
        and written.lifecycle not in UNDECIDED
        and state == replace(written, trial_boots=0, **{name: getattr(state, name) for name in offered})
    )


def _sane(state: UpdateState) -> UpdateState:
    """A state that the machine can go on from; raises ``WireError``: it would stand still for ever."""
    if state.lifecycle not in UPDATE.states:
        raise WireError(f"lifecycle {state.lifecycle!r} is not known")
    if state.lifecycle in UNDECIDED and state.candidate is None:
        raise WireError(f"{state.lifecycle} without a candidate")
    return state
