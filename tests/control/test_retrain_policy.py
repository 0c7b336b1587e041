"""The retrain policy of a model at work: what its recipe says, what it waits for, and what a person is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.packages import MODEL, build
from support.registry import add_version
from support.retrain_site import DAY, HOUR, QUICK, RetrainSite, Started

from edgeops.control.drift_answer import DriftAnswer, shift_answers
from edgeops.control.retrain_ledger import ledger_of
from edgeops.control.retrain_orders import approve, reject, retrain_rows
from edgeops.control.retrain_policies import PolicyShelf, policy_of
from edgeops.control.retrain_worker import RetrainWorker
from edgeops.control.settings import CaptureSettings, RetrainSettings, load_settings
from edgeops.core.errors import ConfigError, NotFoundError, UsageError
from edgeops.core.signing import Role
from edgeops.drift.policy import RetrainPolicy
from edgeops.fleet.audit import entries
from edgeops.registry.artifacts import Form
from edgeops.registry.tables import (
    Alert,
    AlertDevice,
    Deployment,
    DesiredState,
    Device,
    ModelVersion,
    Retrain,
    Rollout,
    Run,
)
from edgeops.training.recipe import load_recipe


@pytest.fixture
def site(tmp_path: Path):
    made = RetrainSite(tmp_path / "site")
    yield made
    made.workspace.registry.close()


class TestARejectedRetrain:
    def test_does_not_leave_its_alert_open_and_unanswered_for_ever(self, site: RetrainSite) -> None:
        """Whoever had a retrain once was never looked at again."""
        assert site.ready().state == "READY"
        site.end("REJECTED")
        site.tick()
        assert site.decision() == "wait"
        site.tick()
        assert site.decision() == "collect"
        site.window("a", "b")
        site.tick(25 * HOUR)
        site.window("a", "b")
        site.tick()
        assert site.decision() == "wait"  # the five samples are those that the first retrain had
        site.label(5)
        site.tick()
        assert [row.state for row in site.retrains()] == ["REJECTED", "READY"]

    def test_lets_devices_capture_anew(self, site: RetrainSite) -> None:
        site.ready()
        with site.session() as session:
            before = session.get_one(AlertDevice, (1, "a")).capture_generation or 0
        site.end("REJECTED")
        site.tick()
        with site.session() as session:
            assert session.get_one(DesiredState, "a").models[MODEL]["capture"] is None
        site.tick()
        with site.session() as session:
            assert session.get_one(DesiredState, "a").models[MODEL]["capture"] is not None
            assert (session.get_one(AlertDevice, (1, "a")).capture_generation or 0) > before

    def test_is_not_repeated_before_the_cooldown_is_over(self, site: RetrainSite) -> None:
        site.ready()
        site.end("FAILED")
        for _ in range(3):
            site.tick()
            site.window("a", "b")
        site.label(50)
        site.tick(23 * HOUR)
        site.window("a", "b")
        site.tick()
        assert len(site.retrains()) == 1
        site.window("a", "b")
        site.tick(HOUR)
        assert len(site.retrains()) == 2


class TestTheClock:
    def test_that_is_set_makes_no_alarmed_device_silent(self, site: RetrainSite) -> None:
        """A clock that went a day ahead dropped devices that had just spoken from those that are waited for."""
        site.drifts("a", "b")
        site.window("a", "b")
        site.tick()
        for jumped in (DAY, -3 * DAY):
            site.now += jumped
            with site.session() as session:
                shift_answers(session, jumped, site.now)
                alert, version = session.get_one(Alert, 1), session.get_one(ModelVersion, 1)
                evidence = site.answer._evidence(session, alert, version, site.now)
                assert [facts.silent for facts in evidence.alarmed.values()] == [False, False]

    def test_does_not_end_a_cooldown_nor_prolong_it(self, site: RetrainSite) -> None:
        site.ready()
        site.end("REJECTED")
        for jumped in (3 * DAY, -9 * DAY):
            site.now += jumped
            with site.session() as session:
                shift_answers(session, jumped, site.now)
                ledger = ledger_of(session, MODEL, RetrainPolicy(), site.now)
                assert ledger.since_retrain_s == pytest.approx(0.0, abs=1e-3)

    def test_that_was_set_back_while_nobody_watched_costs_one_cooldown_at_most(
        self, site: RetrainSite
    ) -> None:
        site.ready()
        site.end("REJECTED")
        site.now -= 300 * DAY
        with site.session() as session:
            shift_answers(session, 0.0, site.now)
            assert ledger_of(session, MODEL, RetrainPolicy(), site.now).since_retrain_s == 0.0

    def test_windows_are_counted_by_their_numbers(self, site: RetrainSite) -> None:
        """A window of another boot that came with an earlier time did not count as later than the alarm."""
        site.window("a")
        site.drifts("a", "b")
        with site.session() as session:
            session.get_one(AlertDevice, (1, "a")).raised_id = 1
        site.now -= 100.0
        site.window("a")
        site.window("a")
        with site.session() as session:
            alert, version = session.get_one(Alert, 1), session.get_one(ModelVersion, 1)
            assert (
                site.answer._evidence(session, alert, version, site.now).alarmed["a"].windows_since_alarm == 2
            )


class TestApproval:
    @pytest.fixture
    def site(self, tmp_path: Path):
        made = RetrainSite(tmp_path / "site", RetrainSettings(False, **_policy(approval=True)))
        made.answer = DriftAnswer(
            made.writer, RetrainSettings(True, **_policy(approval=True)), CaptureSettings()
        )
        yield made
        made.workspace.registry.close()

    def test_a_retrain_waits_for_a_person(self, site: RetrainSite) -> None:
        assert site.ready().state == "WAITING"
        site.tick()
        assert len(site.retrains()) == 1
        assert approve(site.workspace, 1, "go", lambda: site.now)["state"] == "READY"
        with site.session() as session:
            assert [(e.action, e.reason) for e in entries(session, "retrain 1")] == [("approve", "go")]
        with pytest.raises(UsageError, match="is READY and waits for nobody"):
            approve(site.workspace, 1, None)

    def test_one_that_is_rejected_asks_again_only_with_new_samples(self, site: RetrainSite) -> None:
        site.ready()
        reject(site.workspace, 1, "harvest", lambda: site.now)
        for _ in range(4):
            site.tick()
            site.window("a", "b")
        assert [row.state for row in site.retrains()] == ["ABANDONED"]
        site.label(5)
        site.tick()
        assert [row.state for row in site.retrains()] == ["ABANDONED", "WAITING"]

    def test_it_is_not_wanted_any_more_when_its_alert_is_closed(self, site: RetrainSite) -> None:
        site.ready()
        with site.session() as session:
            session.get_one(Alert, 1).state = "closed"
        assert site.tick() == ["retrain 1: not wanted any more: alert 1 is closed"]
        assert [row.state for row in site.retrains()] == ["ABANDONED"]

    def test_one_that_is_not_there_is_named(self, site: RetrainSite) -> None:
        with pytest.raises(NotFoundError, match="no retrain 7"):
            reject(site.workspace, 7, None)
        assert retrain_rows(site.workspace) == []


class TestWhichPolicyHolds:
    def test_a_recipe_goes_before_the_settings(self, site: RetrainSite) -> None:
        site.recipe("[retrain]\nmin_devices = 4\nquiet_hours = '22:00-06:00'\nalarms = ['concept']\n")
        with site.session() as session:
            found = PolicyShelf(RetrainSettings(min_samples=7)).of(session.get_one(Run, 1))
        assert (found.min_devices, found.min_samples, found.alarms) == (4, 7, ("concept",))

    def test_it_is_read_again_when_its_file_changed(self, site: RetrainSite) -> None:
        path = site.recipe("[retrain]\nmin_devices = 4\n")
        shelf = PolicyShelf(QUICK)
        with site.session() as session:
            run = session.get_one(Run, 1)
            assert shelf.of(run).min_devices == 4
            path.write_text(path.read_text().replace("min_devices = 4", "min_devices = 12"))
            assert shelf.of(run).min_devices == 12
            path.unlink()
            assert shelf.of(run) == QUICK.policy()

    def test_it_is_no_part_of_what_a_model_is_made_of(self, site: RetrainSite) -> None:
        digest = load_recipe(site.recipe("")).digest
        assert load_recipe(site.recipe("[retrain]\napproval = true\n")).digest == digest

    @pytest.mark.parametrize(
        "text", ["quiet_hours = '22-6'", "sustained = 3", "quiet_hours = '1:00-2:00 Mars'"]
    )
    def test_one_that_means_nothing_starts_nothing_and_is_told(self, site: RetrainSite, text: str) -> None:
        path = site.recipe(f"[retrain]\n{text}\n")
        with pytest.raises(ConfigError, match=r"\[retrain\]"):
            policy_of(QUICK, load_recipe(path))
        site.drifts("a", "b")
        (told,) = site.tick()
        assert "The policy cannot be read" in told
        assert site.retrains() == []

    @pytest.mark.parametrize(
        "text", ["quiet_hours = '22-6'", "sustained = 3", "alarms = ['quality']", "min_devices = 0"]
    )
    def test_settings_that_mean_nothing_are_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "edgeops.toml").write_text(f"fleet = 'f'\n[retrain]\n{text}\n")
        with pytest.raises(ConfigError, match="retrain"):
            load_settings(tmp_path)

    def test_the_kind_of_an_alarm_counts(self, site: RetrainSite) -> None:
        site.recipe("[retrain]\nalarms = ['concept']\n")
        site.drifts("a", "b", kind="data")
        site.tick()
        assert site.decision() == "none"

    def test_a_device_that_flickers_is_not_sustained(self, site: RetrainSite) -> None:
        site.recipe("[retrain]\nsustained = 3\nsustained_of = 4\nquiet_windows = 2\n")
        site.drifts("a", "b")
        with site.session() as session:
            session.get_one(AlertDevice, (1, "a")).flags = [True, False, False, True]
            session.get_one(AlertDevice, (1, "b")).flags = [True, True, True, False]
            alert, version = session.get_one(Alert, 1), session.get_one(ModelVersion, 1)
            policy = site.answer._policies.of(session.get_one(Run, 1))
            alarmed = site.answer._evidence(session, alert, version, site.now, policy).alarmed
            assert {name: facts.cleared for name, facts in alarmed.items()} == {"a": True, "b": False}


class TestQuietHoursAndBudgets:
    def registered(self, site: RetrainSite) -> None:
        site.ready()
        second = build(2, keys=[site.workspace.key(Role.RELEASE)])
        site.put(second)
        with site.session() as session:
            version = add_version(session, second, parent=1)
            session.get_one(Run, version.run_id).retrain_id = 1
            retrain = session.get_one(Retrain, 1)
            retrain.state, retrain.model_version_id = "REGISTERED", version.id

    def test_no_rollout_of_a_retrain_starts_in_quiet_hours(self, site: RetrainSite) -> None:
        self.registered(site)
        with site.session() as session:
            session.get_one(Run, 2).recipe = str(site.recipe("[retrain]\nquiet_hours = '11:00-13:00'\n"))
        assert site.after() == ["retrain 1: its rollout waits: these are quiet hours"]
        assert site.after() == []  # it is said once
        site.now += 2 * HOUR
        assert [line.split(":")[0] for line in site.after()] == ["rollout 1"]
        assert [row.state for row in site.retrains()] == ["DEPLOYED"]

    def test_what_retrains_pushed_counts_for_thirty_days(self, site: RetrainSite) -> None:
        self.registered(site)
        limited = RetrainPolicy(bytes_a_month=1)
        with site.session() as session:
            version = session.get_one(ModelVersion, 2)
            tflite = Form("tflite", "any", "f" * 64, version.artifact_bytes)
            version.artifacts = [tflite.as_dict(), Form("plan", "any", "e" * 64, 70).as_dict()]
            session.add(Device(id="mcu", enrolled_at=0, takes=["plan"]))
            session.add(Rollout(model_version_id=2, state="RUNNING", created_at=site.now))
            session.flush()
            before = (("a", site.version), ("b", version.manifest_sha256), ("mcu", site.version))
            for name, base in before:
                session.add(
                    Deployment(
                        rollout_id=1, device_id=name, state="offered", before=base, offered_at=site.now
                    )
                )
            session.flush()
            assert ledger_of(session, MODEL, limited, site.now).pushed_bytes == version.artifact_bytes + 70
            assert ledger_of(session, MODEL, limited, site.now + 31 * DAY).pushed_bytes == 0

    def test_no_retrain_starts_in_quiet_hours(self, site: RetrainSite) -> None:
        site.recipe("[retrain]\nquiet_hours = '11:00-13:00'\n")
        started, told = Started(), []
        worker = RetrainWorker(site.workspace, told.append, lambda: site.now, started)
        with site.session() as session:
            session.add(Alert(model_version_id=1, state="open", opened_at=1.0))
            session.flush()
            session.add(Retrain(alert_id=1, state="READY", seed=1, created_at=1.0))
        worker.turn(site.now)
        worker.turn(site.now)
        assert (started.jobs, told) == ([], ["retrain 1: waits: these are quiet hours"])
        worker.turn(site.now + 2 * HOUR)
        assert started.jobs == [1]


def _policy(**said: object) -> dict:
    return {"settle_windows": 0, "capture_windows": 1, "min_samples": 5, **said}
