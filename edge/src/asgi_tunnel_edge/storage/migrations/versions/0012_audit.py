"""In whose name a change was made, and a bound for the table. Forward only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("by", sa.String(255), nullable=False, server_default=""))
    # 50,000 is audit.MAX_AUDIT. A hundred at a time: a change need not delete one row each.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_is_bounded() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN DELETE FROM audit WHERE id <= new.id - 50000; RETURN NULL; END'"
        )
        op.execute(
            "CREATE TRIGGER audit_is_bounded AFTER INSERT ON audit FOR EACH ROW "
            "WHEN (new.id % 100 = 0) EXECUTE FUNCTION audit_is_bounded()"
        )
        return
    op.execute(
        "CREATE TRIGGER audit_is_bounded AFTER INSERT ON audit WHEN new.id % 100 = 0 "
        "BEGIN DELETE FROM audit WHERE id <= new.id - 50000; END"
    )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a copy of the database")
