"""assignments: counted by slices, without what nobody reads; placements by hand"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _lean()
    op.create_table(
        "assignment_slices",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("book", sa.String(length=60), nullable=False),
        sa.Column("slice", sa.Integer(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _tenant("assignment_slices"),
        sa.PrimaryKeyConstraint("book", "slice", name=op.f("pk_assignment_slices")),
    )
    op.execute(
        "INSERT INTO assignment_slices (tenant_id, book, slice, units, version) "
        "SELECT tenant_id, book, bucket / 100, count(*), 1 FROM assignments "
        "GROUP BY tenant_id, book, bucket / 100"
    )
    op.create_table(
        "placements",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("deployment_id", sa.String(length=40), nullable=False),
        sa.Column("unit_hash", sa.String(length=16), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name=op.f("fk_placements_deployment_id"),
            ondelete="CASCADE",
        ),
        _tenant("placements"),
        sa.PrimaryKeyConstraint("deployment_id", "unit_hash", name=op.f("pk_placements")),
    )


def _lean() -> None:
    """Make the table anew: by book, with what is read and no more; on SQLite the key is the table."""
    for columns in ("assigned_at", "bucket", "priority_key"):
        op.drop_index(f"ix_assignments_deployment_id_{columns}", "assignments")
    op.rename_table("assignments", "assignments_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE assignments_before DROP CONSTRAINT pk_assignments")
    op.create_table(
        "assignments",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("book", sa.String(length=60), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("unit_hash", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        _tenant("assignments"),
        sa.PrimaryKeyConstraint("book", "bucket", "unit_hash", name=op.f("pk_assignments")),
        sqlite_with_rowid=False,
    )
    kept = "tenant_id, {}, unit_hash, bucket, priority, key, assigned_at"
    into, old = kept.format("book"), kept.format("deployment_id")
    op.execute(f"INSERT INTO assignments ({into}) SELECT {old} FROM assignments_before")  # noqa: S608
    op.drop_table("assignments_before")
    op.create_index(op.f("ix_assignments_book_assigned_at"), "assignments", ["book", "assigned_at"])


def _tenant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id"))
