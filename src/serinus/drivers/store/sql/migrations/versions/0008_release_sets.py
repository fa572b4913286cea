"""release sets with their timeline, and a tenant's freezes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "release_sets",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("lease_owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_release_sets_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_sets")),
    )
    with op.batch_alter_table("release_sets", schema=None) as batch_op:
        for columns in (["tenant_id", "created_at"], ["state"]):
            batch_op.create_index(batch_op.f(f"ix_release_sets_{'_'.join(columns)}"), columns, unique=False)
    op.create_table(
        "release_set_events",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("set_id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_release_set_events_tenant_id")),
        sa.ForeignKeyConstraint(
            ["set_id"], ["release_sets.id"], name=op.f("fk_release_set_events_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_set_events")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("release_set_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_release_set_events_set_id_id"), ["set_id", "id"], unique=False)
    op.create_table(
        "freezes",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_freezes_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_freezes")),
    )
