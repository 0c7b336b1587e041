"""How a dataset version came to be: its source, how it was split, the sample rate, what was assumed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    with op.batch_alter_table("dataset_version", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("split", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("sample_rate_hz", sa.Float(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("notes", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    """Take the schema back."""
    with op.batch_alter_table("dataset_version", schema=None) as batch_op:
        for name in ("notes", "sample_rate_hz", "split", "source"):
            batch_op.drop_column(name)
