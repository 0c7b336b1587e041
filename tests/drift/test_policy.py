"""The retrain policy as a table, and as laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.drift.delays import Ledger
from edgeops.drift.diagnosis import diagnose
from edgeops.drift.policy import ALARMS, AlarmFacts, Evidence, RetrainPolicy, decide, sustained
from edgeops.training.recipe import keys

POLICY = RetrainPolicy()
HOUR = 3600.0


def fleet(
    *facts: tuple[int, int], samples: int = 0, devices: int = 20, ledger: Ledger | None = None
) -> Evidence:
    alarmed = {f"dev-{i}": AlarmFacts(*f) for i, f in enumerate(facts)}
    return Evidence(devices, alarmed, samples, ledger or Ledger())


READY = fleet((9, 6), (9, 6), samples=60)


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
        (READY, "retrain", "60 labelled"),
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


@pytest.mark.parametrize(
    ("policy", "ledger", "says"),
    [
        ({"cooldown_hours": 24}, Ledger(since_retrain_s=5 * HOUR), "5.0 h ago and 24 h must pass"),
        ({"retrains_a_month": 4}, Ledger(retrains=4), "4 of 4 retrains of 30 days"),
        ({"bytes_a_month": 1000}, Ledger(pushed_bytes=1001), "1001 of 1000 bytes"),
        ({"quiet_hours": "22:00-06:00"}, Ledger(quiet=True), "quiet hours"),
    ],
)
def test_what_delays_a_retrain(policy: dict, ledger: Ledger, says: str) -> None:
    limited = RetrainPolicy(**policy)
    decision = decide(limited, replace(READY, ledger=ledger))
    assert (decision.kind, says in decision.reason) == ("wait", True), decision
    assert decide(limited, READY).kind == "retrain"
    still = fleet((9, 0), (9, 0), ledger=ledger)
    assert decide(limited, still).kind == "collect"  # meanwhile samples are collected


def test_a_limit_that_is_reached_no_more_delays_nothing() -> None:
    policy = RetrainPolicy(cooldown_hours=24, retrains_a_month=4, bytes_a_month=1000)
    over = Ledger(since_retrain_s=24 * HOUR, retrains=3, pushed_bytes=999)
    assert decide(policy, replace(READY, ledger=over)).kind == "retrain"


def test_samples_must_be_new_after_a_retrain() -> None:
    after = fleet((9, 6), (9, 6), samples=10, ledger=Ledger(since_retrain_s=99 * HOUR))
    assert "10 of 60 new labelled samples" in decide(POLICY, after).reason


@pytest.mark.parametrize("kind", ALARMS)
def test_the_kinds_that_count_are_the_policys(kind: str) -> None:
    drifting = {f"dev-{i}": AlarmFacts(9, 9, kinds=frozenset({kind})) for i in range(5)}
    evidence = Evidence(20, drifting, 100)
    assert decide(RetrainPolicy(alarms=(kind,)), evidence).kind == "retrain"
    others = tuple(other for other in ALARMS if other != kind)
    assert decide(RetrainPolicy(alarms=others), evidence).kind == "none"


def test_quality_alone_is_the_sensors_and_never_the_models() -> None:
    broken = {f"dev-{i}": AlarmFacts(9, 9, kinds=frozenset({"quality"})) for i in range(15)}
    assert decide(POLICY, Evidence(20, broken, 1000)).kind == "sensor_fault"
    with pytest.raises(ValueError, match="alarms are one or more"):
        RetrainPolicy(alarms=("quality",))


def test_a_device_that_is_quiet_again_does_not_count() -> None:
    two = {"a": AlarmFacts(9, 9), "b": AlarmFacts(9, 9, cleared=True)}
    assert decide(POLICY, Evidence(20, two, 100)).kind == "sensor_fault"
    assert decide(POLICY, Evidence(20, {"b": two["b"]}, 100)).kind == "none"


class TestOneBrokenCameraAmongTwenty:
    """Diagnosis and policy together, on what twenty cameras have said."""

    CAMERAS = {f"cam-{n:02d}": {"site": "berlin" if n < 10 else "rome"} for n in range(20)}  # noqa: RUF012

    def alarmed(self, count: int) -> dict[str, AlarmFacts]:
        return {name: AlarmFacts(12, 10) for name in sorted(self.CAMERAS)[:count]}

    def test_is_a_sensor_and_triggers_no_retrain(self) -> None:
        alarmed = self.alarmed(1)
        assert diagnose(self.CAMERAS, frozenset(alarmed)).kind == "device"
        decision = decide(POLICY, Evidence(20, alarmed, 10_000))
        assert decision.kind == "sensor_fault"
        assert "1 of 20 devices" in decision.reason

    def test_ten_of_them_are_a_cohort_and_do(self) -> None:
        alarmed = self.alarmed(10)
        diagnosis = diagnose(self.CAMERAS, frozenset(alarmed))
        assert (diagnosis.kind, diagnosis.selector) == ("cohort", 'site = "berlin"')
        assert decide(POLICY, Evidence(20, alarmed, 100)).kind == "retrain"


class TestSustained:
    @pytest.mark.parametrize(
        ("flags", "n", "m", "quiet", "drifts"),
        [
            ("", 1, 1, 1, False),
            ("x", 1, 1, 1, True),
            ("x.", 1, 1, 2, True),
            ("x..", 1, 1, 2, False),
            ("x.x", 2, 2, 3, False),
            ("x.x", 2, 3, 3, True),
            ("xx....x", 2, 3, 9, True),
            ("xx..x", 2, 5, 2, False),  # what was before it ended does not count anew
            ("xx..xx", 2, 5, 2, True),
        ],
    )
    def test_begins_and_ends(self, flags: str, n: int, m: int, quiet: int, drifts: bool) -> None:
        assert sustained([flag == "x" for flag in flags], n, m, quiet) is drifts

    @given(st.lists(st.booleans(), max_size=30), st.integers(1, 5), st.integers(0, 5), st.integers(1, 6))
    def test_laws(self, flags: list[bool], n: int, more: int, quiet: int) -> None:
        m = n + more
        assert not sustained([*flags, *[False] * quiet], n, m, quiet) or quiet < 1
        assert sustained([*flags, *[True] * n], n, m, quiet)
        if sum(flags) < n:
            assert not sustained(flags, n, m, quiet)


windows = st.integers(0, 12)
facts = st.builds(
    AlarmFacts,
    windows,
    windows,
    st.booleans(),
    st.sets(st.sampled_from((*ALARMS, "quality")), min_size=1).map(frozenset),
    st.booleans(),
)
ledgers = st.builds(
    Ledger,
    st.none() | st.floats(0, 1e7),
    st.integers(0, 20),
    st.integers(0, 10_000),
    st.booleans(),
)
evidences = st.builds(
    lambda devices, alarmed, samples, ledger: Evidence(max(devices, len(alarmed)), alarmed, samples, ledger),
    st.integers(0, 40),
    st.dictionaries(st.sampled_from([f"d{n}" for n in range(12)]), facts),
    st.integers(0, 200),
    ledgers,
)
policies = st.builds(
    RetrainPolicy,
    min_devices=st.integers(1, 5),
    min_share=st.floats(0, 1),
    settle_windows=st.integers(0, 5),
    capture_windows=st.integers(0, 8),
    min_samples=st.integers(0, 100),
    cooldown_hours=st.floats(0, 1000),
    retrains_a_month=st.integers(0, 10),
    bytes_a_month=st.integers(0, 10_000),
)


class TestLaws:
    @given(policies, evidences, facts, st.integers(0, 100))
    def test_more_evidence_never_turns_a_retrain_to_none(
        self, policy: RetrainPolicy, evidence: Evidence, another: AlarmFacts, samples: int
    ) -> None:
        if decide(policy, evidence).kind != "retrain":
            return
        richer = replace(
            evidence,
            devices_in_fleet=evidence.devices_in_fleet + 1,
            alarmed={**evidence.alarmed, "another": another},
            labelled_samples=evidence.labelled_samples + samples,
        )
        assert decide(policy, richer).kind != "none"
        assert decide(policy, replace(richer, alarmed=evidence.alarmed)).kind != "none"
        assert decide(
            policy, replace(evidence, labelled_samples=evidence.labelled_samples + samples)
        ).kind == ("retrain")

    @given(policies, evidences)
    def test_limits_only_ever_delay(self, policy: RetrainPolicy, evidence: Evidence) -> None:
        free = decide(policy, replace(evidence, ledger=Ledger())).kind
        limited = decide(policy, evidence).kind
        assert limited == free or (free, limited) == ("retrain", "wait")

    @given(policies, evidences, st.floats(0, 1e7))
    def test_a_cooldown_ends(self, policy: RetrainPolicy, evidence: Evidence, more: float) -> None:
        if decide(policy, evidence).kind == "retrain" and evidence.ledger.since_retrain_s is not None:
            later = replace(evidence.ledger, since_retrain_s=evidence.ledger.since_retrain_s + more)
            assert decide(policy, replace(evidence, ledger=later)).kind == "retrain"

    @given(policies, facts, st.integers(2, 40), st.integers(0, 1000), ledgers)
    def test_a_lone_device_needs_a_policy_that_says_so(
        self, policy: RetrainPolicy, lone: AlarmFacts, devices: int, samples: int, ledger: Ledger
    ) -> None:
        policy = replace(policy, min_devices=max(policy.min_devices, 2))
        assert decide(policy, Evidence(devices, {"lone": lone}, samples, ledger)).kind != "retrain"

    @given(policies, evidences)
    def test_a_decision_replays(self, policy: RetrainPolicy, evidence: Evidence) -> None:
        assert decide(policy, evidence) == decide(policy, evidence)
        backwards = dict(reversed(evidence.alarmed.items()))
        assert decide(policy, replace(evidence, alarmed=backwards)) == decide(policy, evidence)


@pytest.mark.parametrize(("devices", "needed"), [(1, 1), (2, 2), (20, 2), (21, 3), (30, 3), (1000, 100)])
def test_how_many_devices_make_a_world(devices: int, needed: int) -> None:
    assert POLICY.needed(devices) == needed


@pytest.mark.parametrize(
    "bad",
    [
        {"min_devices": 0},
        {"min_share": 1.5},
        {"min_samples": -1},
        {"sustained": 3, "sustained_of": 2},
        {"sustained": 0},
        {"sustained_of": 17},
        {"quiet_windows": 0},
        {"cooldown_hours": -1.0},
        {"alarms": ()},
        {"alarms": ("data", "data")},
    ],
)
def test_a_policy_without_meaning_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="retrain policy"):
        RetrainPolicy(**bad)


def test_a_recipe_can_say_all_of_it_and_nothing_else() -> None:
    assert tuple(keys.POLICY) == tuple(RetrainPolicy.__dataclass_fields__)
    assert keys.ALARMS == ALARMS
