"""What counting costs on this machine, beside a bare interpreter call, in one run.

Rounds of bare calls and of counted ones take turns, so that what else the machine does slows both; figures are medians
of rounds, in processor time. Memory is measured in processes of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from device_agent.bench_subject import INPUTS, WINDOW, Subject, count_many, observing_of, subject_of
from device_agent.observing import Observing
from edgeops.core.codec import encode
from edgeops.core.errors import EdgeOpsError

ROUNDS = 500
COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Costs:
    """Times in microseconds, memory in bytes.

    ``growth_bytes`` is over the counted inferences. ``counting_rss_bytes`` is what a process that counts has above one
    that only runs the model, ``agent_rss_bytes`` what one with all that an agent imports has above it.
    """

    runtime: str
    features: int
    bare_us: float
    counted_ratio: float
    observed_us: float
    report_bytes: int
    growth_bytes: int
    bare_rss_bytes: int
    counting_rss_bytes: int
    agent_rss_bytes: int


def measure(model: Path, rounds: int = ROUNDS, counted: int = COUNTED) -> Costs:
    """The costs for a ``.tflite`` file with int8 input and output; raises ``InputError`` for another model."""
    subject = subject_of(model)
    bare, ratio = _times(subject, rounds)
    size = _report_bytes(subject)
    alone = _process("bare", model, counted)["rss"]
    counting = _process("counting", model, counted)
    agent = _process("agent", model, counted)
    return Costs(
        subject.interpreter.runtime,
        len(subject.plan.features),
        bare,
        ratio,
        _observed_us(subject, rounds),
        size,
        max(counting["growth"], agent["growth"]),
        alone,
        counting["rss"] - alone,
        agent["rss"] - alone,
    )


def _times(subject: Subject, rounds: int) -> tuple[float, float]:
    """(microseconds of a bare call, counted calls over bare ones)."""
    observing = observing_of(subject, 0)
    invoke, count = subject.interpreter.invoke, observing.count

    def bare() -> None:
        for values in subject.inputs:
            invoke(values)

    def counted() -> None:
        for values in subject.inputs:
            count(values, invoke(values), 50)
        if observing.due(0):
            observing.close(0)

    for work in (bare, counted):  # once, so that everything is there
        work()
    pairs = []
    for number in range(rounds):
        first, second = (bare, counted) if number % 2 else (counted, bare)
        times = {work: _seconds(work) for work in (first, second)}
        pairs.append((times[bare], times[counted]))
    usual = median(before for before, _ in pairs)
    more = median(after - before for before, after in pairs)
    return usual / INPUTS * 1e6, 1 + more / usual


def _observed_us(subject: Subject, rounds: int) -> float:
    """Microseconds that taking the features of one input costs, beyond counting its prediction."""
    output = subject.interpreter.invoke(subject.inputs[0])
    plain, observed = observing_of(subject, 0), observing_of(subject, 1000)

    def work(observing: Observing) -> Callable[[], None]:
        def run() -> None:
            for values in subject.inputs:
                observing.count(values, output, 50)
            if observing.due(0):
                observing.close(0)

        return run

    without, taking = work(plain), work(observed)
    without(), taking()
    more = [-_seconds(without) + _seconds(taking) for _ in range(rounds)]
    return median(more) / INPUTS * 1e6


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _report_bytes(subject: Subject) -> int:
    observing = observing_of(subject, 1000)
    count_many(observing, subject, WINDOW)
    report = observing.close(60_000)
    assert report is not None
    return len(encode(report))


def _process(kind: str, model: Path, counted: int) -> dict[str, int]:
    code = f"from device_agent.bench_memory import {kind}; {kind}()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(counted)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EdgeOpsError(
            f"the process that measures memory ended with {done.returncode}: {done.stderr[-400:]}"
        )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def lines(costs: Costs) -> list[str]:
    """The costs as a person reads them."""
    mib = 2**20
    return [
        f"interpreter        {costs.runtime}",
        f"bare call          {costs.bare_us:.1f} us",
        f"with counting      {costs.counted_ratio:.3f} of that",
        f"observed input     {costs.observed_us:.1f} us more, {costs.features} features",
        f"report             {costs.report_bytes} bytes, a window of {WINDOW:,}",
        f"memory             {costs.bare_rss_bytes / mib:.1f} MiB bare",
        f"memory of counting {costs.counting_rss_bytes / mib:.1f} MiB more",
        f"memory of an agent {costs.agent_rss_bytes / mib:.1f} MiB more, with its signatures and MQTT",
        f"memory growth      {costs.growth_bytes / 1024:.0f} KiB over {COUNTED:,} counted inferences",
    ]


def as_dict(costs: Costs) -> dict[str, object]:
    """The costs for ``--json``."""
    return asdict(costs)
