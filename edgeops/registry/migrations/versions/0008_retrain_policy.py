"""What a retrain policy goes by: when an alarmed device was last heard, and how often a retrain's worker died."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up; who alarmed before is heard from its next window on."""
    with op.batch_alter_table("alert_device") as table:
        table.add_column(sa.Column("heard_id", sa.Integer(), nullable=True))
        table.add_column(sa.Column("heard_at", sa.Float(), nullable=True))
    with op.batch_alter_table("retrain") as table:
        table.add_column(sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take the schema back."""
    with op.batch_alter_table("retrain") as table:
        table.drop_column("deaths")
    with op.batch_alter_table("alert_device") as table:
        table.drop_column("heard_at")
        table.drop_column("heard_id")
