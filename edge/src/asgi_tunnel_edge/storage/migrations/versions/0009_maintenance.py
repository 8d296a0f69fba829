"""Hostnames that are closed for maintenance. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "maintenance",
        sa.Column(
            "hostname",
            sa.String(255),
            sa.ForeignKey("hostnames.hostname", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(300), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("allow", sa.String(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
