"""The registry: migrated, exact, and never locked or half written."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, text
from sqlmodel import SQLModel, select
from support.registry import NOW, add_devices

from edgeops.core.errors import ExitCode, RegistryUnreachable, StorageError
from edgeops.registry import store
from edgeops.registry.counts import count, fact, state_fact, totals
from edgeops.registry.store import Registry, open_registry
from edgeops.registry.tables import Device


@pytest.fixture
def registry(tmp_path: Path):
    opened = open_registry(tmp_path / "registry.db", create=True)
    yield opened
    opened.close()


class TestSchema:
    def test_the_migrations_give_exactly_the_tables(self, tmp_path: Path) -> None:
        open_registry(tmp_path / "registry.db", create=True).close()
        engine = create_engine(f"sqlite:///{tmp_path / 'registry.db'}")
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
        engine.dispose()

    def test_opening_again_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "registry.db"
        first = open_registry(path, create=True)
        with first.session() as session:
            add_devices(session, "a")
        first.close()
        again = open_registry(path)
        with again.reading() as session:
            assert session.get(Device, "a") is not None
        again.close()

    def test_a_newer_schema_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        path = tmp_path / "registry.db"
        open_registry(path, create=True).close()
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.close()
        with pytest.raises(RegistryUnreachable, match="9999, which is newer") as caught:
            open_registry(path)
        assert caught.value.exit_code == ExitCode.UNREACHABLE == 5
        assert "upgrade" in (caught.value.fix or "")

    def test_none_there(self, tmp_path: Path) -> None:
        with pytest.raises(RegistryUnreachable, match="no registry"):
            open_registry(tmp_path / "registry.db")
        assert not (tmp_path / "registry.db").exists()

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "registry.db").write_bytes(b"this is no database at all" * 99)
        with pytest.raises(RegistryUnreachable, match="cannot be opened"):
            open_registry(tmp_path / "registry.db")

    def test_it_is_in_wal_mode_with_foreign_keys(self, registry: Registry) -> None:
        with registry.reading() as session:
            assert session.exec(text("PRAGMA journal_mode")).scalar() == "wal"  # type: ignore[call-overload]
            assert session.exec(text("PRAGMA foreign_keys")).scalar() == 1  # type: ignore[call-overload]


class TestSessions:
    def test_all_or_nothing(self, registry: Registry) -> None:
        with pytest.raises(ZeroDivisionError), registry.session() as session:
            add_devices(session, "a")
            raise ZeroDivisionError
        with registry.reading() as session:
            assert session.exec(select(Device)).all() == []

    def test_a_full_disk_is_said_in_words_and_nothing_is_written(self, registry: Registry) -> None:
        broken = True

        def full(conn, cursor, statement, *rest) -> None:
            if broken and statement.startswith("INSERT"):
                raise sqlite3.OperationalError("database or disk is full")

        event.listen(registry._engine, "before_cursor_execute", full)
        try:
            with pytest.raises(StorageError, match="disk is full") as caught, registry.session() as session:
                add_devices(session, "a")
        except sqlite3.OperationalError:
            pytest.fail("the driver's error came through")
        assert "free disk space" in (caught.value.fix or "")
        broken = False
        with registry.session() as session:
            assert session.exec(select(Device)).all() == []
            add_devices(session, "a")

    def test_a_disk_that_is_full_within_a_savepoint_is_said_in_the_same_words(
        self, registry: Registry
    ) -> None:
        """SQLite ends the whole transaction: then it says that there is no such savepoint, which is no reason."""
        with pytest.raises(StorageError, match="disk is full"), registry.session() as session:
            session.execute(text("PRAGMA max_page_count = 1"))
            with session.begin_nested():
                add_devices(session, *(f"device-{number:05d}" for number in range(2000)))

    def test_database_is_locked_does_not_happen_to_a_writer_that_read_first(self, registry: Registry) -> None:
        """Two that read, then write: with a deferred BEGIN the second failed at once, whatever the timeout."""
        with registry.session() as session:
            state_fact(session, "n", {"value": 0})
        failures: list[BaseException] = []

        def add() -> None:
            try:
                for _ in range(20):
                    with registry.session() as session:
                        state_fact(session, "n", {"value": fact(session, "n")["value"] + 1})
            except BaseException as error:
                failures.append(error)

        def look() -> None:
            try:
                for _ in range(40):
                    with registry.reading() as session:
                        fact(session, "n")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for work in (add, add, add, look)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        with registry.reading() as session:
            assert fact(session, "n") == {"value": 60}

    def test_database_is_locked_does_not_happen_to_a_reader_while_another_writes(
        self, registry: Registry
    ) -> None:
        with registry.session() as writer:
            add_devices(writer, "a")
            with registry.reading() as reader:
                assert reader.get(Device, "a") is None
        with registry.reading() as reader:
            assert reader.get(Device, "a") is not None

    def test_a_lock_that_is_held_for_ever_is_unreachable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "BUSY_TIMEOUT_MS", 50)
        first = open_registry(tmp_path / "registry.db", create=True)
        second = open_registry(tmp_path / "registry.db")
        with first.session() as holder:
            add_devices(holder, "a")
            with pytest.raises(RegistryUnreachable, match="does not answer"), second.session() as late:
                late.get(Device, "a")
        first.close()
        second.close()


class TestCounts:
    def test_are_kept_by_reason_and_device_and_summed_by_reason(self, registry: Registry) -> None:
        for device in ("a", "a", "b", ""):
            with registry.session() as session:
                count(session, "undecodable report", device, "x" * 999)
        with registry.session() as session:
            count(session, "other")
            count(session, "other")
        with registry.reading() as session:
            assert totals(session) == {"other": 2, "undecodable report": 4}

    def test_facts_survive(self, registry: Registry) -> None:
        with registry.session() as session:
            state_fact(session, "f", {"at": NOW})
        with registry.reading() as session:
            assert (fact(session, "f"), fact(session, "g")) == ({"at": NOW}, {})
