"""ACME: accounts, certificates, orders in progress, failures, caps and leases. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "acme_accounts",
        sa.Column("directory", sa.String(2048), primary_key=True),
        sa.Column("url", sa.String(2048), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "acme_certificates",
        sa.Column("directory", sa.String(2048), primary_key=True),
        sa.Column("names", sa.String(), primary_key=True),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("ari_id", sa.String(255), nullable=True),
        sa.Column("profile", sa.String(255), nullable=True),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("renew_at", sa.BigInteger(), nullable=False),
        sa.Column("ari_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "acme_orders",
        sa.Column("directory", sa.String(2048), primary_key=True),
        sa.Column("names", sa.String(), primary_key=True),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("profile", sa.String(255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "acme_failures",
        sa.Column("directory", sa.String(2048), primary_key=True),
        sa.Column("names", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.BigInteger(), nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.Column("sentence", sa.String(), nullable=False),
    )
    op.create_table(
        "acme_attempts",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("directory", sa.String(2048), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_acme_attempts_at", "acme_attempts", ["at"])
    op.create_table(
        "acme_leases",
        sa.Column("directory", sa.String(2048), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
