"""Alembic's entry: uses the connection that it is given and leaves the transaction to its owner."""

from __future__ import annotations

from alembic import context

from serinus.drivers.store.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite"
)
context.run_migrations()
