"""A retrain by hand: nothing is noted before it can begin, and nobody else trains what a person cut off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.packages import build
from support.registry import NOW, add_version
from support.retrain_site import RetrainSite, Started

from edgeops.control import retraining
from edgeops.control.retrain_by_hand import find_retrain, retrain_by_hand
from edgeops.control.retrain_lock import retrain_lock
from edgeops.control.retrain_worker import RetrainWorker
from edgeops.control.retraining import run_retrain
from edgeops.core.errors import DataError, NotFoundError, UnreachableError, UsageError
from edgeops.core.signing import Role
from edgeops.registry.tables import Alert, Retrain, Run


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RetrainSite]:
    made = RetrainSite(tmp_path / "site")
    yield made
    made.workspace.registry.close()


def ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raising(*args: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(retraining, "_retrain", raising)


def served(site: RetrainSite) -> list[int]:
    """What the next ``edgeops serve`` would start."""
    process = Started()
    RetrainWorker(site.workspace, lambda line: None, lambda: site.now, process).turn(site.now)
    return process.jobs


def row_of(site: RetrainSite) -> Retrain:
    (row,) = site.retrains()
    return row


class TestWhatCannotBegin:
    def test_leaves_no_row_while_another_process_trains(self, site: RetrainSite) -> None:
        """The row was made first, and the next ``edgeops serve`` trained what nobody had asked it to."""
        site.drifts("a")
        with retrain_lock(site.workspace), pytest.raises(UsageError, match="another edgeops retrain"):
            retrain_by_hand(site.workspace, 1)
        assert site.retrains() == []

    def test_leaves_no_row_where_the_cluster_does_not_answer(
        self, site: RetrainSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from edgeops.cli.main import run

        site.drifts("a")
        arguments = ["edgeops", "retrain", "run", "1", "--dask", "nowhere", "-w", str(site.workspace.root)]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as end:
            run()
        assert (end.value.code, "no address" in capsys.readouterr().err) == (2, True)
        assert site.retrains() == []

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"kind": "quality"}, "a retrain would learn the fault"),
            ({"state": "closed"}, "alert 1 is closed"),
        ],
    )
    def test_an_alert_that_no_retrain_answers_is_refused(
        self, site: RetrainSite, change: dict[str, str], words: str
    ) -> None:
        site.drifts("a")
        with site.session() as session:
            for name, value in change.items():
                setattr(session.get_one(Alert, 1), name, value)
        with pytest.raises(UsageError, match=words) as told:
            retrain_by_hand(site.workspace, 1)
        assert (told.value.fix or "").count("edgeops drift")
        with pytest.raises(NotFoundError, match="no open drift alert"):
            retrain_by_hand(site.workspace, None)
        with pytest.raises(NotFoundError, match="no alert 7"):
            retrain_by_hand(site.workspace, 7)
        assert site.retrains() == []


class TestWhatIsCutOff:
    @pytest.mark.parametrize("error", [KeyboardInterrupt(), UnreachableError("the registry is away")])
    def test_is_over_and_nobody_else_trains_it(
        self, site: RetrainSite, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        site.drifts("a")
        ends_with(monkeypatch, error)
        with pytest.raises(type(error)):
            retrain_by_hand(site.workspace, 1, clock=lambda: 77.0)
        row = row_of(site)
        assert (row.state, row.by_hand, row.finished_at) == ("ABANDONED", True, 77.0)
        assert served(site) == []

    @pytest.mark.parametrize("state", ["READY", "TRAINING"])
    def test_by_a_power_cut_is_over_too(self, site: RetrainSite, state: str) -> None:
        site.drifts("a")
        with site.session() as session:
            session.add(Retrain(alert_id=1, state=state, seed=1, by_hand=True, created_at=NOW))
        assert served(site) == []
        row = row_of(site)
        assert (row.state, row.deaths, row.finished_at) == ("ABANDONED", 0, site.now)

    def test_goes_on_where_the_policy_had_asked_for_it(
        self, site: RetrainSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.ready()
        ends_with(monkeypatch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            retrain_by_hand(site.workspace, 1)
        assert row_of(site).state == "READY"
        assert served(site) == [1]

    def test_just_after_its_version_was_registered_has_come_to_its_end(
        self, site: RetrainSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was ready again, and the version was made a second time."""
        site.ready()
        second = build(2, keys=[site.workspace.key(Role.RELEASE)])

        def registering(*args: Any, **more: Any) -> None:
            with site.session() as session:
                run = session.get_one(Run, add_version(session, second, parent=1).run_id)
                run.retrain_id, run.record = 1, {"outcome": "better"}
            raise KeyboardInterrupt

        monkeypatch.setattr(retraining, "_retrain", registering)
        with pytest.raises(KeyboardInterrupt):
            retrain_by_hand(site.workspace, 1)
        row = row_of(site)
        assert (row.state, row.model_version_id) == ("REGISTERED", 2)
        assert served(site) == []

    def test_one_that_waited_for_a_person_is_the_persons(self, site: RetrainSite) -> None:
        site.ready()
        site.end("WAITING")
        row = find_retrain(site.workspace, 1, NOW)
        assert (row.state, row.by_hand) == ("READY", True)


class TestWhatFails:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (DataError("no samples"), "no samples"),
            (ValueError("cannot reshape"), "ValueError: cannot reshape"),
            (MemoryError(), "MemoryError: "),
        ],
    )
    def test_is_failed_whatever_it_failed_of(
        self, site: RetrainSite, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
    ) -> None:
        """What is no error of EdgeOps left TRAINING behind, and was tried again and again; now it ends, and when."""
        site.ready()
        ends_with(monkeypatch, error)
        with pytest.raises(type(error)):
            run_retrain(site.workspace, 1, clock=lambda: 99.0)
        row = row_of(site)
        assert (row.state, row.reason, row.finished_at, row.deaths) == ("FAILED", reason, 99.0, 0)

    def test_its_cooldown_counts_from_its_end(
        self, site: RetrainSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from edgeops.control.retrain_ledger import ledger_of
        from edgeops.drift.policy import RetrainPolicy

        site.ready()
        ends_with(monkeypatch, DataError("no samples"))
        later = site.now + 7200.0
        with pytest.raises(DataError):
            run_retrain(site.workspace, 1, clock=lambda: later)
        with site.session() as session:
            assert ledger_of(session, "tiny", RetrainPolicy(), later + 10.0).since_retrain_s == 10.0
