"""One device is a sensor, a cohort is what its devices share, and the fleet is the world."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.drift.diagnosis import Meanwhile, diagnose, with_versions

FLEET = {
    f"cam-{n:02d}": {
        "site": "berlin" if n < 10 else "rome",
        "lens": "wide" if n % 2 else "long",
        "target": "linux",
    }
    for n in range(20)
}


def of(*numbers: int):
    return diagnose(FLEET, frozenset(f"cam-{n:02d}" for n in numbers))


def test_one_broken_camera_of_twenty_is_a_sensor() -> None:
    found = of(3)
    assert (found.kind, found.selector) == ("device", None)
    assert "sensor" in found.words


def test_what_the_drifted_devices_share_and_the_others_do_not_is_named() -> None:
    found = of(*range(10))
    assert (found.kind, found.selector) == ("cohort", 'site = "berlin"')
    assert (found.coverage, found.contrast) == (1.0, 1.0)
    assert 'site = "berlin"' in found.words


def test_an_explanation_may_miss_a_device_and_have_one_too_many() -> None:
    found = of(*range(1, 10), 15)
    assert (found.kind, found.selector) == ("cohort", 'site = "berlin"')
    assert found.coverage == pytest.approx(0.9)
    assert found.contrast == pytest.approx(0.9 - 0.1)


def test_nearly_all_is_the_world() -> None:
    assert of(*range(17)).kind == "fleet"
    assert diagnose({"a": {}, "b": {}}, frozenset({"a", "b"})).kind == "fleet"


def test_what_could_be_chance_is_no_explanation() -> None:
    assert of(0, 2).kind == "scattered"  # both in berlin with a long lens, as five devices of twenty are
    assert of(0, 1, 12, 13).kind == "scattered"


def test_what_all_devices_have_explains_nothing() -> None:
    assert "target" not in (of(*range(10)).selector or "")


def test_a_device_that_left_still_counts() -> None:
    assert diagnose({}, frozenset({"gone"})).devices == 1


@given(st.sets(st.integers(0, 19), min_size=1))
def test_every_diagnosis_is_within_its_bounds_and_in_words(numbers: set[int]) -> None:
    found = of(*numbers)
    assert 0 <= found.coverage <= 1
    assert -1 <= found.contrast <= 1
    assert (found.selector is not None) == (found.kind == "cohort")
    assert found.words.endswith(".")


class TestVersions:
    def test_what_drifts_at_once_while_the_others_do_not_is_the_version(self) -> None:
        found = with_versions(of(*range(20)), Meanwhile(devices=8, drifted=1, early=18))
        assert found.kind == "version"
        assert "quantization" in found.words

    @pytest.mark.parametrize(
        "meanwhile",
        [Meanwhile(8, 7, 18), Meanwhile(2, 0, 18), Meanwhile(8, 0, 3)],
        ids=["the others drifted too", "there are hardly any others", "it was long after they got it"],
    )
    def test_else_it_is_the_world(self, meanwhile: Meanwhile) -> None:
        assert with_versions(of(*range(20)), meanwhile).kind == "fleet"

    def test_one_device_stays_a_sensor(self) -> None:
        assert with_versions(of(3), Meanwhile(8, 0, 1)).kind == "device"
