"""What CAs gave to their customers. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "acme_external_accounts",
        sa.Column("directory", sa.String(2048), primary_key=True),
        sa.Column("key_id", sa.String(1024), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
