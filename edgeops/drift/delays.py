"""What delays a retrain that the evidence asks for: cooldown, budgets, quiet hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MONTH_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the model's retrains have cost so far, at one moment.

    ``since_retrain_s``: seconds since the last one, None where there was none. ``retrains`` and ``pushed_bytes`` are
    those of the last 30 days. ``quiet``: it is a quiet hour now.
    """

    since_retrain_s: float | None = None
    retrains: int = 0
    pushed_bytes: int = 0
    quiet: bool = False

    @property
    def new(self) -> str:
        """What labelled samples must be, as a word before them: new ones, where a retrain has had some."""
        return "" if self.since_retrain_s is None else "new "


def delay(cooldown_hours: float, retrains_a_month: int, bytes_a_month: int, ledger: Ledger) -> str | None:
    """Why a retrain has to wait, as the end of a sentence; None when it has not to. A limit of 0 is none."""
    hours = None if ledger.since_retrain_s is None else ledger.since_retrain_s / 3600
    if hours is not None and hours < cooldown_hours:
        return f"the last retrain was {hours:.1f} h ago and {cooldown_hours:g} h must pass"
    if retrains_a_month and ledger.retrains >= retrains_a_month:
        return f"{ledger.retrains} of {retrains_a_month} retrains of 30 days are used up"
    return push_delay(bytes_a_month, ledger)


def push_delay(bytes_a_month: int, ledger: Ledger) -> str | None:
    """The same of a rollout that a retrain asks for."""
    if bytes_a_month and ledger.pushed_bytes >= bytes_a_month:
        return f"{ledger.pushed_bytes} of {bytes_a_month} bytes that retrains may push in 30 days are used up"
    return "these are quiet hours" if ledger.quiet else None
