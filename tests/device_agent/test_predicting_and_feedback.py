"""Predictions, the truths and the captured inputs that follow them, and inputs that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import LABELS, MODEL, Bench, image, poll_until_quiet
from support.updated_agent import FIRST, SECOND, break_interpreter, confirmed, predict

from device_agent.agent import Agent
from edgeops.core.errors import InferenceFailed, InputError, NoModel
from edgeops.core.features.steps import quantized_input
from edgeops.core.messages import Captured, CapturePolicy, PredictionId

PUBLISHED = (FIRST, SECOND)


# -- predictions


def test_a_prediction_says_what_and_how_sure_and_which(bench: Bench) -> None:
    agent = confirmed(bench)
    found = agent.predict(image(3))
    assert found.label == LABELS[found.index]
    assert 0 < found.confidence <= 1
    assert (found.model_version, found.trial) == (1, False)
    id = PredictionId.unpack(bytes.fromhex(found.id.removeprefix(f"{MODEL}:")))
    assert id.model == FIRST.digest[:8]
    assert (id.boot, id.sequence, id.index, id.predicted) == (agent.boot, agent.sequence(), 0, found.index)


def test_before_the_first_model_a_prediction_says_so(bench: Bench) -> None:
    agent = bench.start()
    with pytest.raises(NoModel, match="no model was rolled out yet"):
        agent.predict(image())
    with pytest.raises(NoModel):
        agent.sequence()


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
    assert bench.control.state().dropped_labels == 0
    assert sum(len(batch.truths) for batch in bench.control.labels()) == 100


def test_truths_that_were_taken_offline_survive_a_power_cut(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(FIRST, labels=True)
    agent.poll()
    bench.control.broker.set_online(False)
    agent.poll()
    for prediction in predict(agent, bench, 70):
        agent.feedback(prediction.id, 0)
    agent.flush()
    assert bench.control.labels() == []
    bench.control.broker.set_online(True)
    bench.cut()
    again = bench.start()
    again.poll()
    again.flush()
    assert sum(len(batch.truths) for batch in bench.control.labels()) == 70


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
    assert (report.counters.inferences, report.counters.rejected_inputs, report.counters.errors) == (0, 1, 0)


def test_an_interpreter_that_fails_is_an_error_of_its_own_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    break_interpreter(agent, monkeypatch)
    with pytest.raises(InferenceFailed, match="a kernel failed"):
        agent.predict(image())
    agent.flush()
    (report,) = bench.control.reports()
    assert (report.counters.inferences, report.counters.errors) == (0, 1)
    assert model_of_now(agent) == FIRST.digest  # what is confirmed is not rolled back by an error


def model_of_now(agent: Agent) -> bytes | None:
    return agent._models[MODEL].host.state.confirmed


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
    assert {sample.reason for sample in samples} == {Captured.UNIFORM}


def test_a_restart_gives_no_second_budget(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(FIRST, capture=CapturePolicy(1000, 3))
    agent.poll()
    predict(agent, bench, 2)
    bench.cut()
    agent = bench.start()
    agent.poll()
    for seed in range(60, 70):
        agent.predict(image(seed))
    assert len(bench.control.samples()) == 3


def test_what_the_model_is_not_sure_of_says_so(bench: Bench) -> None:
    agent = confirmed(bench)
    bench.control.desire(FIRST, capture=CapturePolicy(0, 3, uncertain_below=16))
    agent.poll()
    predict(agent, bench, 5)
    assert [sample.reason for sample in bench.control.samples()] == [Captured.UNCERTAIN] * 3
