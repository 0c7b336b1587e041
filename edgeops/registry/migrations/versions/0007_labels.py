"""Where a truth came from, why an input was captured, and truths that wait for the report of their window."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up; what is there came from devices, and was drawn uniformly."""
    with op.batch_alter_table("label_truth", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.add_column(sa.Column("source", sa.String(), nullable=False, server_default="device"))
        batch_op.add_column(
            sa.Column("representative", sa.Boolean(), nullable=False, server_default=sa.true())
        )
    with op.batch_alter_table("captured_sample") as batch_op:
        batch_op.add_column(sa.Column("reason", sa.String(), nullable=False, server_default="uniform"))
    op.create_table(
        "held_label",
        sa.Column("prediction", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("truth", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"]),
        sa.PrimaryKeyConstraint("device_id", "prediction"),
    )
    op.create_index("ix_held_label_received_at", "held_label", ["received_at"])


def downgrade() -> None:
    """Take the schema back."""
    op.drop_index("ix_held_label_received_at", "held_label")
    op.drop_table("held_label")
    with op.batch_alter_table("captured_sample") as batch_op:
        batch_op.drop_column("reason")
    with op.batch_alter_table("label_truth", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.drop_column("representative")
        batch_op.drop_column("source")
