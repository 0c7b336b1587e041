"""Judging latency: a device is set against its own past, and against how the control cohort changed."""

from __future__ import annotations

import pytest

from edgeops.core.observe import LATENCY_BINS
from edgeops.fleet.figures import WindowFigures
from edgeops.fleet.judging import _latency
from edgeops.fleet.observations import SeenWindow
from edgeops.fleet.rollout.gates import GATES
from edgeops.registry.tables import GateEvidence

RULE = GATES["latency"].default
FAST, SLOW, SLOWEST = 3, 6, 9


def histogram(bucket: int) -> tuple[int, ...]:
    return tuple(20 if index == bucket else 0 for index in range(LATENCY_BINS))


def window(treated: bool, bucket: int, before: int | None) -> SeenWindow:
    past = {} if before is None else {"latency": list(histogram(before))}
    return SeenWindow("cam", treated, WindowFigures(20, 0.0, 0.8, histogram(bucket)), past)


@pytest.mark.parametrize(
    ("control", "canary", "refused"),
    [
        pytest.param((FAST, FAST), (SLOW, SLOW), False, id="a slow board among fast ones"),
        pytest.param((FAST, FAST), (FAST, SLOW), True, id="a fast board that became slow"),
        pytest.param((SLOW, SLOW), (FAST, SLOW), True, id="also among slow ones"),
        pytest.param((FAST, SLOW), (FAST, SLOW), False, id="when all became slow"),
        pytest.param((FAST, FAST), (None, SLOWEST), True, id="a board without a past"),
        pytest.param((None, FAST), (None, FAST), False, id="no past at all"),
    ],
)
def test_a_version_is_slow_where_its_device_was_not(
    control: tuple[int | None, int], canary: tuple[int | None, int], refused: bool
) -> None:
    row = GateEvidence(rollout_id=1, gate="latency")
    refuses = False
    for _ in range(12):
        seen = [window(False, control[1], control[0]), window(True, canary[1], canary[0])]
        refuses, _, words = _latency(RULE, row, seen)
    assert refuses is refused, words
