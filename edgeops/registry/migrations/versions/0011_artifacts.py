"""The forms of a model version beside its ``.tflite``, and what a device has free."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up."""
    with op.batch_alter_table("model_version") as table:
        table.add_column(sa.Column("artifacts", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("device") as table:
        table.add_column(sa.Column("free_bytes", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take the schema back."""
    with op.batch_alter_table("device") as table:
        table.drop_column("free_bytes")
    with op.batch_alter_table("model_version") as table:
        table.drop_column("artifacts")
