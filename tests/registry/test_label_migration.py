"""Schema 0005: labels keep the order in which they came, there and back."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text
from sqlmodel import select
from support.old_registry import migrate, put

from edgeops.registry.store import open_registry
from edgeops.registry.tables import LabelTruth

NAMES = ["c", "a", "d", "b"]  # not in the order of the alphabet


def fill(connection: Connection) -> None:
    """Labels of one device."""
    put(connection, "device", {"id": "cam"})
    for name in NAMES:
        put(connection, "label_truth", {"prediction": name, "device_id": "cam", "truth": 4})


def test_labels_are_numbered_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    migrate(path, "0004", fill)
    registry = open_registry(path)
    with registry.reading() as session:
        rows = session.exec(select(LabelTruth).order_by(LabelTruth.id)).all()
        assert [(row.prediction, row.truth) for row in rows] == [(name, 4) for name in NAMES]
    registry.close()
    found = []
    query = text("SELECT prediction FROM label_truth ORDER BY rowid")
    migrate(path, "0004", lambda c: found.extend(c.execute(query).scalars()))
    assert found == NAMES
