"""Alembic's entry: runs the migrations on the connection that ``store`` hands in."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from edgeops.registry import tables

assert tables.DatasetVersion.__tablename__  # the import fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
