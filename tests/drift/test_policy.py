"""The retrain policy as a table."""

from __future__ import annotations

import pytest

from edgeops.drift.policy import AlarmFacts, Evidence, RetrainPolicy, decide

POLICY = RetrainPolicy()


def fleet(*facts: tuple[int, int], samples: int = 0, devices: int = 20) -> Evidence:
    return Evidence(devices, {f"dev-{i}": AlarmFacts(*f) for i, f in enumerate(facts)}, samples)


@pytest.mark.parametrize(
    ("evidence", "kind", "says"),
    [
        (fleet(), "none", "None of 20 devices"),
        (fleet(samples=1000), "none", "None of 20"),
        (fleet((0, 0)), "collect", "1 of 20 devices"),
        (fleet((2, 1)), "wait", "2 of 3 windows"),
        (fleet((3, 2)), "sensor_fault", "of 2 that a retrain needs"),
        (fleet((50, 40), samples=1000), "sensor_fault", "1 of 20"),
        (fleet((3, 0)), "sensor_fault", "sensor"),
        (fleet((0, 0), (4, 3)), "collect", "2 of 20 devices drifted, 1 of them"),
        (fleet((2, 9), (9, 9), samples=100), "wait", "2 of 3 windows ago"),
        (fleet((3, 9), (9, 5), samples=100), "wait", "5 of 6 windows"),
        (fleet((9, 6), (9, 6), samples=59), "wait", "59 of 60 labelled"),
        (fleet((9, 6), (9, 6), samples=60), "retrain", "60 labelled"),
        (fleet((3, 6), (3, 6), samples=60), "retrain", "2 of 20 devices"),
        (fleet(*[(9, 9)] * 9, samples=500, devices=100), "sensor_fault", "of 10 that"),
        (fleet(*[(9, 9)] * 10, samples=500, devices=100), "retrain", "10 of 100"),
        (fleet((9, 9), samples=60, devices=1), "retrain", "1 of 1 device "),
    ],
)
def test_the_policy(evidence: Evidence, kind: str, says: str) -> None:
    decision = decide(POLICY, evidence)
    assert decision.kind == kind
    assert says in decision.reason
    assert decision.reason.endswith(".")


def test_a_lone_device_never_leads_to_a_retrain_in_a_larger_fleet() -> None:
    for since in range(12):
        for captured in range(12):
            assert decide(POLICY, fleet((since, captured), samples=10_000)).kind != "retrain"


@pytest.mark.parametrize(("devices", "needed"), [(1, 1), (2, 2), (20, 2), (21, 3), (30, 3), (1000, 100)])
def test_how_many_devices_make_a_world(devices: int, needed: int) -> None:
    assert POLICY.needed(devices) == needed


@pytest.mark.parametrize("bad", [{"min_devices": 0}, {"min_share": 1.5}, {"min_samples": -1}])
def test_a_policy_without_meaning_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="retrain policy"):
        RetrainPolicy(**bad)
