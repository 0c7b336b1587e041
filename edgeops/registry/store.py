"""Opening the registry: engine, WAL, schema check and migration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session, create_engine

from edgeops.core.errors import RegistryUnreachable, StorageError

BUSY_TIMEOUT_MS = 20_000


class Registry:
    """A database of the current schema; ``session`` is one transaction, all or nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # A transaction that begins by reading and then writes fails at once when another wrote meanwhile, whatever
        # the busy timeout says; so those that may write take the write lock first, and wait for it.
        self._writing = engine.execution_options(immediate=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that may write: it commits when the block ends well and rolls back otherwise.

        Raises ``StorageError`` when the disk is full, ``RegistryUnreachable`` when the database is.
        """
        with self._opened(self._writing) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads; it sees one moment of the registry and waits for nobody."""
        with self._opened(self._engine) as session:
            yield session

    @contextmanager
    def _opened(self, engine: Engine) -> Iterator[Session]:
        with Session(engine, expire_on_commit=False) as session:
            try:
                yield session
                session.commit()
            except OperationalError as error:
                session.rollback()
                raise _translated(error) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def open_registry(path: Path, *, create: bool = False) -> Registry:
    """Open the database at ``path``, bringing an older schema up to date.

    Raises ``RegistryUnreachable`` when there is none, when it is no database, or when its schema is newer
    than this code.
    """
    if not create and not path.exists():
        raise RegistryUnreachable(
            f"no registry at {path}", fix="edgeops init DIR makes a workspace", path=str(path)
        )
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        _migrate(engine, path)
    except DatabaseError as error:
        engine.dispose()
        raise RegistryUnreachable(f"{path} cannot be opened: {error.orig}", path=str(path)) from error
    except RegistryUnreachable:
        engine.dispose()
        raise
    return Registry(engine)


def _configure(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # transactions begin where ``_begin`` says, not where the driver thinks
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    options = connection.get_execution_options()
    if options.get("migrating", False):
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # heeded outside of a transaction only
    immediate = options.get("immediate", False) or options.get("migrating", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def alembic_config() -> Config:
    """Alembic's configuration for the migrations that ship with the package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _migrate(engine: Engine, path: Path) -> None:
    script = ScriptDirectory.from_config(alembic_config())
    known = {revision.revision for revision in script.walk_revisions()}
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise RegistryUnreachable(
            f"the registry at {path} has schema {current}, which is newer than this version of edgeops",
            fix="pip install --upgrade edgeops",
            schema=current,
        )
    if current != script.get_current_head():
        migrate(engine, "head")


def migrate(engine: Engine, revision: str) -> None:
    """Bring the schema up, or down, to a revision, all or nothing.

    A table that changes is copied and dropped, which the keys of others that name it would not let happen.
    """
    config = alembic_config()
    with engine.execution_options(migrating=True).begin() as connection:
        config.attributes["connection"] = connection
        down = revision != "head" and revision < (
            MigrationContext.configure(connection).get_current_revision() or ""
        )
        (command.downgrade if down else command.upgrade)(config, revision)
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise RegistryUnreachable(f"the migration to {revision} would lose what {broken[0]} refers to")
    engine.dispose()  # its connections would go on without keys


_UNWRITABLE = ("disk is full", "readonly", "disk I/O")


def _first_words(error: OperationalError) -> str:
    """What SQLite said first: a full disk ends the transaction, and then there is no savepoint to go back to."""
    said, cause = str(error.orig), error.__context__
    while cause is not None:
        if isinstance(cause, OperationalError):
            said = str(cause.orig)
        cause = cause.__context__
    return said


def _translated(error: OperationalError) -> Exception:
    text = _first_words(error)
    if any(words in text for words in _UNWRITABLE):
        return StorageError(f"the registry cannot be written: {text}", fix="free disk space, then try again")
    fix = "another edgeops command is writing: end it, or try again" if "locked" in text else None
    return RegistryUnreachable(f"the registry does not answer: {text}", fix=fix)
