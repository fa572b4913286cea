"""members, scopes of tokens, sealed secrets, and the audit log as a chain"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from serinus.core.chain import GENESIS, link

revision = "0006"
down_revision = "0005"

#: Entries chained at once.
BATCH = 5000


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_members_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    present = sa.text("removed_at IS NULL")
    op.create_index(
        "uq_member_name",
        "members",
        ["tenant_id", "name"],
        unique=True,
        sqlite_where=present,
        postgresql_where=present,
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    # All added in place: for anything more SQLite writes the table anew, which would take the sessions
    # that hang on tokens with it, and the log may be long.
    op.execute(
        "ALTER TABLE tokens ADD COLUMN member_id VARCHAR(40) "
        "CONSTRAINT fk_tokens_member_id REFERENCES members (id)"
    )
    op.add_column("tokens", sa.Column("services", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    op.add_column("tokens", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_tokens_member_id", "tokens", ["member_id"], unique=False)
    op.add_column("tenants", sa.Column("audit_head", sa.String(64), nullable=False, server_default=GENESIS))
    op.add_column("audit_log", sa.Column("seq", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("audit_log", sa.Column("hash", sa.String(64), nullable=False, server_default=""))
    _chain(op.get_bind())
    op.create_index("uq_audit_log_tenant_id_seq", "audit_log", ["tenant_id", "seq"], unique=True)
    op.drop_index("ix_audit_log_tenant_id_id", table_name="audit_log")


def _chain(connection: sa.Connection) -> None:
    """Number and hash what was written before there was a chain, oldest first."""
    names = ("tenant_id", "actor", "token_id", "action", "target", "outcome", "request_id", "data")
    columns: list[sa.ColumnClause[str]] = [sa.column(name) for name in names if name != "data"]
    log = sa.table(
        "audit_log",
        sa.column("id"),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("data", sa.JSON()),
        sa.column("seq"),
        sa.column("hash"),
        *columns,
    )
    tenants = sa.table("tenants", *map(sa.column, ("id", "audit_total", "audit_head")))
    chained = (
        sa.update(log)
        .where(log.c.id == sa.bindparam("row"))
        .values(seq=sa.bindparam("number"), hash=sa.bindparam("made"))
    )
    for (tenant,) in connection.execute(sa.select(tenants.c.id)).all():
        last, seq, head = 0, 0, GENESIS
        while True:
            mine = (log.c.tenant_id == tenant) & (log.c.id > last)
            rows = connection.execute(sa.select(log).where(mine).order_by(log.c.id).limit(BATCH)).all()
            if not rows:
                break
            changes = []
            for row in rows:
                seq += 1
                fields = {name: getattr(row, name) for name in names}
                head = link(head, seq, _aware(row.at), fields)
                changes.append({"row": row.id, "number": seq, "made": head})
            connection.execute(chained, changes)
            last = rows[-1].id
        kept = sa.update(tenants).where(tenants.c.id == tenant)
        connection.execute(kept.values(audit_total=seq, audit_head=head))


def _aware(at: datetime) -> datetime:
    """SQLite forgets the zone; what is stored is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
