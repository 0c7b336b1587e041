"""A candidate sees live inputs beside the active model, which alone answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.packages import LABELS, MODEL, TRIAL, Bench, build, image
from support.updated_agent import DOWNLOADED, FIRST, confirmed, model_of, predict, take, versions

from device_agent.agent import Agent
from device_agent.shadow import TOLD_EVERY_MS, Shadow
from edgeops.core.errors import InferenceFailed
from edgeops.core.messages import ShadowCounts
from edgeops.core.tensors import TensorSpec

SECOND = build(2)  # its security counter is that of the first
CONTRARY = build(2, change=lambda manifest: replace(manifest, labels=LABELS[::-1]))


def test_a_candidate_sees_live_inputs_beside_the_active_model_which_goes_on_answering(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, CONTRARY, shadow_inferences=20)
    assert bench.control.steps() == [*DOWNLOADED, "SHADOWING"]
    assert versions(agent, bench, 20) == [1] * 20
    agent.poll()
    assert bench.control.steps()[-1] == "TRIAL"
    counts = model_of(bench).shadow
    assert counts is not None
    assert (counts.inferences, counts.errors) == (20, 0)
    # Its labels are the other way round: it says the same only where it says the middle one.
    middle = sum(agent_says == 2 for agent_says in reported_classes(bench))
    assert counts.disagreements == 20 - middle
    assert versions(agent, bench, TRIAL.inferences) == [2] * TRIAL.inferences
    agent.poll()
    assert (model_of(bench).confirmed, model_of(bench).shadow) == (CONTRARY.digest, counts)


def reported_classes(bench: Bench) -> list[int]:
    return [
        index
        for report in bench.control.reports()
        for index, n in enumerate(report.counters.classes)
        for _ in range(n)
    ]


def test_what_the_candidate_says_in_its_shadow_is_in_no_report(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, CONTRARY, shadow_inferences=30)
    predict(agent, bench, 30)
    reports = bench.control.reports()
    assert {report.manifest for report in reports} == {FIRST.digest[:8]}
    assert sum(report.counters.inferences for report in reports) == 30
    assert not any(report.trial for report in reports)


def test_two_that_agree_do_not_disagree(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, SECOND, shadow_inferences=50)
    predict(agent, bench, 40)
    agent.poll()
    counts = model_of(bench).shadow
    assert counts is not None and (counts.inferences, counts.disagreements) == (40, 0)


def test_while_it_shadows_the_state_is_told_ten_times_and_every_few_seconds(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, SECOND, shadow_inferences=1000)
    bench.control.forget()
    predict(agent, bench, 500)  # 25 s
    told = states_told(bench)
    assert 5 <= told <= 5 + 25_000 // TOLD_EVERY_MS
    bench.control.forget()
    bench.wait(agent, 60)
    assert states_told(bench) <= 1  # nothing new to tell


def states_told(bench: Bench) -> int:
    from edgeops.core.topics import Kind

    return len(bench.control.heard(Kind.STATE))


def test_a_candidate_that_fails_beside_the_active_model_is_rolled_back_before_it_answered_anybody(
    bench: Bench,
) -> None:
    agent = confirmed(bench)
    take(bench, agent, SECOND, shadow_inferences=50)
    break_candidate(agent)
    assert versions(agent, bench, 10) == [1] * 10
    event = bench.control.events()[-1]
    assert (event.target, event.manifest) == ("ROLLED_BACK", SECOND.digest)
    assert event.reason == "2 errors beside the active model where 1 are allowed"
    agent.poll()
    assert (model_of(bench).confirmed, model_of(bench).candidate) == (FIRST.digest, None)


class Failing:
    """An interpreter whose kernels fail."""

    runtime = "failing"
    input = output = TensorSpec((8, 8), "int8", 1.0, 0)

    def invoke(self, values: np.ndarray) -> np.ndarray:
        raise RuntimeError("a kernel failed")


def break_candidate(agent: Agent) -> None:
    candidate = agent._models[MODEL].host._candidate
    assert candidate is not None
    object.__setattr__(candidate, "interpreter", Failing())


def test_an_input_that_the_candidate_cannot_take_is_its_error() -> None:
    class Candidate:
        manifest = FIRST.manifest

        def infer(self, quantized: np.ndarray) -> np.ndarray:
            raise InferenceFailed("no")

    shadow = Shadow(FIRST.digest, 10, 0)
    ticks = iter(range(100))
    for raw in (np.zeros((3, 3)), np.zeros((8, 8))):
        shadow.see(Candidate(), raw, "one", 250, lambda: float(next(ticks)))  # type: ignore[arg-type]
    assert shadow.counts == ShadowCounts(2, 0, 2, 0, 0)


def test_both_models_are_timed_on_the_same_inputs() -> None:
    class Candidate:
        manifest = FIRST.manifest

        def infer(self, quantized: np.ndarray) -> np.ndarray:
            return np.array([0, 5, 0, 0, 0], np.int8)

    shadow = Shadow(FIRST.digest, 10, 0)
    ticks = iter([1.0, 1.002, 5.0, 5.004])
    for label in ("one", "two"):
        shadow.see(Candidate(), image(), label, 250, lambda: next(ticks))  # type: ignore[arg-type]
    assert (shadow.counts.active_us, shadow.counts.disagreements) == (500, 1)
    assert abs(shadow.counts.candidate_us - 6000) <= 2


def test_the_first_model_has_nothing_to_run_beside(bench: Bench) -> None:
    agent = bench.start()
    take(bench, agent, FIRST, shadow_inferences=20)
    assert bench.control.steps() == [*DOWNLOADED, "TRIAL"]


def test_a_shadow_run_begins_anew_after_a_power_cut_and_two_are_too_many(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, SECOND, shadow_inferences=10)
    predict(agent, bench, 9)
    bench.cut()
    agent = bench.start()
    assert versions(agent, bench, 9) == [1] * 9
    assert model_of(bench).lifecycle == "SHADOWING"
    agent.close()
    agent = bench.start()  # stopped on purpose: that is no cut
    predict(agent, bench, 9)
    assert bench.control.state().models[MODEL].lifecycle == "SHADOWING"
    for _ in range(2):
        bench.cut()
        agent = bench.start()
    assert bench.control.events()[-1].reason == "the agent did not survive its run beside the active model"
    assert versions(agent, bench, 1) == [1]
