"""Inputs leave the device only under a policy, by content, with consent, and within a budget."""

from __future__ import annotations

from device_agent.capture import Capture
from edgeops.core.messages import CapturePolicy

INPUTS = [bytes([n % 256, n // 256]) * 32 for n in range(2000)]


def taken(policy: CapturePolicy | None, inputs: list[bytes] = INPUTS) -> list[bytes]:
    capture = Capture(policy)
    return [values for values in inputs if capture.wants(values, consent=True)]


def test_without_a_policy_nothing_leaves() -> None:
    assert taken(None) == []


def test_without_consent_nothing_leaves() -> None:
    capture = Capture(CapturePolicy(1000, 100))
    assert not any(capture.wants(values, consent=False) for values in INPUTS)
    assert capture.wants(INPUTS[0], consent=True)  # and asking in vain spends nothing


def test_the_share_is_met_and_the_choice_is_the_contents() -> None:
    chosen = taken(CapturePolicy(250, 10_000))
    assert 400 < len(chosen) < 600
    assert taken(CapturePolicy(250, 10_000), INPUTS[::-1]) == chosen[::-1]
    assert set(chosen) < set(taken(CapturePolicy(500, 10_000)))


def test_the_budget_ends_it_and_no_input_is_sent_twice() -> None:
    assert len(taken(CapturePolicy(1000, 7))) == 7
    assert len(taken(CapturePolicy(1000, 100), INPUTS[:5] * 3)) == 5
    assert taken(CapturePolicy(0, 100)) == []
