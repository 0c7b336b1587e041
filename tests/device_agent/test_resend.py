"""Reports are sent again after a reconnection or when receipts have stopped, never in a storm."""

import itertools

from device_agent.report_queue import ReportKey
from device_agent.resend import BATCH, BATCH_EVERY_MS, FIRST_PAUSE_MS, LAST_PAUSE_MS, Resend

WAITING = [ReportKey(1, number, "digits") for number in range(1, 101)]


def test_nothing_is_sent_again_while_receipts_come() -> None:
    resend = Resend()
    for now in range(0, 10 * FIRST_PAUSE_MS, 1_000):
        resend.progressed(now)
        assert resend.take(now + 999, WAITING) == []


def test_after_a_reconnection_everything_goes_in_batches_oldest_first() -> None:
    resend = Resend()
    resend.reconnected(5_000, WAITING)
    sent = []
    for turn in range(20):
        now = 5_000 + turn * BATCH_EVERY_MS
        resend.progressed(now)
        batch = resend.take(now, WAITING)
        assert len(batch) <= BATCH
        sent += batch
    assert sent == WAITING


def test_a_control_side_that_is_slow_gets_a_few_and_ever_more_rarely() -> None:
    resend, times = Resend(), []
    for now in range(0, 4 * LAST_PAUSE_MS, 500):
        batch = resend.take(now, WAITING)
        if batch:
            times.append(now)
            assert batch == WAITING[:BATCH]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= LAST_PAUSE_MS
    assert len(times) < 12


def test_what_was_receipted_meanwhile_is_left_out() -> None:
    resend = Resend()
    resend.reconnected(0, WAITING[:4])
    assert resend.take(0, WAITING[2:4]) == WAITING[2:4]
