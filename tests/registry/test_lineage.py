"""The lineage of a version, walked both ways on a small filled registry; names; blobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packages import build
from support.registry import NOW, add_devices, add_version

from edgeops.core.errors import CheckFailed, NotFoundError, StorageError, TrustError, UsageError
from edgeops.fleet.rollout.plan import Plan
from edgeops.fleet.rollout.stages import parse_stages
from edgeops.fleet.rollouts import start_rollout
from edgeops.registry.blobs import BlobStore
from edgeops.registry.lineage import lineage
from edgeops.registry.names import find_dataset, find_device, find_model, split_version
from edgeops.registry.store import open_registry
from edgeops.registry.tables import Alert, AlertDevice, Deployment, ReportWindow, Retrain, Rollout, Run


@pytest.fixture
def session(tmp_path: Path):
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as opened:
        yield opened
    registry.close()


def test_from_data_to_retrain_and_back(session) -> None:
    add_devices(session, "a", "b")
    first = add_version(session, build(1))
    rollout = Rollout(
        model_version_id=first.id, state="RUNNING", plan={"stages": ["50%", "100%"]}, created_at=NOW
    )
    session.add(rollout)
    session.flush()
    for device, state in (("a", "confirmed"), ("b", "waiting")):
        session.add(Deployment(rollout_id=rollout.id, device_id=device, stage=0, state=state))
    for sequence in (1, 2, 3):
        session.add(
            ReportWindow(
                device_id="a",
                model="tiny",
                manifest=first.manifest_sha256,
                boot=1,
                sequence=sequence,
                generation=1,
                trial=False,
                inferences=1,
                errors=0,
                rejected_inputs=0,
                dropped=0,
                counters=b"x",
                received_at=NOW,
            )
        )
    alert = Alert(model_version_id=first.id, state="open", opened_at=NOW)
    session.add(alert)
    session.flush()
    session.add(
        AlertDevice(alert_id=alert.id, device_id="a", boot=1, sequence=3, windows_seen=1, raised_at=NOW)
    )
    retrain = Retrain(alert_id=alert.id, state="REGISTERED", seed=1, samples=70, created_at=NOW)
    session.add(retrain)
    session.flush()
    second = add_version(session, build(2), parent=first.id)
    run = session.get(Run, second.run_id)
    run.retrain_id, retrain.model_version_id = retrain.id, second.id
    session.flush()

    forward = lineage(session, first)
    assert (forward["dataset"]["name"], forward["dataset"]["version"], forward["run"]["seed"]) == (
        "set",
        1,
        1,
    )
    assert forward["manifest"] == build(1).digest.hex()
    assert forward["rollouts"] == [
        {
            "id": rollout.id,
            "state": "RUNNING",
            "stages": ["50%", "100%"],
            "devices": {"confirmed": 1, "waiting": 1},
        }
    ]
    assert forward["report_windows"] == 3
    assert forward["alerts"][0]["devices"] == ["a"]
    assert forward["alerts"][0]["retrains"][0]["model_version_id"] == second.id
    assert (forward["parent"], forward["retrain"]) == (None, None)

    back = lineage(session, second)
    assert back["parent"] == "tiny@1"
    assert (back["retrain"]["alert"], back["retrain"]["samples"]) == (alert.id, 70)
    assert back["dataset"]["version"] == 2


class TestNames:
    def test_without_a_version_it_is_the_newest_that_is_registered(self, session) -> None:
        add_version(session, build(1))
        add_version(session, build(2), state="rejected")
        add_version(session, build(3), state="evaluation")
        assert find_model(session, "tiny").version == 1
        assert find_model(session, "tiny", registered=True).version == 1
        assert find_model(session, "tiny@2").version == 2
        assert find_model(session, "tiny@3", registered=True).version == 3  # named, it is what was meant
        assert find_dataset(session, "set").version == 3

    def test_where_none_is_registered_it_is_the_newest_but_not_for_devices(self, session) -> None:
        add_version(session, build(1), state="evaluation")
        add_version(session, build(2), state="rejected")
        assert find_model(session, "tiny").version == 2
        with pytest.raises(
            NotFoundError, match=r"registered: there is tiny@2 \(rejected\), tiny@1 \(eval"
        ) as caught:
            find_model(session, "tiny", registered=True)
        assert caught.value.fix == "edgeops model show tiny@2 says why"

    def test_a_version_that_is_not_there_is_told_with_those_that_are(self, session) -> None:
        add_version(session, build(1))
        with pytest.raises(NotFoundError, match="no model 'tiny@9': there is tiny@1"):
            find_model(session, "tiny@9")

    def test_a_version_for_evaluation_is_not_rolled_out(self, session) -> None:
        version = add_version(session, build(1), state="evaluation")
        add_devices(session, "cam-01")
        with pytest.raises(CheckFailed, match="tiny@1 was trained with --holdout") as caught:
            start_rollout(session, version, Plan("", parse_stages("100%")), "ann", NOW)
        assert "without --holdout" in (caught.value.fix or "")

    @pytest.mark.parametrize("find", [find_model, find_dataset, find_device])
    def test_what_is_not_there_is_named_with_a_way_to_look(self, session, find) -> None:
        with pytest.raises(NotFoundError, match="nothing") as caught:
            find(session, "nothing")
        assert caught.value.fix

    @pytest.mark.parametrize("text", ["a@", "a@x", "a@-1", "a@1.5", "a@1@2"])
    def test_a_version_is_a_number(self, text: str) -> None:
        with pytest.raises(UsageError, match="number") as caught:
            split_version(text)
        assert caught.value.fix == "a, or such as a@1"


class TestBlobs:
    @given(data=st.binary(max_size=100))
    def test_what_was_put_is_got(self, tmp_path_factory, data: bytes) -> None:
        blobs = BlobStore(tmp_path_factory.mktemp("blobs"))
        assert blobs.get(blobs.put(data)) == data
        assert blobs.put(data) == blobs.put(data)

    def test_an_altered_blob_is_not_given_out(self, tmp_path: Path) -> None:
        digest = BlobStore(tmp_path).put(b"good")
        (tmp_path / digest[:2] / digest).write_bytes(b"evil")
        with pytest.raises(TrustError, match="altered"):
            BlobStore(tmp_path).get(digest)

    def test_a_missing_one_is_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="blob"):
            BlobStore(tmp_path).get("0" * 64)

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "blobs").write_text("a file where the folder should be")
        with pytest.raises(StorageError):
            BlobStore(tmp_path / "blobs").put(b"x")
