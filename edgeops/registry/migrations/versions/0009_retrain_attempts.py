"""A retrain keeps what it tried, what it proposes, and up to which label it had them; a version may be for some devices
alone; captured inputs are found by their device.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    with op.batch_alter_table("retrain", schema=None) as batch_op:
        batch_op.add_column(sa.Column("attempts", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("proposal", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("labels_to", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("by_hand", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.add_column(sa.Column("selector", sa.String(), nullable=True))
    op.create_index("ix_captured_sample_device_id", "captured_sample", ["device_id"])


def downgrade() -> None:
    """Take the schema back."""
    op.drop_index("ix_captured_sample_device_id", "captured_sample")
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.drop_column("selector")
    with op.batch_alter_table("retrain", schema=None) as batch_op:
        batch_op.drop_column("by_hand")
        batch_op.drop_column("labels_to")
        batch_op.drop_column("proposal")
        batch_op.drop_column("attempts")
