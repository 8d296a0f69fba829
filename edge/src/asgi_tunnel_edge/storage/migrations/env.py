"""Runs migrations on the connection that ``Store.migrate`` opened, within its transaction."""

from __future__ import annotations

from alembic import context

from asgi_tunnel_edge.storage.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot change a column in place
)
with context.begin_transaction():
    context.run_migrations()
