"""The secret that a token had before its last rotation, and when a token was used. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("old_secret_sha256", sa.String(64), nullable=True))
    op.add_column("tokens", sa.Column("old_until", sa.BigInteger(), nullable=True))
    op.add_column("tokens", sa.Column("last_used_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
