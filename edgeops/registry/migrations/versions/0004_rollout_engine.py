"""Rollouts have a plan, deployments a way back, gates evidence; publications, patches and an audit trail."""

from __future__ import annotations

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema up; what stood in a rollout's columns becomes its plan."""
    with op.batch_alter_table("device") as batch:
        batch.add_column(sa.Column("spent_bytes", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("takes", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("device_model") as batch:
        for name in ("security_counter", "attempts", "retry_in_ms"):
            batch.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("artifact", sa.String(), nullable=True))
        batch.add_column(sa.Column("shadow", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("rollout") as batch:
        batch.add_column(sa.Column("plan", sa.JSON(), nullable=False, server_default="{}"))
        for name in ("stage_since", "judged_since"):
            batch.add_column(sa.Column(name, sa.Float(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("credit", sa.Float(), nullable=False, server_default="1"))
        batch.add_column(sa.Column("credit_at", sa.Float(), nullable=True))
        batch.add_column(sa.Column("created_by", sa.String(), nullable=False, server_default=""))
    _plans()
    with op.batch_alter_table("rollout") as batch:
        for name in ("selector", "stages", "max_failed_share"):
            batch.drop_column(name)
    with op.batch_alter_table("deployment") as batch:
        batch.alter_column("stage", existing_type=sa.Integer(), nullable=True)
        batch.add_column(sa.Column("reverted_generation", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("before", sa.String(), nullable=True))
        batch.add_column(sa.Column("baseline", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("since", sa.Float(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("confirmed_at", sa.Float(), nullable=True))
    _ways_back()
    op.create_index("ix_label_truth_device_id", "label_truth", ["device_id"])
    op.create_table(
        "gate_evidence",
        sa.Column("rollout_id", sa.Integer(), sa.ForeignKey("rollout.id"), primary_key=True),
        sa.Column("gate", sa.String(), primary_key=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("cursor", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("judged_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    op.create_index("ix_audit_entry_subject", "audit_entry", ["subject"])
    op.create_table(
        "blob_publication",
        sa.Column("sha256", sa.String(), primary_key=True),
        sa.Column("chunk_bytes", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.Float(), nullable=False),
        sa.Column("unneeded_since", sa.Float(), nullable=True),
    )
    op.create_table(
        "patch",
        sa.Column("base", sa.String(), primary_key=True),
        sa.Column("target", sa.String(), primary_key=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("codec", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("target_bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )


def downgrade() -> None:
    """Take the schema back; plans that the older schema cannot say are shortened to it."""
    op.drop_index("ix_label_truth_device_id", "label_truth")
    for name in ("patch", "blob_publication", "audit_entry", "gate_evidence"):
        op.drop_table(name)
    with op.batch_alter_table("deployment") as batch:
        for name in ("confirmed_at", "since", "baseline", "before", "attempt", "reverted_generation"):
            batch.drop_column(name)
    with op.batch_alter_table("rollout") as batch:
        batch.add_column(sa.Column("selector", sa.JSON(), nullable=False, server_default="{}"))
        batch.add_column(sa.Column("stages", sa.JSON(), nullable=False, server_default="[100]"))
        batch.add_column(sa.Column("max_failed_share", sa.Float(), nullable=False, server_default="0.1"))
    _older_words()
    with op.batch_alter_table("deployment") as batch:
        batch.alter_column("stage", existing_type=sa.Integer(), nullable=False)
    with op.batch_alter_table("rollout") as batch:
        for name in ("created_by", "credit_at", "credit", "judged_since", "stage_since", "plan"):
            batch.drop_column(name)
    with op.batch_alter_table("device_model") as batch:
        for name in ("shadow", "artifact", "retry_in_ms", "attempts", "security_counter"):
            batch.drop_column(name)
    with op.batch_alter_table("device") as batch:
        batch.drop_column("takes")
        batch.drop_column("spent_bytes")


def _quoted(value: str) -> str:
    """A value as selectors take it: what is not said with a backslash stands for itself."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _ways_back() -> None:
    """What a device runs, or ran before it took the version, is what it would go back to."""
    op.execute("UPDATE deployment SET confirmed_at = decided_at WHERE state = 'confirmed'")
    op.execute(
        """
        UPDATE deployment SET before = (
            SELECT CASE WHEN said.confirmed = version.manifest_sha256 THEN said.previous ELSE said.confirmed END
            FROM rollout
            JOIN model_version AS version ON version.id = rollout.model_version_id
            JOIN device_model AS said ON said.model = version.model
            WHERE rollout.id = deployment.rollout_id AND said.device_id = deployment.device_id
        ) WHERE offered_at IS NOT NULL
        """
    )


def _older_words() -> None:
    """States and stages as the older schema knows them; what it cannot say is held, or over."""
    states = {"SOAKING": "RUNNING", "NEEDS_APPROVAL": "HELD", "PAUSED": "HELD"}
    states |= dict.fromkeys(("ABORTED", "ROLLING_BACK", "ROLLED_BACK"), "SUPERSEDED")
    connection = op.get_bind()
    for number, state, stage, stored in connection.execute(
        sa.text("SELECT id, state, stage, plan FROM rollout")
    ).all():
        plan = json.loads(stored)
        shares = [text.removesuffix("%") for text in plan["stages"] if text.endswith("%")]
        whole = len(shares) == len(plan["stages"])
        limits = [gate["limit"] for gate in plan.get("gates", ()) if gate["name"] == "install"]
        row = {
            "id": number,
            "state": states.get(state, state),
            "stages": json.dumps([int(share) for share in shares] if whole else [100]),
            "stage": stage if whole else 0,
            "share": limits[0] if limits else 1.0,
        }
        connection.execute(
            sa.text(
                "UPDATE rollout SET state = :state, stages = :stages, stage = :stage, max_failed_share = :share"
                " WHERE id = :id"
            ),
            row,
        )
    op.execute(
        "UPDATE deployment SET state = 'failed' WHERE state NOT IN ('waiting', 'offered', 'confirmed', 'failed')"
    )
    op.execute("UPDATE deployment SET stage = 0 WHERE stage IS NULL")


def _plans() -> None:
    """Selector, stages and the share of failures of the older schema, as a plan."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, selector, stages, max_failed_share FROM rollout")).all()
    for number, selector, stages, share in rows:
        words = " and ".join(
            f"{key} = {_quoted(value)}" for key, value in sorted(json.loads(selector).items())
        )
        plan = {
            "to": words,
            "stages": [f"{percent}%" for percent in json.loads(stages)],
            "gates": [{"name": "install", "limit": share}],
        }
        connection.execute(
            sa.text("UPDATE rollout SET plan = :plan WHERE id = :id"),
            {"plan": json.dumps(plan), "id": number},
        )
