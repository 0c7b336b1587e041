"""Stages, pace, hours and durations: as written, and refused with the flag that would be right."""

from __future__ import annotations

import calendar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.core.errors import UsageError
from edgeops.fleet.rollout.duration import duration_words, parse_duration
from edgeops.fleet.rollout.hours import parse_hours
from edgeops.fleet.rollout.pace import Credit, Pace, parse_pace
from edgeops.fleet.rollout.stages import parse_stages, words


class TestStages:
    def test_counts_and_shares(self) -> None:
        stages = parse_stages("1, 5%,25%,100%")
        assert words(stages) == "1, 5%, 25%, 100%"
        assert [stage.devices(200) for stage in stages] == [1, 10, 50, 200]

    def test_a_share_is_rounded_up_and_nothing_is_more_than_there_are(self) -> None:
        assert [stage.devices(3) for stage in parse_stages("5,1%,50%,100%")] == [3, 1, 2, 3]
        assert [stage.devices(0) for stage in parse_stages("5,100%")] == [0, 0]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "50%",
            "10%,10%,100%",
            "50%,10%,100%",
            "5,3,100%",
            "10%,5,100%",
            "0,100%",
            "101%",
            "x",
            "1.5%,100%",
        ],
    )
    def test_what_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_stages(text)
        assert caught.value.fix == "--stages 1,5%,25%,100%"

    @given(st.integers(0, 10**6), st.integers(0, 10**6))
    def test_more_devices_never_make_a_stage_smaller(self, a: int, b: int) -> None:
        for stage in parse_stages("1,7,5%,33%,100%"):
            assert stage.devices(min(a, b)) <= stage.devices(max(a, b))


class TestPace:
    def test_constant(self) -> None:
        pace = parse_pace("60/min")
        assert pace == Pace(1.0)
        assert pace.rate(10_000, 10_000) == 1.0

    def test_exponential_by_confirmed(self) -> None:
        pace = parse_pace("10/s x2 per 50 confirmed")
        assert [pace.rate(500, confirmed) for confirmed in (0, 49, 50, 100, 150)] == [10, 10, 20, 40, 80]

    def test_exponential_by_offered(self) -> None:
        assert parse_pace("6/h x1.5 per 10 offered").rate(20, 0) == pytest.approx(6 / 3600 * 2.25)

    @pytest.mark.parametrize(
        "text",
        ["", "60", "0/min", "60/day", "10/min x0.5 per 5 confirmed", "10/min x2 per 0 offered", "10/min x2"],
    )
    def test_what_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="rate"):
            parse_pace(text)

    @given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0.01, 50))
    def test_no_more_offers_than_time_allows(self, pauses: list[float], per_second: float) -> None:
        pace, now, credit, offers = Pace(per_second), 0.0, Credit(), 0
        for pause in pauses:
            now += pause
            credit = credit.refill(pace, offers, 0, now)
            offers += int(credit.offers)
            credit = credit.spend(int(credit.offers))
        assert offers <= max(1.0, per_second) + now * per_second + 1e-6

    def test_a_clock_that_jumps_back_gives_nothing(self) -> None:
        credit = Credit(0.0, 1000.0).refill(Pace(1.0), 0, 0, 10.0)
        assert (credit.offers, credit.at) == (0.0, 10.0)

    def test_an_endless_growth_stays_a_number(self) -> None:
        assert parse_pace("1/s x1000 per 1 offered").rate(10**9, 0) < float("inf")


class TestHours:
    NOON = calendar.timegm((2026, 7, 1, 12, 0, 0))

    def at(self, hour: int, minute: int = 0) -> float:
        return calendar.timegm((2026, 7, 1, hour, minute, 0))

    def test_over_midnight(self) -> None:
        night = parse_hours("22:00-05:00")
        assert [night.open_at(self.at(h)) for h in (21, 22, 23, 0, 4, 5)] == [
            False,
            True,
            True,
            True,
            True,
            False,
        ]

    def test_within_a_day(self) -> None:
        noon = parse_hours("11:30 - 12:15")
        assert [noon.open_at(self.at(*t)) for t in ((11, 29), (11, 30), (12, 14), (12, 15))] == [
            False,
            True,
            True,
            False,
        ]

    def test_in_a_zone_with_summer_time(self) -> None:
        berlin = parse_hours("14:00-15:00 Europe/Berlin")
        assert berlin.open_at(self.NOON)  # 12:00 UTC is 14:00 in July
        assert str(berlin) == "14:00-15:00 Europe/Berlin"
        assert parse_hours(str(berlin)) == berlin

    @pytest.mark.parametrize(
        "text", ["", "22-05", "24:00-05:00", "22:60-05:00", "05:00-05:00", "22:00-05:00 Mars/X"]
    )
    def test_what_makes_no_sense_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="window"):
            parse_hours(text)


@given(st.integers(0, 10**6))
def test_durations_read_back(seconds: int) -> None:
    assert parse_duration(duration_words(seconds), "--soak") == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1s", "10 weeks", "1e3s", "400d"])
def test_durations_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--soak"):
        parse_duration(text, "--soak")
