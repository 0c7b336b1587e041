"""The agent against a control side in memory: updates, predictions, reports, and what can go wrong."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.packages import (
    DEVICE,
    FLEET,
    KEYS,
    LABELS,
    MODEL,
    TRIAL,
    Bench,
    build,
    enrol,
    image,
    key,
    observe_plan,
    poll_until_quiet,
    self_test,
    trust_root,
)

from device_agent import agent as agent_module
from device_agent import chunk_file, slots
from device_agent.agent import Agent
from edgeops import files
from edgeops.core.errors import (
    ConfigError,
    InferenceFailed,
    InputError,
    NoModel,
    StorageError,
)
from edgeops.core.features.steps import quantized_input
from edgeops.core.manifest import Manifest, Step, Trial
from edgeops.core.messages import CapturePolicy, PredictionId, ReportPolicy
from edgeops.core.observe import FeaturePlan
from edgeops.core.signing import Role, sign_root
from edgeops.core.topics import Kind

FIRST, SECOND = build(1, security_counter=1), build(2, security_counter=2)
WRITERS = (files, slots)  # what writes whole files calls ``replace_file`` of these
WHOLE_UPDATE = ["OFFERED", "DOWNLOADING", "VERIFYING", "STAGED", "TRIAL", "CONFIRMED"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(enrol(tmp_path))
    bench.control.publish(FIRST)
    bench.control.publish(SECOND)
    return bench


def predict(agent: Agent, bench: Bench, count: int, first: int = 0) -> list[agent_module.Prediction]:
    found = []
    for seed in range(first, first + count):
        bench.clock.sleep(0.05)
        found.append(agent.predict(image(seed)))
    return found


def confirmed(bench: Bench, package=FIRST) -> Agent:
    """An agent that runs a package, with what it said so far forgotten."""
    agent = bench.start()
    bench.control.desire(package)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert model_of(bench).confirmed == package.digest
    bench.control.forget()
    return agent


def model_of(bench: Bench, name: str = MODEL):
    return bench.control.state().models[name]


def break_interpreter(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, whatever the model that runs is asked fails."""

    def fail(values: np.ndarray) -> np.ndarray:
        raise RuntimeError("a kernel failed")

    running = agent._models[MODEL].host.running
    assert running is not None
    native = running.interpreter
    monkeypatch.setattr(type(native), "invoke", lambda self, values: fail(values))


# -- the update, whole


def test_an_update_goes_from_offer_to_confirmed_and_reports_each_step(bench: Bench) -> None:
    agent = bench.start()
    assert bench.control.presence()[-1].online
    assert not agent.ready()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    assert agent.ready()
    assert model_of(bench).candidate == FIRST.digest
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert bench.control.steps() == WHOLE_UPDATE
    state = model_of(bench)
    assert (state.lifecycle, state.confirmed, state.candidate) == ("CONFIRMED", FIRST.digest, None)
    assert state.security_counter == 1


def test_an_update_fetches_each_chunk_once_and_counts_the_bytes(bench: Bench) -> None:
    confirmed(bench).close()
    assert bench.control.state().received_bytes == sum(map(len, FIRST.chunks.values()))


def test_a_second_update_keeps_the_first_and_fetches_only_what_is_new(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.close()
    state = model_of(bench)
    assert (state.confirmed, state.previous, state.security_counter) == (SECOND.digest, FIRST.digest, 2)
    new = sum(map(len, FIRST.chunks.values())) + len(SECOND.envelope)  # the blobs are the same ones
    assert bench.control.state().received_bytes == new


def test_going_back_needs_no_download(bench: Bench) -> None:
    """Rolling back to the version before: its slot is still there, even on an empty broker."""
    agent = confirmed(bench)
    same_counter = build(2, security_counter=1)
    bench.control.publish(same_counter)
    bench.control.desire(same_counter)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    bench.control.broker.retained.clear()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.poll()
    assert model_of(bench).confirmed == FIRST.digest


def test_two_models_run_side_by_side(bench: Bench) -> None:
    agent = confirmed(bench)
    other = build(1, model="other")
    bench.control.publish(other)
    bench.control.desire(other)
    poll_until_quiet(agent)
    with pytest.raises(NoModel, match="no model was rolled out yet|has no model"):
        agent.predict(image())  # which one?
    assert agent.predict(image(), model="other").id.startswith("other:")
    assert agent.predict(image(), model=MODEL).id.startswith(f"{MODEL}:")
    assert agent.sequence("other") == 1


def test_a_desired_state_that_comes_again_changes_nothing(bench: Bench) -> None:
    agent = confirmed(bench)
    last = bench.control.desire(FIRST)
    agent.poll()
    for _ in range(3):
        bench.control.send(Kind.DESIRED, last)
        poll_until_quiet(agent, 5)
    assert bench.control.steps() == []
    assert model_of(bench).confirmed == FIRST.digest


def test_an_older_desired_state_is_ignored(bench: Bench) -> None:
    agent = bench.start()
    old = bench.control.desire(SECOND)
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    bench.control.send(Kind.DESIRED, old)
    poll_until_quiet(agent)
    assert model_of(bench).confirmed == FIRST.digest
    assert model_of(bench).lifecycle == "CONFIRMED"


def test_a_newer_desired_state_supersedes_a_download(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.put_chunk((SECOND.digest.hex(), 0), b"")  # cannot be fetched
    bench.control.desire(SECOND)
    agent.poll()
    third = build(3, security_counter=3)
    bench.control.publish(third)
    bench.control.desire(third)
    poll_until_quiet(agent)
    assert bench.control.steps() == ["OFFERED", "SUPERSEDED", *WHOLE_UPDATE[:-1]]


# -- what is refused


def test_a_desired_state_that_the_deploy_key_did_not_sign_is_dropped(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND, key=key("somebody"))
    bench.control.desire(SECOND, key=KEYS[Role.RELEASE])  # a key of this fleet, with another role
    poll_until_quiet(agent)
    assert bench.control.steps() == []
    assert any("desired is signed by 0 of the deploy keys" in line for line in bench.log)


@pytest.mark.parametrize("other", [{"device": "cam-02"}, {"fleet": "elsewhere"}], ids=str)
def test_a_desired_state_of_somebody_else_is_dropped(bench: Bench, other: dict) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND, **other)
    poll_until_quiet(agent)
    assert bench.control.steps() == []
    assert any("came to cam-01" in line for line in bench.log)


def test_a_model_whose_name_is_a_path_is_dropped(bench: Bench) -> None:
    agent = confirmed(bench)
    evil = build(1, model="../../evil")
    bench.control.publish(evil)
    bench.control.desire(evil)
    poll_until_quiet(agent)
    assert any("is not a name" in line for line in bench.log)
    bench.control.desire(SECOND)  # and the agent listens on
    poll_until_quiet(agent)
    assert bench.control.steps() == WHOLE_UPDATE[:-1]


def refused_as(bench: Bench, agent: Agent, package, state: str) -> str:
    """The reason with which a package is refused; the confirmed model goes on."""
    bench.control.publish(package)
    bench.control.desire(package)
    poll_until_quiet(agent)
    event = bench.control.events()[-1]
    assert (event.target, event.manifest) == (state, package.digest)
    assert model_of(bench).confirmed == FIRST.digest
    assert agent.predict(image()).model_version == 1
    assert model_of(bench).reason == event.reason
    return event.reason or ""


def test_a_manifest_with_a_wrong_signature_is_rejected(bench: Bench) -> None:
    reason = refused_as(bench, confirmed(bench), build(5, keys=[key("somebody")]), "REJECTED")
    assert "manifest is signed by 0 of the release keys where 1 are needed" in reason


def test_a_security_counter_that_is_too_low_is_rejected_with_both_numbers(bench: Bench) -> None:
    agent = confirmed(bench, build_and_publish(bench, security_counter=7))
    bench.control.publish(low := build(2, security_counter=6))
    bench.control.desire(low)
    poll_until_quiet(agent)
    event = bench.control.events()[-1]
    assert (event.target, event.reason) == ("REJECTED", "security counter 6 is below 7")


def build_and_publish(bench: Bench, **options):
    package = build(**options)
    bench.control.publish(package)
    return package


def changed(**fields: object) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(manifest, **fields)  # type: ignore[arg-type]


def no_artifact(manifest: Manifest) -> Manifest:
    return replace(manifest, artifacts=tuple(replace(a, target="m4") for a in manifest.artifacts))


def other_scale(manifest: Manifest) -> Manifest:
    return replace(manifest, input=replace(manifest.input, zero_point=9))


def huge(manifest: Manifest) -> Manifest:
    ref = replace(manifest.observe, size=2**26, chunk_bytes=65536, chunk_list=bytes(32))
    return replace(manifest, observe=ref)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"change": changed(min_agent=(9, 0, 0))}, "agent version 9.0.0 is needed, this is 0.1.0"),
        ({"change": no_artifact}, "this device takes tflite for linux; the version has tflite for m4"),
        ({"change": changed(model="other")}, "the manifest is of model 'other'"),
        ({"change": changed(labels=LABELS[:3])}, "3 labels for 5 outputs"),
        ({"change": changed(preprocessing=(Step("fft", ()),))}, "preprocessing step 'fft' is not known"),
        ({"change": other_scale}, "the model's input is"),
        ({"plan": replace(observe_plan(), classes=(1, 1))}, "2 counted classes for 5 outputs"),
        (
            {"plan": replace(observe_plan(), features=(FeaturePlan("hue", (0,) * 11, (0,) * 12, 0, 0),))},
            "feature 'hue' is not known",
        ),
        (
            {"plan": replace(observe_plan(), features=(FeaturePlan("level", (0,), (0,) * 12, 0, 0),))},
            "1 bin edges",
        ),
        ({"vectors": self_test(flip=True)}, "self-test vector 0"),
        ({"vectors": replace(self_test(), inputs=())}, "0 self-test inputs and 4 outputs"),
        ({"vectors": replace(self_test(), inputs=(b"x",) * 4)}, "1 values for shape"),
        ({"tflite": b"not a model at all"}, "TFL3"),
    ],
)
def test_a_package_that_cannot_run_here_is_rejected_with_its_reason(
    bench: Bench, options: dict, says: str
) -> None:
    package = build(5, **options)
    agent = confirmed(bench)
    bench.control.publish(package)
    bench.control.desire(None)
    desired = replace(package, manifest=replace(package.manifest, model=MODEL))
    assert says in refused_as(bench, agent, desired, "REJECTED")


def test_what_was_rejected_is_not_tried_again(bench: Bench) -> None:
    agent = confirmed(bench)
    bad = build(5, keys=[key("somebody")])
    refused_as(bench, agent, bad, "REJECTED")
    bench.control.forget()
    bench.control.desire(bad)
    poll_until_quiet(agent)
    bench.wait(agent, 7200)
    assert bench.control.steps() == []


def test_a_blob_that_the_disk_has_no_room_for_is_rejected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    monkeypatch.setattr(slots.SlotStore, "free_bytes", lambda self: 100)
    assert "bytes of disk are needed, 100 are free" in refused_as(bench, agent, build(5), "REJECTED")


# -- what was altered on its way


def altered(bench: Bench, agent: Agent, chunk: tuple[str, int]) -> None:
    """Someone writes rubbish to a chunk's topic, and the package is asked for."""
    bench.control.put_chunk(chunk, b"altered")
    bench.control.desire(FIRST)
    poll_until_quiet(agent)


def test_an_altered_chunk_fails_the_update_and_a_mended_one_lets_the_retry_through(bench: Bench) -> None:
    agent = bench.start()
    blob = FIRST.manifest.artifacts[0].blob
    altered(bench, agent, (blob.hex, 2))
    event = bench.control.events()[-1]
    assert event.target == "FAILED"
    assert event.reason == f"chunk 2 of blob {blob.hex[:12]} has 7 bytes, not 512"
    bench.control.put_chunk((blob.hex, 2), FIRST.chunks[(blob.hex, 2)])
    bench.control.forget()
    bench.wait(agent, 4)
    assert bench.control.steps() == []  # the back-off holds
    bench.wait(agent, 30)
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps() == WHOLE_UPDATE


def test_a_manifest_that_does_not_match_its_digest_fails_and_is_tried_again(bench: Bench) -> None:
    agent = bench.start()
    altered(bench, agent, (FIRST.digest.hex(), 0))
    event = bench.control.events()[-1]
    assert event.target == "FAILED"
    assert "does not match its digest" in (event.reason or "")
    bench.control.put_chunk((FIRST.digest.hex(), 0), FIRST.envelope)
    bench.wait(agent, 30)
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"


def test_a_chunk_that_never_comes_fails_after_a_minute_and_again_ever_later(bench: Bench) -> None:
    agent = bench.start()
    missing = (FIRST.manifest.observe.hex, 0)
    bench.control.put_chunk(missing, b"")
    bench.control.desire(FIRST)
    bench.wait(agent, 59)
    assert bench.control.steps() == ["OFFERED", "DOWNLOADING"]
    bench.wait(agent, 300)
    assert bench.control.steps().count("FAILED") >= 3
    reasons = [event.reason for event in bench.control.events() if event.target == "FAILED"]
    assert reasons[:3] == [
        "no chunk came within 60 s",
        "no chunk came within 60 s",
        "no chunk came within 60 s; put aside for 20 s after 3 failures in a row",
    ]
    bench.control.put_chunk(missing, FIRST.chunks[missing])
    bench.wait(agent, 120)
    assert agent.ready()


def test_what_nobody_asked_for_is_not_acted_on(bench: Bench) -> None:
    agent = confirmed(bench)
    assert bench.transport is not None
    before = bench.control.state()
    for topic in (
        f"edgeops/v1/{FLEET}/device/cam-02/desired",
        f"edgeops/v1/{FLEET}/device/{DEVICE}/report",
        f"edgeops/v1/elsewhere/device/{DEVICE}/desired",
        f"edgeops/v1/{FLEET}/blob/{'ab' * 32}/0",
        f"edgeops/v1/{FLEET}/blob/nonsense/0",
        "something/else",
        "",
    ):
        from edgeops.core.transport import Received

        bench.transport._inbox.append(Received(topic, b"\xd8\x62junk"))
    poll_until_quiet(agent)
    assert bench.control.steps() == []
    assert bench.control.state() == before
    assert not list(bench.config.data.rglob("ab*"))


@pytest.mark.parametrize("kind", [Kind.DESIRED, Kind.RECEIPT])
@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xd8\x62\x84", bytes(20_000)], ids=len)
def test_rubbish_on_its_own_topics_is_dropped(bench: Bench, kind: Kind, payload: bytes) -> None:
    agent = confirmed(bench)
    bench.control.send(kind, payload)
    agent.poll()
    assert agent.predict(image()).label in LABELS


# -- trust


def test_a_rotated_release_key_is_believed_after_its_root_and_not_before(bench: Bench) -> None:
    agent = confirmed(bench)
    new = key("new release")
    package = build(2, keys=[new])
    bench.control.trust(trust_root(version=2, release=new), KEYS[Role.ROOT])
    agent.poll()
    bench.control.publish(package)
    bench.control.desire(package)
    poll_until_quiet(agent)
    assert bench.control.steps()[-1] == "TRIAL"
    bench.cut()
    again = bench.start()  # the new root was kept
    predict(again, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"


@pytest.mark.parametrize(
    ("version", "signer"), [(2, key("somebody")), (3, KEYS[Role.ROOT]), (1, KEYS[Role.ROOT])]
)
def test_a_root_that_does_not_follow_is_dropped(bench: Bench, version: int, signer: object) -> None:
    agent = confirmed(bench)
    bench.control.trust(trust_root(version=version, release=key("x")), signer)  # type: ignore[arg-type]
    agent.poll()
    assert refused_as(bench, agent, build(5, keys=[key("x")]), "REJECTED").startswith(
        "manifest is signed by 0"
    )


def test_after_a_rotation_of_the_deploy_key_the_stored_desired_state_does_not_stop_a_start(
    bench: Bench,
) -> None:
    agent = confirmed(bench)
    bench.control.trust(trust_root(version=2, deploy=key("new deploy")), KEYS[Role.ROOT])
    agent.poll()
    agent.close()
    bench.control.broker.retained.clear()
    again = bench.start()
    assert again.predict(image()).model_version == 1
    assert any("stored desired state is not taken" in line for line in bench.log)


def test_a_device_without_its_trust_root_says_what_is_missing(bench: Bench) -> None:
    bench.config.trust.unlink()
    with pytest.raises(ConfigError, match="the trust root is missing") as caught:
        bench.start()
    assert "enroll" in (caught.value.fix or "")
    bench.config.trust.write_bytes(sign_root(trust_root("elsewhere"), [KEYS[Role.ROOT]]))
    with pytest.raises(ConfigError, match="of fleet 'elsewhere', not 'plant'"):
        bench.start()


# -- trial and rollback


def test_an_unhealthy_trial_rolls_back_to_the_confirmed_model(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    assert agent.predict(image()).trial
    with monkeypatch.context() as patched:
        break_interpreter(agent, patched)
        for _ in range(TRIAL.max_errors + 1):
            with pytest.raises(InferenceFailed, match="a kernel failed"):
                agent.predict(image())
    prediction = agent.predict(image())
    assert (prediction.model_version, prediction.trial) == (1, False)
    event = bench.control.events()[-1]
    assert (event.target, event.manifest) == ("ROLLED_BACK", SECOND.digest)
    assert event.reason == "2 errors in its trial where 1 are allowed"
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    assert bench.control.steps()[-1] == "ROLLED_BACK"  # not tried again


def test_a_first_model_that_fails_its_trial_leaves_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = bench.start()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    break_interpreter(agent, monkeypatch)
    for _ in range(2):
        with pytest.raises(InferenceFailed):
            agent.predict(image())
    assert not agent.ready()
    with pytest.raises(NoModel, match="has no model to run yet"):
        agent.predict(image())


def test_inputs_that_do_not_fit_are_no_fault_of_the_candidate(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    for _ in range(20):
        with pytest.raises(InputError):
            agent.predict(np.zeros(3))
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"


# -- power cuts and restarts


def test_a_restart_in_the_middle_of_a_download_fetches_the_rest_only(bench: Bench) -> None:
    agent = bench.start()
    last = (FIRST.manifest.vectors.hex, 0)
    bench.control.put_chunk(last, b"")
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    assert bench.control.steps()[-1] == "DOWNLOADING"
    bench.cut()
    bench.control.put_chunk(last, FIRST.chunks[last])
    bench.control.forget()
    again = bench.start()
    poll_until_quiet(again)
    predict(again, bench, TRIAL.inferences)
    again.close()
    assert bench.control.steps() == WHOLE_UPDATE
    assert bench.control.state().received_bytes == len(FIRST.chunks[last])


def test_a_power_cut_after_any_number_of_polls_ends_in_a_model_that_is_whole(tmp_path: Path) -> None:
    for polls in range(8):
        bench = Bench(enrol(tmp_path / str(polls)))
        bench.control.publish(FIRST)
        bench.control.publish(SECOND)
        agent = confirmed(bench)
        bench.control.desire(SECOND)
        poll_until_quiet(agent, polls)
        bench.cut()
        again = bench.start()
        assert again.predict(image()).model_version in (1, 2)
        poll_until_quiet(again)
        predict(again, bench, TRIAL.inferences)
        again.poll()
        assert model_of(bench).confirmed == SECOND.digest


def test_a_trial_that_is_cut_off_once_goes_on_and_twice_rolls_back(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    bench.cut()
    agent = bench.start()
    assert agent.predict(image()).model_version == 2
    bench.cut()
    agent = bench.start()
    assert agent.predict(image()).model_version == 1
    event = bench.control.events()[-1]
    assert (event.target, event.reason) == ("ROLLED_BACK", "the agent did not survive its trial")


def test_a_trial_that_is_stopped_on_purpose_keeps_its_count(bench: Bench) -> None:
    agent = bench.start()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    for done in range(TRIAL.inferences - 1):
        predict(agent, bench, 1, done)
        agent.close()
        agent = bench.start()
    predict(agent, bench, 1)
    agent.poll()
    assert model_of(bench).lifecycle == "CONFIRMED"


def test_a_slot_that_went_bad_gives_way_to_the_previous_model_and_is_fetched_again(bench: Bench) -> None:
    agent = confirmed(bench)
    second = build(2, tflite=FIRST.blobs[FIRST.manifest.artifacts[0].blob.hex] + bytes(16))
    bench.control.publish(second)
    bench.control.desire(second)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences)
    agent.close()
    blob = second.manifest.artifacts[0].blob.hex
    for path in bench.config.data.rglob(blob):
        path.write_bytes(b"bit rot")
    bench.control.forget()
    again = bench.start()
    assert again.predict(image()).model_version == 1  # what ran before still runs
    assert bench.control.events()[0].event == "damaged"
    poll_until_quiet(again)
    predict(again, bench, TRIAL.inferences)
    again.poll()
    assert model_of(bench).confirmed == second.digest


def test_each_start_has_a_higher_boot_number_and_says_hello_and_goodbye(bench: Bench) -> None:
    boots = []
    for _ in range(3):
        agent = bench.start()
        boots.append(agent.boot)
        agent.close()
    assert boots == [boots[0], boots[0] + 1, boots[0] + 2]
    assert [presence.online for presence in bench.control.presence()] == [True, False] * 3
    bench.start()
    bench.cut()
    assert not bench.control.presence()[-1].online  # the will


# -- without a broker


def test_a_device_starts_from_its_slots_without_a_broker(bench: Bench) -> None:
    confirmed(bench).close()
    bench.control.broker.set_online(False)
    bench.clock.sleep(1.0)
    agent = bench.start()
    assert not agent.online
    assert agent.predict(image()).model_version == 1
    assert sum("offline" in line for line in bench.log) == 1
    bench.wait(agent, 30)
    assert sum("offline" in line for line in bench.log) == 1  # said once, not every five seconds
    bench.control.broker.set_online(True)
    bench.wait(agent, 6)
    assert agent.online
    assert bench.control.presence()[-1].online


def test_reports_wait_for_the_broker_and_come_once_when_it_is_back(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.broker.set_online(False)
    agent.poll()
    predict(agent, bench, 35)
    assert bench.control.reports() == []
    bench.control.broker.set_online(True)
    agent.poll()
    agent.poll()
    sequences = [report.sequence for report in bench.control.reports()]
    assert sequences[-3:] == [2, 3, 4]
    assert len(set(sequences)) == len(sequences)


def test_a_device_that_is_offline_for_ever_predicts_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transport refuses more once its queue is full: that is nobody's reason to stop inferring."""
    from edgeops.core.errors import BrokerUnreachable

    agent = confirmed(bench)
    bench.control.desire(FIRST, labels=True, capture=CapturePolicy(1000, 1000))
    agent.poll()
    bench.control.broker.set_online(False)
    agent.poll()

    def full(*args: object, **kwargs: object) -> None:
        raise BrokerUnreachable("10000 messages already wait")

    monkeypatch.setattr(bench.transport, "publish", full)
    for prediction in predict(agent, bench, 100):
        agent.feedback(prediction.id, 0)
    monkeypatch.undo()
    bench.control.broker.set_online(True)
    agent.poll()
    agent.close()
    assert bench.control.state().dropped_labels == 64  # a batch; the rest had not been sent yet
    assert sum(len(batch.truths) for batch in bench.control.labels()) == 36


# -- predictions, windows, receipts


def test_a_prediction_says_what_and_how_sure_and_which(bench: Bench) -> None:
    agent = confirmed(bench)
    found = agent.predict(image(3))
    assert found.label == LABELS[found.index]
    assert 0 < found.confidence <= 1
    assert (found.model_version, found.trial) == (1, False)
    id = PredictionId.unpack(bytes.fromhex(found.id.removeprefix(f"{MODEL}:")))
    assert id.model == FIRST.digest[:8]
    assert (id.boot, id.sequence, id.index, id.predicted) == (agent.boot, agent.sequence(), 0, found.index)


def test_windows_close_when_full_and_count_every_prediction(bench: Bench) -> None:
    agent = confirmed(bench)
    found = predict(agent, bench, 25)
    agent.close()
    reports = bench.control.reports()
    assert [report.inferences for report in reports] == [10, 10, 5]
    assert [report.sequence for report in reports] == [2, 3, 4]  # the trial's window was the first
    counted = [sum(column) for column in zip(*(report.classes for report in reports), strict=True)]
    assert counted == [sum(p.index == index for p in found) for index in range(len(LABELS))]
    for report in reports:
        assert report.manifest == FIRST.digest
        assert not report.trial
        assert sum(report.confidence) == sum(report.latency) == report.inferences
        assert [sum(feature) for feature in report.features] == [report.observed] * 4


def test_the_trial_has_a_window_of_its_own(bench: Bench) -> None:
    agent = bench.start()
    bench.control.desire(FIRST)
    poll_until_quiet(agent)
    predict(agent, bench, TRIAL.inferences + 10)
    assert [(report.trial, report.inferences) for report in bench.control.reports()] == [
        (True, 5),
        (False, 10),
    ]


def test_a_window_closes_by_time_too_and_an_empty_one_says_nothing(bench: Bench) -> None:
    bench.control.policy = ReportPolicy(0, 5_000, 500)
    agent = confirmed(bench)
    bench.control.receipt(agent.boot, 1)
    bench.wait(agent, 30)
    assert bench.control.reports() == []
    predict(agent, bench, 8)
    bench.wait(agent, 6)
    (report,) = bench.control.reports()
    assert (report.inferences, report.observed, report.observe_permille) == (8, 4, 500)
    assert report.end_ms - report.start_ms >= 5_000


def test_a_window_never_outgrows_a_prediction_id(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.observing.MAX_WINDOW", 12)
    bench.control.policy = ReportPolicy(0, 0, 0)
    agent = confirmed(bench)
    predict(agent, bench, 30)
    assert [report.inferences for report in bench.control.reports()] == [12, 12]


def test_a_report_is_sent_until_its_receipt_comes(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.receipt(agent.boot, 1)
    predict(agent, bench, 20)
    assert [report.sequence for report in bench.control.reports()] == [2, 3]
    bench.wait(agent, 10)
    assert len(bench.control.reports()) == 2
    bench.wait(agent, 10)
    assert [report.sequence for report in bench.control.reports()] == [2, 3, 2, 3]
    bench.control.receipt(agent.boot, 2)
    bench.wait(agent, 20)
    assert [report.sequence for report in bench.control.reports()][4:] == [3]
    bench.control.receipt(agent.boot, 3)
    bench.wait(agent, 60)
    assert len(bench.control.reports()) == 5


def test_reports_outlive_a_power_cut_and_are_sent_by_the_next_start(bench: Bench) -> None:
    agent = confirmed(bench)
    predict(agent, bench, 20)
    boot = agent.boot
    bench.cut()
    bench.control.forget()
    again = bench.start()
    assert [(report.boot, report.sequence) for report in bench.control.reports()] == [
        (boot, 1),
        (boot, 2),
        (boot, 3),
    ]
    bench.control.receipt(boot, 3)
    again.poll()
    bench.wait(again, 60)
    assert len(bench.control.reports()) == 3


def test_what_overflows_is_counted_in_every_later_report(tmp_path: Path) -> None:
    bench = Bench(enrol(tmp_path, queue_reports=2))
    bench.control.publish(FIRST)
    agent = confirmed(bench)
    predict(agent, bench, 40)
    last = bench.control.reports()[-1]
    assert (last.sequence, last.dropped, last.oldest) == (5, 3, 4)


# -- bad inputs


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (np.full((8, 8), np.nan), "NaN"),
        (np.full((8, 8), np.inf), "infinity"),
        (np.zeros((8, 7)), "shape"),
        (np.zeros((1, 8, 8)), "shape"),
        (np.zeros((8, 8), bool), "dtype"),
        (np.zeros((8, 8), complex), "dtype"),
        (np.full((8, 8), "x"), "dtype"),
        (np.full((8, 8), None), "dtype"),
        ([[1, 2], [3]], "regular"),
        ("seven", "dtype"),
        (None, "dtype"),
    ],
)
def test_an_input_that_does_not_meet_the_contract_is_refused_and_counted(
    bench: Bench, raw: object, says: str
) -> None:
    agent = confirmed(bench)
    with pytest.raises(InputError, match=says):
        agent.predict(raw)
    agent.flush()
    (report,) = bench.control.reports()
    assert (report.inferences, report.rejected_inputs, report.errors) == (0, 1, 0)


def test_an_interpreter_that_fails_is_an_error_of_its_own_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    break_interpreter(agent, monkeypatch)
    with pytest.raises(InferenceFailed, match="a kernel failed"):
        agent.predict(image())
    agent.flush()
    (report,) = bench.control.reports()
    assert (report.inferences, report.errors) == (0, 1)
    assert model_of_now(agent) == FIRST.digest  # what is confirmed is not rolled back by an error


def model_of_now(agent: Agent) -> bytes | None:
    return agent._models[MODEL].host.state.confirmed


def test_before_the_first_model_a_prediction_says_so(bench: Bench) -> None:
    agent = bench.start()
    with pytest.raises(NoModel, match="no model was rolled out yet"):
        agent.predict(image())
    with pytest.raises(NoModel):
        agent.sequence()


# -- truths


def test_truths_leave_when_the_policy_asks_for_them(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(FIRST, labels=True)
    agent.poll()
    found = predict(agent, bench, 3)
    for prediction, truth in zip(found, ["two", 1, np.int64(0)], strict=True):
        assert agent.feedback(prediction.id, truth)
    agent.flush()
    (batch,) = bench.control.labels()
    assert [truth.label for truth in batch.truths] == [2, 1, 0]
    assert [truth.prediction.hex() for truth in batch.truths] == [p.id.rpartition(":")[2] for p in found]


def test_truths_stay_and_are_counted_when_it_does_not(bench: Bench) -> None:
    agent = confirmed(bench)
    assert not agent.feedback(agent.predict(image()).id, "two")
    bench.control.desire(SECOND)
    poll_until_quiet(agent)
    assert bench.control.labels() == []
    assert bench.control.state().dropped_labels == 1


@pytest.mark.parametrize("label", ["seven", "", 5, -1, True, 1.0, None], ids=repr)
def test_a_label_that_the_model_does_not_know_is_refused(bench: Bench, label: object) -> None:
    agent = confirmed(bench)
    with pytest.raises(InputError, match="it knows zero, one, two, three, four"):
        agent.feedback(agent.predict(image()).id, label)  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["", "tiny", "tiny:", "tiny:12", "other:" + "0" * 40, "tiny:" + "g" * 40])
def test_an_id_that_is_none_is_refused(bench: Bench, id: str) -> None:
    with pytest.raises(InputError, match="is not a prediction id"):
        confirmed(bench).feedback(id, "two")


# -- capture


def test_inputs_leave_under_a_policy_only_and_as_the_model_got_them(bench: Bench) -> None:
    agent = confirmed(bench)
    predict(agent, bench, 5)
    assert bench.control.samples() == []
    bench.control.desire(FIRST, capture=CapturePolicy(1000, 3))
    agent.poll()
    agent.predict(image(50), consent=False)
    found = predict(agent, bench, 5)
    samples = bench.control.samples()
    assert [sample.prediction.hex() for sample in samples] == [p.id.rpartition(":")[2] for p in found[:3]]
    assert samples[0].values == quantized_input(FIRST.manifest, image(0)).tobytes()


# -- a full disk


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to fill the disk; ``monkeypatch.undo`` empties it again."""

    def full(path: Path, data: bytes, mode: int = 0o644, *, sync: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_too(handle: int, data: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill() -> None:
        for module in WRITERS:
            monkeypatch.setattr(module, "replace_file", full)
        monkeypatch.setattr(chunk_file, "_write_all", full_too)

    return fill


def test_with_a_full_disk_the_confirmed_model_runs_on_and_reports_are_sent_but_not_kept(
    bench: Bench, full_disk: Callable[[], None]
) -> None:
    agent = confirmed(bench)
    bench.control.receipt(agent.boot, 1)
    full_disk()
    predict(agent, bench, 30)
    bench.wait(agent, 60)
    reports = bench.control.reports()
    assert [report.sequence for report in reports] == [2, 3, 4]
    assert reports[-1].dropped == 3
    assert any("is not kept" in line for line in bench.log)


def test_an_update_waits_for_room_and_then_goes_through(
    bench: Bench, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    full_disk()
    bench.control.desire(SECOND)
    for _ in range(100):
        bench.wait(agent, 2)
        assert agent.predict(image()).model_version == 1
    assert "CONFIRMED" not in bench.control.steps()
    monkeypatch.undo()
    bench.wait(agent, 5)
    predict(agent, bench, TRIAL.inferences)
    assert bench.control.steps()[-1] == "CONFIRMED"
    bench.cut()
    again = bench.start()
    assert again.predict(image()).model_version == 2


def test_a_disk_that_fills_up_at_any_write_of_an_update_leaves_a_whole_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first n writes succeed, then none: the device predicts on, and so does its next start."""
    longest = 0
    for allowed in range(0, 40, 2):
        bench = Bench(enrol(tmp_path / str(allowed)))
        other = build(2, tflite=FIRST.blobs[FIRST.manifest.artifacts[0].blob.hex] + bytes(2000))
        bench.control.publish(FIRST)
        bench.control.publish(other)
        agent = confirmed(bench)
        with monkeypatch.context() as patched:
            fill_after(allowed, patched)
            bench.control.desire(other)
            poll_until_quiet(agent, 10)
            bench.wait(agent, 20)
            longest = max(longest, agent.predict(image()).model_version)
            bench.cut()
            agent = bench.start()
            agent.predict(image())
            bench.cut()
        agent = bench.start()
        poll_until_quiet(agent)
        bench.wait(agent, 30)
        assert agent.predict(image()).model_version in (1, 2)
    assert longest == 2  # some of these had room for the whole update


def fill_after(allowed: int, patched: pytest.MonkeyPatch) -> None:
    left = [allowed]
    real, real_chunk = files.replace_file, chunk_file._write_all

    def write(path: Path, data: bytes, mode: int = 0o644, *, sync: bool) -> None:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real(path, data, mode, sync=sync)

    def write_chunk(handle: int, data: bytes, offset: int) -> None:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real_chunk(handle, data, offset)

    for module in WRITERS:
        patched.setattr(module, "replace_file", write)
    patched.setattr(chunk_file, "_write_all", write_chunk)


def test_a_device_with_a_full_disk_starts_and_counts_its_boots(
    bench: Bench, full_disk: Callable[[], None]
) -> None:
    agent = confirmed(bench)
    boot = agent.boot
    agent.close()
    full_disk()
    for more in (1, 2):
        agent = bench.start()
        assert agent.boot == boot + more
        assert agent.predict(image()).model_version == 1
        agent.close()


def test_a_disk_that_is_really_full_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeops.files import write_atomic

    def no_room(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(StorageError, match="No space left on device"):
        write_atomic(tmp_path / "x", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


# -- closing


def test_closing_sends_what_was_counted_then_says_goodbye(bench: Bench) -> None:
    with confirmed(bench) as agent:
        predict(agent, bench, 3)
    assert [report.inferences for report in bench.control.reports()] == [3]
    assert not bench.control.presence()[-1].online


def test_the_trial_may_ask_for_nothing_wrong_at_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = build(3, trial=Trial(3, 0))
    agent = confirmed(bench)
    bench.control.publish(strict)
    bench.control.desire(strict)
    poll_until_quiet(agent)
    break_interpreter(agent, monkeypatch)
    with pytest.raises(InferenceFailed):
        agent.predict(image())
    assert bench.control.steps()[-1] == "ROLLED_BACK"


def test_a_manifest_digest_names_its_bytes() -> None:
    assert FIRST.digest == hashlib.sha256(FIRST.envelope).digest()
    assert FIRST.digest != SECOND.digest
