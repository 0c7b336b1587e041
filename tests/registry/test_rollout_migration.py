"""Schema 0004: rollouts of the schema before become plans that read the same, and can go back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlmodel import select
from support.old_registry import migrate, put

from edgeops.fleet.active_rollouts import active
from edgeops.fleet.rollout.gates import GateRule
from edgeops.fleet.rollout.plan import plan_from_dict
from edgeops.fleet.rollouts import deployments_of, load
from edgeops.registry.store import open_registry
from edgeops.registry.tables import Rollout

STATES = ("RUNNING", "HELD", "COMPLETED", "SUPERSEDED")
DEPLOYED = ("waiting", "offered", "confirmed", "failed")
SITE = 'Köln "am \\ Rhein"\n2'


def fill(connection: Connection) -> None:
    """Rollouts in every state that there was, each with a device in every state."""
    insert = {
        "dataset_version": {
            "id": 1,
            "name": "d",
            "version": 1,
            "sha256": "0",
            "kind": "image",
            "folder": "x",
        },
        "run": {"id": 1, "recipe": "r", "recipe_digest": "0", "dataset_id": 1, "seed": 1, "seconds": 1.0},
        "model_version": {
            "id": 1,
            "model": "tiny",
            "version": 1,
            "state": "registered",
            "run_id": 1,
            "artifact_sha256": "0",
            "artifact_bytes": 10,
            "manifest_sha256": "ab" * 32,
        },
    }
    for table, row in insert.items():
        put(connection, table, {**row, "created_at": 1.0})
    for state in DEPLOYED:
        put(connection, "device", {"id": state, "enrolled_at": 1.0})
    for device, confirmed, previous in (("confirmed", "ab" * 32, "cd" * 32), ("offered", "cd" * 32, None)):
        said = {"device_id": device, "model": "tiny", "lifecycle": "CONFIRMED", "generation": 7}
        put(connection, "device_model", {**said, "confirmed": confirmed, "previous": previous})
    for number, state in enumerate(STATES, 1):
        rollout = {
            "id": number,
            "model_version_id": 1,
            "state": state,
            "selector": json.dumps({"site": SITE, "hall": "3"}),
            "stages": "[10, 50, 100]",
            "stage": 1,
            "max_failed_share": 0.25,
            "created_at": 5.0,
        }
        put(connection, "rollout", rollout)
        for deployed in DEPLOYED:
            row = {
                "rollout_id": number,
                "device_id": deployed,
                "stage": 1,
                "state": deployed,
                "generation": 7,
            }
            put(connection, "deployment", {**row, "offered_at": None if deployed == "waiting" else 6.0})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "registry.db", "0003", fill)
    return tmp_path / "registry.db"


def test_every_rollout_keeps_what_it_was_asked_to_do(path: Path) -> None:
    registry = open_registry(path)
    with registry.reading() as session:
        rollouts = session.exec(select(Rollout)).all()
        assert [rollout.state for rollout in rollouts] == list(STATES)
        for rollout in rollouts:
            plan = plan_from_dict(rollout.plan)
            assert list(map(str, plan.stages)) == ["10%", "50%", "100%"]
            assert plan.gates == (GateRule("install", 0.25, 1, "hold"),)
            assert plan.selector.selects({"site": SITE, "hall": "3"})
            assert not plan.selector.selects({"site": SITE})
            state = load(rollout, deployments_of(session, rollout))
            assert {d.device_id: d.state for d in state.deployments.values()} == {s: s for s in DEPLOYED}
            assert state.deployments["waiting"].offered_at is None
            assert state.deployments["confirmed"].offered_at == 6.0
            before = {row.device_id: row.before for row in deployments_of(session, rollout).values()}
            assert (before["confirmed"], before["offered"], before["waiting"]) == ("cd" * 32, "cd" * 32, None)
        assert [rollout.state for rollout in active(session)] == ["RUNNING", "HELD", "COMPLETED"]
    registry.close()


def test_it_goes_down_and_up_again_with_its_rollouts(path: Path) -> None:
    open_registry(path).close()
    found = []
    migrate(path, "0003", lambda c: found.extend(c.execute(text("SELECT state, stage, stages FROM rollout"))))
    assert [tuple(row) for row in found] == [(state, 1, "[10, 50, 100]") for state in STATES]
    registry = open_registry(path)
    with registry.reading() as session:
        assert [r.state for r in session.exec(select(Rollout))] == list(STATES)
        assert all(len(deployments_of(session, r)) == 4 for r in session.exec(select(Rollout)))
    registry.close()
