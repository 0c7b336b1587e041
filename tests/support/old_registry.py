"""A registry of an earlier schema, and rows in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, text

from edgeops.registry.store import _begin, _configure
from edgeops.registry.store import migrate as to_revision


def migrate(path: Path, revision: str, work: Callable[[Connection], object]) -> None:
    """Bring a registry to a revision, on connections as the registry makes them; then do ``work`` on it."""
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    to_revision(engine, revision)
    with engine.begin() as connection:
        work(connection)
    engine.dispose()


def put(connection: Connection, table: str, given: dict[str, object]) -> None:
    """Insert a row; what is not given is empty."""
    empty = {"JSON": "{}", "INTEGER": 0, "FLOAT": 0.0, "BOOLEAN": 0, "VARCHAR": ""}
    row = dict(given)
    for _, name, kind, required, default, _ in connection.execute(text(f"PRAGMA table_info({table})")):
        if required and default is None and name not in row:
            row[name] = empty[kind]
    names = ", ".join(row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row)
