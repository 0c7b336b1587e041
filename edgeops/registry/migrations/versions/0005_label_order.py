"""Labels are numbered as they come."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = "prediction, device_id, model, manifest_prefix, boot, sequence, predicted, truth, received_at"  # as of 0001
_INDEXED = ("device_id", "manifest_prefix")


def upgrade() -> None:
    """Bring the schema up; labels keep the order in which they came."""
    _drop_indexes()
    op.rename_table("label_truth", "label_truth_before")
    op.create_table(
        "label_truth",
        sa.Column("id", sa.Integer(), primary_key=True),
        *_label_columns(),
        sa.UniqueConstraint("prediction", "device_id"),
    )
    _move("label_truth_before")


def downgrade() -> None:
    """Take the schema back."""
    _drop_indexes()
    op.rename_table("label_truth", "label_truth_after")
    op.create_table("label_truth", *_label_columns(), sa.PrimaryKeyConstraint("prediction", "device_id"))
    _move("label_truth_after", "id")


def _label_columns() -> list[sa.Column[Any]]:
    texts = ("model", "manifest_prefix")
    numbers = ("boot", "sequence", "predicted", "truth")
    return [
        sa.Column("prediction", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), sa.ForeignKey("device.id"), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in numbers),
        sa.Column("received_at", sa.Float(), nullable=False),
    ]


def _move(source: str, order: str = "") -> None:
    # SQLite numbers the rows of a table without such a column too.
    order = order or ("rowid" if op.get_bind().dialect.name == "sqlite" else "received_at")
    op.execute(f"INSERT INTO label_truth ({_COLUMNS}) SELECT {_COLUMNS} FROM {source} ORDER BY {order}")
    op.drop_table(source)
    for column in _INDEXED:
        op.create_index(f"ix_label_truth_{column}", "label_truth", [column])


def _drop_indexes() -> None:
    for column in _INDEXED:
        op.drop_index(f"ix_label_truth_{column}", "label_truth")
