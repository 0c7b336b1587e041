"""A retrain keeps what it tried and what it proposes; a version may be for some devices alone."""

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
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.add_column(sa.Column("selector", sa.String(), nullable=True))


def downgrade() -> None:
    """Take the schema back."""
    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.drop_column("selector")
    with op.batch_alter_table("retrain", schema=None) as batch_op:
        batch_op.drop_column("proposal")
        batch_op.drop_column("attempts")
