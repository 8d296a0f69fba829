"""What programs may do in the name of a visitor: grants of OAuth. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oauth_grants",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("client_id", sa.String(1024), nullable=False),
        sa.Column("client_name", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("claims", sa.LargeBinary(), nullable=False),
        sa.Column("redirect", sa.String(512), nullable=False),
        sa.Column("challenge", sa.String(64), nullable=False),
        sa.Column("code_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("code_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("code_used_at", sa.BigInteger(), nullable=True),
        sa.Column("refresh_sha256", sa.String(64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_oauth_grants_subject", "oauth_grants", ["subject"])
    op.create_index("ix_oauth_grants_expires_at", "oauth_grants", ["expires_at"])


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
