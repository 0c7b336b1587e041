"""The update machine in a running agent: shadow, trials by time, going back, attempts, refusals."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.packages import (
    LABELS,
    MODEL,
    TFLITE,
    TRIAL,
    Bench,
    Package,
    build,
    enrol,
    image,
    poll_until_quiet,
)

from device_agent.agent import Agent
from device_agent.config import load_config
from device_agent.running_model import unresolved_operators
from device_agent.shadow import TOLD_EVERY_MS, Shadow
from device_agent.slots import SlotStore
from edgeops.core.errors import ConfigError, InferenceFailed, NoModel
from edgeops.core.manifest import Manifest, Trial
from edgeops.core.messages import DesiredModel, ModelState, ShadowCounts
from edgeops.core.tensors import TensorSpec

FIRST, SECOND = build(1), build(2)
CONTRARY = build(2, change=lambda manifest: replace(manifest, labels=LABELS[::-1]))
DOWNLOADED = ["OFFERED", "DOWNLOADING", "VERIFYING", "STAGED"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(enrol(tmp_path))


def desire(bench: Bench, package: Package | None, **fields: object) -> None:
    """Publish a package and a desired state that names it, with other fields of ``DesiredModel``."""
    wanted = DesiredModel(report=bench.control.policy)
    if package is not None:
        bench.control.publish(package)
        wanted = replace(wanted, manifest=package.digest, manifest_bytes=len(package.envelope))
    bench.control.desire(package, models={MODEL: replace(wanted, **fields)})  # type: ignore[arg-type]


def take(bench: Bench, agent: Agent, package: Package, **fields: object) -> None:
    desire(bench, package, **fields)
    poll_until_quiet(agent)


def predict(agent: Agent, bench: Bench, count: int) -> list[int]:
    """So many predictions; the version that made each."""
    versions = []
    for seed in range(count):
        bench.clock.sleep(0.05)
        versions.append(agent.predict(image(seed)).model_version)
    return versions


def confirmed(bench: Bench, *packages: Package) -> Agent:
    """An agent that confirmed these packages one after the other, with what it said so far forgotten."""
    agent = bench.start()
    for package in packages or (FIRST,):
        take(bench, agent, package)
        predict(agent, bench, TRIAL.inferences)
        agent.poll()
        assert model_of(bench).confirmed == package.digest
    bench.control.forget()
    return agent


def model_of(bench: Bench) -> ModelState:
    return bench.control.state().models[MODEL]


# -- a candidate beside the active model


def test_a_candidate_sees_live_inputs_beside_the_active_model_which_goes_on_answering(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, CONTRARY, shadow_inferences=20)
    assert bench.control.steps() == [*DOWNLOADED, "SHADOWING"]
    assert predict(agent, bench, 20) == [1] * 20
    agent.poll()
    assert bench.control.steps()[-1] == "TRIAL"
    counts = model_of(bench).shadow
    assert counts is not None
    assert (counts.inferences, counts.errors) == (20, 0)
    # Its labels are the other way round: it says the same only where it says the middle one.
    middle = sum(agent_says == 2 for agent_says in reported_classes(bench))
    assert counts.disagreements == 20 - middle
    assert predict(agent, bench, TRIAL.inferences) == [2] * TRIAL.inferences
    agent.poll()
    assert (model_of(bench).confirmed, model_of(bench).shadow) == (CONTRARY.digest, counts)


def reported_classes(bench: Bench) -> list[int]:
    return [
        index
        for report in bench.control.reports()
        for index, n in enumerate(report.classes)
        for _ in range(n)
    ]


def test_what_the_candidate_says_in_its_shadow_is_in_no_report(bench: Bench) -> None:
    agent = confirmed(bench)
    take(bench, agent, CONTRARY, shadow_inferences=30)
    predict(agent, bench, 30)
    reports = bench.control.reports()
    assert {report.manifest for report in reports} == {FIRST.digest}
    assert sum(report.inferences for report in reports) == 30
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
    assert predict(agent, bench, 10) == [1] * 10
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
    assert predict(agent, bench, 9) == [1] * 9
    assert model_of(bench).lifecycle == "SHADOWING"
    agent.close()
    agent = bench.start()  # stopped on purpose: that is no cut
    predict(agent, bench, 9)
    assert bench.control.state().models[MODEL].lifecycle == "SHADOWING"
    for _ in range(2):
        bench.cut()
        agent = bench.start()
    assert bench.control.events()[-1].reason == "the agent did not survive its run beside the active model"
    assert predict(agent, bench, 1) == [1]


# -- a trial by time


def test_a_trial_ends_by_time_where_inputs_are_rare(bench: Bench) -> None:
    agent = bench.start()
    take(bench, agent, build(1, trial=Trial(1000, 1, seconds=60)))
    bench.wait(agent, 120)
    assert model_of(bench).lifecycle == "TRIAL"  # not one good inference
    predict(agent, bench, 1)
    agent.poll()
    assert model_of(bench).lifecycle == "CONFIRMED"


# -- going back


def test_a_rollback_on_command_takes_one_poll_and_no_byte(bench: Bench) -> None:
    agent = confirmed(bench, FIRST, SECOND)
    before = bench.control.state()
    desire(bench, FIRST)
    bench.control.broker.retained = {
        topic: payload for topic, payload in bench.control.broker.retained.items() if "/blob/" not in topic
    }
    agent.poll()
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.previous, state.candidate) == (
        "CONFIRMED",
        FIRST.digest,
        SECOND.digest,
        None,
    )
    assert state.generation == bench.control.generation
    assert bench.control.state().received_bytes == before.received_bytes
    assert [event.event for event in bench.control.events()] == ["offered", "restored"]
    prediction = agent.predict(image())
    assert (prediction.model_version, prediction.trial) == (1, False)
    bench.cut()
    agent = bench.start()
    assert agent.predict(image()).model_version == 1
    desire(bench, SECOND)  # and forward again, just so
    agent.poll()
    assert agent.predict(image()).model_version == 2


def test_a_rollback_to_a_slot_that_was_damaged_fetches_it_again(bench: Bench) -> None:
    second = build(2, tflite=TFLITE + bytes(16))
    agent = confirmed(bench, FIRST, second)
    for path in bench.config.data.rglob(FIRST.manifest.artifacts[0].blob.hex):
        path.write_bytes(b"bit rot")
    take(bench, agent, FIRST)
    assert bench.control.steps() == ["OFFERED", "OFFERED", *DOWNLOADED[1:], "TRIAL"]
    assert bench.control.events()[1].event == "damaged"
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert model_of(bench).confirmed == FIRST.digest


def test_going_back_below_the_security_counter_is_refused_with_both_numbers(bench: Bench) -> None:
    agent = confirmed(bench, build(1, security_counter=3), newer := build(2, security_counter=5))
    take(bench, agent, build(1, security_counter=3))
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.security_counter) == ("REJECTED", newer.digest, 5)
    assert state.reason == "security counter 3 is below 5"


@pytest.mark.parametrize("shadow", [0, 100], ids=["trial", "shadow"])
def test_a_rollout_that_is_taken_back_while_it_is_tried_is_over_in_one_poll(
    bench: Bench, shadow: int
) -> None:
    agent = confirmed(bench)
    take(bench, agent, SECOND, shadow_inferences=shadow)
    predict(agent, bench, 2)
    desire(bench, FIRST)
    agent.poll()
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.candidate) == ("CONFIRMED", FIRST.digest, None)
    assert (state.generation, state.shadow) == (bench.control.generation, None)
    assert predict(agent, bench, 3) == [1, 1, 1]


def test_where_no_version_is_wanted_any_more_the_candidate_goes(bench: Bench) -> None:
    agent = bench.start()
    take(bench, agent, FIRST)
    assert agent.ready()
    desire(bench, None)
    agent.poll()
    state = model_of(bench)
    assert (state.lifecycle, state.candidate, state.generation) == ("SUPERSEDED", None, 2)
    with pytest.raises(NoModel):
        agent.predict(image())


# -- attempts and being put aside


def test_a_new_attempt_tries_again_what_was_rejected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = confirmed(bench)
    second = build(2, tflite=TFLITE + bytes(16))
    with monkeypatch.context() as patched:
        patched.setattr(SlotStore, "free_bytes", lambda self: 100)
        take(bench, agent, second)
    assert model_of(bench).lifecycle == "REJECTED"
    take(bench, agent, second)
    assert model_of(bench).lifecycle == "REJECTED"  # there is room now, but nobody asked to try again
    take(bench, agent, second, attempt=1)
    assert model_of(bench).lifecycle == "TRIAL"


def test_after_repeated_failures_a_version_is_put_aside_and_says_for_how_long(bench: Bench) -> None:
    agent = confirmed(bench)
    desire(bench, SECOND)
    bench.control.put_chunk((SECOND.digest.hex(), 0), b"")  # cannot be fetched
    for failures in (1, 2, 3):
        while bench.control.steps().count("FAILED") < failures:
            bench.wait(agent, 1)
    state = model_of(bench)
    assert (state.lifecycle, state.attempts, state.retry_in_ms) == ("FAILED", 3, 20_000)
    assert (state.reason or "").endswith("; put aside for 20 s after 3 failures in a row")
    bench.cut()
    agent = bench.start()
    state = model_of(bench)
    assert (state.lifecycle, state.attempts, state.retry_in_ms) == ("FAILED", 3, 20_000)
    bench.wait(agent, 19)
    assert model_of(bench).lifecycle == "FAILED"
    bench.wait(agent, 2)
    assert model_of(bench).lifecycle == "OFFERED"
    desire(bench, SECOND, attempt=1)
    poll_until_quiet(agent)
    assert (model_of(bench).lifecycle, model_of(bench).attempts) == ("TRIAL", 0)


# -- what a device cannot take


def reason_of(bench: Bench, package: Package) -> str:
    """Why an agent that runs the first version rejects this one."""
    agent = confirmed(bench)
    take(bench, agent, package)
    assert (model_of(bench).lifecycle, model_of(bench).confirmed) == ("REJECTED", FIRST.digest)
    return model_of(bench).reason or ""


def artifacts(**fields: object) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(
        manifest, artifacts=tuple(replace(one, **fields) for one in manifest.artifacts)
    )


def test_a_model_that_needs_more_arena_is_rejected_with_both_numbers(tmp_path: Path) -> None:
    bench = Bench(enrol(tmp_path, arena_bytes=16_384))
    reason = reason_of(bench, build(2, change=artifacts(arena_bytes=22_868)))
    assert reason == "22868 bytes of arena are needed, 16384 are there"
    take(bench, agent := bench.start(), build(3, change=artifacts(arena_bytes=16_384)))
    del agent
    assert model_of(bench).lifecycle == "TRIAL"


def test_without_a_limit_any_arena_will_do(bench: Bench) -> None:
    take(bench, agent := confirmed(bench), build(2, change=artifacts(arena_bytes=2**31)))
    assert agent.ready() and model_of(bench).lifecycle == "TRIAL"


@pytest.mark.parametrize(
    ("fields", "has"),
    [({"target": "cortex-m4"}, "tflite for cortex-m4"), ({"runtime": "plan"}, "plan for linux")],
    ids=str,
)
def test_a_version_without_an_artifact_for_the_device_says_what_it_has(
    bench: Bench, fields: dict[str, str], has: str
) -> None:
    reason = reason_of(bench, build(2, change=artifacts(**fields)))
    assert reason == f"this device takes tflite for linux; the version has {has}"


def test_an_operator_that_the_interpreter_does_not_have_is_named(bench: Bench) -> None:
    reason = reason_of(bench, build(2, tflite=with_builtin(180)))
    assert reason.startswith("operators that ") and reason.endswith("does not have: STABLEHLO_LOG version 3")


def with_builtin(code: int) -> bytes:
    """The tiny model with its first operator code replaced."""
    data = bytearray(TFLITE)

    def follow(at: int) -> int:
        return at + struct.unpack_from("<I", data, at)[0]

    def field(table: int, slot: int) -> int:
        vtable = table - struct.unpack_from("<i", data, table)[0]
        return table + struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0]

    first = follow(follow(field(follow(0), 1)) + 4)
    data[field(first, 0)] = 127  # this one, or a higher one
    struct.pack_into("<i", data, field(first, 3), code)
    return bytes(data)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("x: Didn't find op for builtin opcode 'ADD' version '9'. An older", ["ADD version 9"]),
        ("Encountered unresolved custom op: MyOp. See instructions", ["MyOp"]),
        ("Op builtin_code out of range: 250. Are you using old", ["builtin operator 250"]),
        ("tensor 3 is odd", []),
    ],
)
def test_operators_that_are_missing_are_read_from_what_the_library_says(
    message: str, names: list[str]
) -> None:
    assert unresolved_operators(message) == names


def test_a_device_says_what_it_takes_and_what_it_runs(bench: Bench) -> None:
    agent = confirmed(bench)
    agent.close()
    assert bench.control.state().takes == ("tflite",)
    assert model_of(bench).artifact == FIRST.manifest.artifacts[0].blob.sha256


# -- what was spoilt on disk


def test_a_damaged_state_does_not_keep_the_agent_from_starting(bench: Bench) -> None:
    package = build(2, security_counter=5)
    confirmed(bench, package).close()
    (state,) = bench.config.data.rglob("state.cbor")
    state.write_bytes(b"\xff bit rot")
    agent = bench.start()
    event = bench.control.events()[0]
    assert event.event == "damaged" and (event.reason or "").startswith("state.cbor is damaged")
    assert state.with_name("state.damaged").read_bytes() == b"\xff bit rot"
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert (model_of(bench).confirmed, model_of(bench).security_counter) == (package.digest, 5)


def test_a_damaged_state_does_not_open_the_door_to_an_older_model(bench: Bench) -> None:
    confirmed(bench, build(2, security_counter=5)).close()
    (state,) = bench.config.data.rglob("state.cbor")
    state.write_bytes(b"")
    agent = bench.start()
    take(bench, agent, build(1, security_counter=4))
    assert model_of(bench).reason == "security counter 4 is below 5"


def test_a_confirmed_model_that_the_device_can_no_longer_run_does_not_keep_the_agent_from_starting(
    bench: Bench,
) -> None:
    confirmed(bench).close()
    bench.config = replace(bench.config, target="cortex-m4")
    agent = bench.start()
    assert not agent.ready()
    agent.poll()
    assert model_of(bench).lifecycle == "REJECTED"
    assert (
        model_of(bench).reason == "this device takes tflite for cortex-m4; the version has tflite for linux"
    )


def test_a_trial_whose_slot_was_damaged_goes_back_to_the_confirmed_model(bench: Bench) -> None:
    second = build(2, tflite=TFLITE + bytes(16))
    agent = confirmed(bench)
    take(bench, agent, second)
    agent.close()
    for path in bench.config.data.glob(f"models/*/slot-*/{second.manifest.artifacts[0].blob.hex}"):
        path.write_bytes(b"bit rot")
    agent = bench.start()
    assert agent.predict(image()).model_version == 1
    assert (model_of(bench).lifecycle, model_of(bench).confirmed) == ("ROLLED_BACK", FIRST.digest)
    assert "is damaged" in (model_of(bench).reason or "")


@pytest.mark.parametrize(
    ("line", "says"), [("-1", "is below 0"), ('"16k"', "is not int"), ("true", "is not int")]
)
def test_an_arena_that_is_none_is_refused_where_it_is_written(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "agent.toml"
    text = 'fleet = "a"\ndevice = "b"\nbroker = "mqtt://127.0.0.1"\n'
    path.write_text(f"{text}arena_bytes = {line}\n")
    with pytest.raises(ConfigError, match=says):
        load_config(path)
    path.write_text(f"{text}arena_bytes = 16384\n")
    assert load_config(path).arena_bytes == 16_384
