"""Faults of the control plane that were once real: what stopped ``serve``, or left it waiting for ever."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import Session, select
from support.packages import FLEET, MODEL, Clock, Package, build
from support.registry import add_version, report
from support.retrain_site import Started

from edgeops.control.devices import enroll_device
from edgeops.control.drift_answer import SILENCE_S, DriftAnswer
from edgeops.control.retrain_worker import RETRAIN_ATTEMPTS, RetrainWorker, _may_try_again
from edgeops.control.rollout_orders import plan_of, start_in_workspace
from edgeops.control.serve import BATCH, ControlPlane
from edgeops.control.settings import CaptureSettings, ReportSettings, RetrainSettings, Settings
from edgeops.control.workspace import init_workspace
from edgeops.core import topics
from edgeops.core.codec import Message, decode, encode
from edgeops.core.errors import BrokerUnreachable, RegistryUnreachable
from edgeops.core.messages import Desired, Event, ModelState, Presence, ReportPolicy, State
from edgeops.core.signing import Role, unverified_payload
from edgeops.core.topics import Kind
from edgeops.core.transport import MemoryBroker, Received
from edgeops.drift.policy import AlarmFacts, Evidence, RetrainPolicy, decide
from edgeops.fleet.desired import DesiredWriter
from edgeops.fleet.ingest import take_batch
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    Device,
    DeviceEvent,
    DeviceModel,
    ModelVersion,
    ReportWindow,
    Retrain,
    Rollout,
)


class Site:
    """A workspace, its control plane, and devices of which only the messages exist."""

    def __init__(self, root: Path) -> None:
        self.workspace = init_workspace(root, Settings(FLEET, report=ReportSettings(10, 0)))
        for name in ("a", "b", "c"):
            enroll_device(self.workspace, name, {}, None, 100)
        self.clock, self.broker, self.told = Clock(), MemoryBroker(), []
        self.one, self.two = self.register(1), self.register(2)
        self.transport = self.broker.client()
        self.plane = ControlPlane(self.workspace, self.transport, self.told.append, self.clock)
        self.plane.start()

    def register(self, version: int) -> Package:
        package = build(version, keys=[self.workspace.key(Role.RELEASE)])
        for blob in [*package.blobs.values(), *package.chunks.values(), package.envelope]:
            self.workspace.blobs.put(blob)
        with self.workspace.registry.session() as session:
            add_version(session, package)
        return package

    def say(self, device: str, kind: Kind, message: Message) -> None:
        self.broker.deliver(topics.device(FLEET, device, kind), encode(message), False)

    def state(self, device: str, boot: int = 1, **model: object) -> None:
        said = ModelState(**{"lifecycle": "CONFIRMED", "generation": 0, **model})  # type: ignore[arg-type]
        self.say(device, Kind.STATE, State(boot, boot, "0.1.0", "r", "linux", 1, {MODEL: said}))

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.sleep(1.0)
            self.plane.step(0.0)

    def desired(self, device: str) -> Desired:
        envelope = self.broker.retained[topics.device(FLEET, device, Kind.DESIRED)]
        return decode(Desired, unverified_payload(envelope))

    def rollout(self, model: str, to: str = "") -> int:
        plan = plan_of(self.workspace, stages="100%", to=to)
        return int(start_in_workspace(self.workspace, model, plan, self.clock)["rollout"])

    def read(self) -> Session:
        return Session(self.workspace.registry._engine)


@pytest.fixture
def site(tmp_path: Path):
    made = Site(tmp_path / "site")
    yield made
    made.plane.close()
    made.workspace.registry.close()


def test_a_rollout_of_the_running_version_calls_devices_back_from_another(site: Site) -> None:
    """They ran it, so it was COMPLETED at once, while their desired state still named the other version."""
    for name in "abc":
        site.state(name, confirmed=site.one.digest)
    site.turn()
    site.rollout("tiny@2")
    site.turn(2)
    generation = site.desired("a").generation
    back = site.rollout("tiny@1")
    site.turn(2)
    for name in "abc":
        assert site.desired(name).models[MODEL].manifest == site.one.digest
        assert site.desired(name).generation > generation
    with site.read() as session:
        assert session.get_one(Rollout, back).state == "RUNNING"  # nobody has said yet that it has heard
    for name in "abc":
        site.state(
            name, lifecycle="SUPERSEDED", confirmed=site.one.digest, generation=site.desired(name).generation
        )
    site.turn(2)
    with site.read() as session:
        assert session.get_one(Rollout, back).state == "COMPLETED"


def test_devices_ahead_of_a_restored_registry_get_a_generation_that_they_take(site: Site) -> None:
    site.rollout("tiny@1")
    site.turn()
    assert site.desired("a").generation == 1
    site.state("a", lifecycle="CONFIRMED", confirmed=site.two.digest, generation=40)
    site.state("b", lifecycle="CONFIRMED", confirmed=site.two.digest, generation=2**32 - 1)  # a lie
    site.turn(2)
    assert site.desired("a").generation == 41
    assert site.desired("b").generation < 2**31


def test_other_report_policies_reach_the_devices_after_a_restart(site: Site) -> None:
    site.rollout("tiny@1")
    site.turn()
    policy = ReportPolicy(77, 5, 500)
    writer = DesiredWriter(FLEET, site.workspace.key(Role.DEPLOY), policy)
    with site.workspace.registry.session() as session:
        writer.refresh(session)
    site.turn()
    assert (site.desired("a").generation, site.desired("a").models[MODEL].report) == (2, policy)
    with site.workspace.registry.session() as session:
        DesiredWriter(FLEET, site.workspace.key(Role.DEPLOY), policy).refresh(session)
    site.turn()
    assert site.desired("a").generation == 2


def test_a_ninth_model_holds_its_rollout_and_serve_goes_on(site: Site) -> None:
    with site.workspace.registry.session() as session:
        writer = DesiredWriter(FLEET, site.workspace.key(Role.DEPLOY), ReportPolicy(10, 0, 1000))
        for number in range(8):
            writer.change(session, "a", f"other-{number}", labels=True)
    number = site.rollout("tiny@1")
    site.turn(3)
    with site.read() as session:
        row = session.get_one(Rollout, number)
        assert row.state == "HELD"
        assert "at most 8" in (row.reason or "")


def test_a_missing_blob_keeps_back_its_version_only(site: Site) -> None:
    site.rollout("tiny@1", to="device != d")
    enroll_device(site.workspace, "d", {}, None, 100)
    blobs = site.workspace.blobs
    blobs._path(site.one.manifest.vectors.hex).unlink()
    with site.workspace.registry.session() as session:
        writer = DesiredWriter(FLEET, site.workspace.key(Role.DEPLOY), ReportPolicy(10, 0, 1000))
        writer.change(session, "d", "other", labels=True)
    site.turn(4)
    assert sum("not everything can be published" in line for line in site.told) == 1
    assert topics.device(FLEET, "d", Kind.DESIRED) in site.broker.retained
    blobs.put(site.one.blobs[site.one.manifest.vectors.hex])
    site.turn()
    assert site.desired("a").models[MODEL].manifest == site.one.digest


def test_a_full_outbox_does_not_end_serve(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """``MqttTransport.publish`` raises while 10,000 messages wait for a broker that is away."""
    publish = site.transport.publish

    def full(*args: object, **kwargs: object) -> None:
        raise BrokerUnreachable("10000 messages already wait")

    monkeypatch.setattr(site.transport, "publish", full)
    site.rollout("tiny@1")
    site.say("a", Kind.REPORT, report(1, package=site.one))
    site.broker.set_online(False)
    site.turn(3)
    site.broker.set_online(True)
    site.turn(3)
    monkeypatch.setattr(site.transport, "publish", publish)
    site.turn(2)
    assert site.desired("a").models[MODEL].manifest == site.one.digest
    assert topics.trust(FLEET) in site.broker.retained


@pytest.mark.parametrize("messages", [3, 3 * BATCH])
def test_a_locked_registry_does_not_end_serve_and_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    """Events, labels and samples come once only; beyond the first hundred they were dropped."""
    locked = True
    session_of = site.workspace.registry.session

    def session():
        if locked:
            raise RegistryUnreachable("the registry does not answer: database is locked")
        return session_of()

    monkeypatch.setattr(site.workspace.registry, "session", session)
    for number in range(messages):
        site.say("a", Kind.EVENT, Event(1, number, MODEL, 1, "IDLE", "OFFERED", "offered"))
        site.say("a", Kind.REPORT, report(number + 1, package=site.one))
    site.turn(10)
    locked = False
    site.turn(10)
    with site.read() as session_:
        assert len(session_.exec(select(DeviceEvent)).all()) == messages


def test_a_device_whose_disk_was_wiped_is_heard_again(site: Site) -> None:
    """Its boots begin at a random number, which may be lower; its states were ignored for ever."""
    site.state("a", boot=900_000, confirmed=site.one.digest)
    site.say("a", Kind.PRESENCE, Presence(900_000, True))
    site.say("a", Kind.REPORT, report(1, boot=900_000, package=site.one))
    site.turn()
    site.say("a", Kind.PRESENCE, Presence(900_000, False))
    site.say("a", Kind.PRESENCE, Presence(1234, True))
    site.state("a", boot=1234, lifecycle="IDLE")
    site.turn()
    with site.read() as session:
        device = session.get_one(Device, "a")
        assert (device.boot, device.session, device.online) == (1234, 1234, True)
        assert session.get_one(DeviceModel, ("a", MODEL)).lifecycle == "IDLE"
    site.state("a", boot=1235, lifecycle="IDLE", generation=3)
    site.say("a", Kind.REPORT, report(1, boot=1234, package=site.one))
    site.turn()
    site.state("a", boot=1234, lifecycle="FAILED")  # late, and of a boot that was heard of
    site.turn()
    with site.read() as session:
        assert session.get_one(Device, "a").boot == 1235
        assert session.get_one(DeviceModel, ("a", MODEL)).generation == 3


def test_what_the_broker_retained_is_no_sign_of_life(site: Site) -> None:
    topic = topics.device(FLEET, "a", Kind.STATE)
    said = encode(State(1, 1, "0.1.0", "r", "linux", 1, {}))
    with site.workspace.registry.session() as session:
        take_batch(session, FLEET, [Received(topic, said)], 100.0)
        take_batch(session, FLEET, [Received(topic, said, True)], 900.0)
        assert session.get_one(Device, "a").last_seen_at == 100.0


def alert_of(session: Session, version: int, *devices: str, windows: int = 1) -> Alert:
    alert = Alert(model_version_id=version, state="open", opened_at=0.0)
    session.add(alert)
    session.flush()
    for name in devices:
        session.add(
            AlertDevice(
                alert_id=alert.id or 0,
                device_id=name,
                boot=1,
                sequence=0,
                windows_seen=windows,
                raised_at=0.0,
            )
        )
    session.flush()
    return alert


class TestRetrains:
    def test_a_worker_that_never_begins_is_not_started_for_ever(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead = Started(*[BrokenProcessPool("it was killed")] * 9)
        monkeypatch.setattr(site.plane, "_retrains", RetrainWorker(site.workspace, print, site.clock, dead))
        with site.workspace.registry.session() as session:
            alert = alert_of(session, 1, "a")
            session.add(Retrain(alert_id=alert.id or 0, state="READY", seed=1, created_at=0.0))
        site.turn(20)
        assert len(dead.jobs) == RETRAIN_ATTEMPTS
        with site.read() as session:
            assert session.exec(select(Retrain)).one().state == "FAILED"

    def test_deaths_are_counted_for_each_retrain(self, site: Site) -> None:
        first, second = (Retrain(id=n, alert_id=1, state="TRAINING", seed=1, created_at=0.0) for n in (1, 2))
        assert [_may_try_again(first) for _ in range(RETRAIN_ATTEMPTS)] == [True, True, False]
        assert _may_try_again(second)

    def test_an_alarmed_device_that_falls_silent_does_not_block_it(self) -> None:
        policy = RetrainPolicy(min_devices=2, settle_windows=3, capture_windows=6, min_samples=10)
        speaking, gone = AlarmFacts(20, 20), AlarmFacts(0, 0)
        blocked = Evidence(4, {"a": speaking, "b": speaking, "c": gone}, 50)
        assert decide(policy, blocked).kind == "collect"
        silent = {**blocked.alarmed, "c": replace(gone, silent=True)}
        assert decide(policy, replace(blocked, alarmed=silent)).kind == "retrain"
        assert decide(policy, replace(blocked, alarmed={"a": replace(gone, silent=True)})).kind != "retrain"

    def test_silence_is_judged_by_windows(self, site: Site) -> None:
        writer = DesiredWriter(FLEET, site.workspace.key(Role.DEPLOY), ReportPolicy(10, 0, 1000))
        answer = DriftAnswer(
            writer, RetrainSettings(settle_windows=0, capture_windows=0, min_samples=0), CaptureSettings()
        )
        with site.workspace.registry.session() as session:
            for name in "ab":
                for sequence in (1, 2):
                    said = encode(report(sequence, package=site.one))
                    topic = topics.device(FLEET, name, Kind.REPORT)
                    take_batch(session, FLEET, [Received(topic, said)], 1000.0 if name == "a" else 1.0)
            alert_of(session, 1, "a", "b")
            version = session.get_one(ModelVersion, 1)
            evidence = answer._evidence(
                session, session.exec(select(Alert)).one(), version, 1.0 + SILENCE_S + 5
            )
            assert {name: facts.silent for name, facts in evidence.alarmed.items()} == {"a": False, "b": True}


def test_a_plan_that_is_gone_does_not_end_ingest(site: Site) -> None:
    site.workspace.blobs._path(site.one.manifest.observe.hex).unlink()
    site.say("a", Kind.REPORT, report(1, package=site.one))
    site.turn(2)
    with site.read() as session:
        assert len(session.exec(select(ReportWindow)).all()) == 1
