"""Several edges on one store: what they know of each other; on PostgreSQL also its notifications.

Forward only. On PostgreSQL, each edge listens for what ``watcher`` finds by a counter in an SQLite
file. Text is compared byte by byte there, too, whatever the server's locale: lists have one order,
and no index breaks when the system's locale changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cluster_secrets",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "cluster_nodes",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("peer_address", sa.String(255), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _compare_bytes()
        # What SQLite has by itself: of two tokens of one second, which was kept first.
        op.execute("ALTER TABLE tokens ADD COLUMN rowid BIGSERIAL")
        op.execute("ALTER TABLE access_users ALTER COLUMN epoch TYPE BIGINT")
        op.execute(
            "CREATE FUNCTION asgi_tunnel_changed() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN NOTIFY asgi_tunnel_store; RETURN NULL; END'"
        )
        # Each change that a running edge follows raises a number there (``database``).
        op.execute(
            "CREATE TRIGGER asgi_tunnel_changed AFTER INSERT OR UPDATE OR DELETE ON meta "
            "FOR EACH STATEMENT EXECUTE FUNCTION asgi_tunnel_changed()"
        )


def _compare_bytes() -> None:
    inspector = sa.inspect(op.get_bind())
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            kind = column["type"]
            if isinstance(kind, sa.String):
                length = "" if kind.length is None else f"({kind.length})"
                op.execute(
                    f'ALTER TABLE {table} ALTER COLUMN "{column["name"]}" '
                    f'TYPE VARCHAR{length} COLLATE "C"'
                )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
