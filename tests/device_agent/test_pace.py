"""The spread: each device has its place, the places are even, and another manifest shuffles them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device_agent.pace import start_delay_ms


@given(st.text(max_size=20), st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))
def test_a_place_is_in_the_spread_and_always_the_same(device: str, manifest: bytes, spread: int) -> None:
    place = start_delay_ms(device, manifest, spread)
    assert 0 <= place <= spread
    assert place == start_delay_ms(device, manifest, spread)


def test_many_devices_are_spread_evenly_and_otherwise_for_another_manifest() -> None:
    places = [start_delay_ms(f"cam-{number}", bytes(32), 9_999) for number in range(2000)]
    tenths = [sum(1 for place in places if place // 1000 == tenth) for tenth in range(10)]
    assert min(tenths) > 150
    others = [start_delay_ms(f"cam-{number}", b"\x01" * 32, 9_999) for number in range(2000)]
    assert sum(abs(a - b) < 100 for a, b in zip(places, others, strict=True)) < 100
