"""A run keeps what is needed to show it and to train it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("record", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Take the schema back."""
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_column("record")
