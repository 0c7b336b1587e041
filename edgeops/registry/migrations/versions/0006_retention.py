"""Old rows are found by when they came; the number of a window or a label is never given again."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBERED = ("report_window", "label_truth")
_OLD = (*_NUMBERED, "device_event", "captured_sample")


def upgrade() -> None:
    """Bring the schema up; windows and labels keep their numbers."""
    for table in _NUMBERED:
        with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass  # the table is made anew, with numbers that only rise
    for table in _OLD:
        op.create_index(f"ix_{table}_received_at", table, ["received_at"])
    op.create_index("ix_report_window_device_model", "report_window", ["device_id", "model"])
    op.drop_index("ix_report_window_device_id", "report_window")


def downgrade() -> None:
    """Take the schema back."""
    op.create_index("ix_report_window_device_id", "report_window", ["device_id"])
    op.drop_index("ix_report_window_device_model", "report_window")
    for table in _OLD:
        op.drop_index(f"ix_{table}_received_at", table)
    for table in _NUMBERED:
        with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": False}):
            pass
