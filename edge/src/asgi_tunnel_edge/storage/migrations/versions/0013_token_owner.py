"""Whose a token is: a user of this edge, who sees it in the dashboard. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("owner", sa.String(63), nullable=False, server_default=""))
    op.create_index("ix_tokens_owner", "tokens", ["owner"])


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
