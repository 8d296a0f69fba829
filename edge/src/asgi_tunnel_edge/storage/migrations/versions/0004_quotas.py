"""What differs for one token from ``[limits]``. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("max_tunnels", "max_pending", "max_memory", "max_visitors", "max_frames"):
        op.add_column("tokens", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
