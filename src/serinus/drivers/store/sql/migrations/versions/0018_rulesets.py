"""versions of rulesets, and the log of their executions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "ruleset_versions",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("service_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("engine", sa.String(length=60), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("changelog", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("cases", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_ruleset_versions_tenant_id")),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name=op.f("fk_ruleset_versions_service_id")),
        sa.PrimaryKeyConstraint("service_id", "version", name=op.f("pk_ruleset_versions")),
    )
    with op.batch_alter_table("ruleset_versions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_ruleset_versions_tenant_id_service_id_created_at"),
            ["tenant_id", "service_id", "created_at"],
            unique=False,
        )
    op.create_table(
        "canary_execution_logs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("service_id", sa.String(length=40), nullable=False),
        sa.Column("deployment_id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("is_canary", sa.Boolean(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("priority", sa.String(length=20), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("error_kind", sa.String(length=20), nullable=False),
        sa.Column("differs", sa.Boolean(), nullable=False),
        sa.Column("input", sa.JSON(), nullable=True),
        sa.Column("output", sa.JSON(), nullable=True),
        sa.Column("differences", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_canary_execution_logs_tenant_id")
        ),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_canary_execution_logs_service_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canary_execution_logs")),
    )
    with op.batch_alter_table("canary_execution_logs", schema=None) as batch_op:
        for columns in (["service_id", "at"], ["deployment_id", "at"]):
            name = batch_op.f(f"ix_canary_execution_logs_{'_'.join(columns)}")
            batch_op.create_index(name, columns, unique=False)
