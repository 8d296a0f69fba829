"""Hostnames whose TLS is spoken by the app. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "hostnames",
        sa.Column("end_to_end", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
