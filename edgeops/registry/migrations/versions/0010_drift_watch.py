"""Alerts have a kind, their devices can become quiet again, and a device may have a reference of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    with op.batch_alter_table("alert") as table:
        table.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="drift"))
        table.add_column(sa.Column("renewed_for", sa.Integer(), nullable=True))
    with op.batch_alter_table("alert_device") as table:
        table.add_column(sa.Column("flags", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("cleared_at", sa.Float(), nullable=True))
        table.add_column(sa.Column("raised_id", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_report_window_device_manifest", "report_window", ["device_id", "manifest"])
    op.create_table(
        "learned_reference",
        sa.Column("device_id", sa.String(), sa.ForeignKey("device.id"), primary_key=True),
        sa.Column("model_version_id", sa.Integer(), sa.ForeignKey("model_version.id"), primary_key=True),
        sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("windows", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    """Take the schema back."""
    op.drop_index("ix_report_window_device_manifest", "report_window")
    op.drop_table("learned_reference")
    with op.batch_alter_table("alert_device") as table:
        table.drop_column("raised_id")
        table.drop_column("cleared_at")
        table.drop_column("flags")
    with op.batch_alter_table("alert") as table:
        table.drop_column("renewed_for")
        table.drop_column("kind")
