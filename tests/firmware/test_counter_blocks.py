"""What the firmware believes of counters and plans: what Python writes and takes, and nothing that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import permutations
from operator import add
from pathlib import Path
from typing import Any

import pytest
from firmware.counting import ARGUMENT, MALFORMED, OK, RANGE, UNSUPPORTED, Opened, Script
from hypothesis import given, settings
from hypothesis import strategies as st
from support.counted import counters, longest_counters

from edgeops.core.bit_codes import BitWriter
from edgeops.core.codec import decode, dump, encode, to_item
from edgeops.core.counter_block import pack_counters, unpack_counters
from edgeops.core.counters import Counters
from edgeops.core.errors import WireError
from edgeops.core.fourier import draw_fourier
from edgeops.core.input_features import FEATURES
from edgeops.core.observe import BINS, FeaturePlan, ObservePlan

MOST = 65_535


@pytest.fixture(scope="module")
def run_counters(host_build: Path) -> Path:
    return host_build / "run_counters"


def read_by_python(block: bytes) -> Counters | None:
    try:
        return unpack_counters(block)
    except WireError:
        return None


def read_by_c(blocks: list[bytes], program: Path) -> list[Counters | None]:
    """What C makes of each; None where it refuses, whatever it has read before."""
    script = Script()
    for block in blocks:
        script.read(block).counters()
    answers = script.run(program)
    assert set(answers[::2]) <= {OK, MALFORMED}
    return [read if status == OK else None for status, read in zip(answers[::2], answers[1::2], strict=True)]


class TestBlocks:
    @settings(max_examples=60)
    @given(written=st.lists(counters(), min_size=1, max_size=4))
    def test_what_python_packs_c_reads(self, written: list[Counters], run_counters: Path) -> None:
        assert read_by_c([pack_counters(one) for one in written], run_counters) == written

    @pytest.mark.parametrize("shape", [(8, 12, 1000), (32, 64, 200), (0, 1, 1), (1, 64, 500)])
    def test_the_longest_blocks_of_their_shape(self, shape: tuple[int, int, int], run_counters: Path) -> None:
        features, classes, inputs = shape
        longest = longest_counters(features, classes, inputs)
        longest = longest if features else replace(longest, moments=())
        assert read_by_c([pack_counters(longest)], run_counters) == [longest]

    @settings(max_examples=30)
    @given(data=st.data(), parts=st.tuples(*[st.booleans()] * 3))
    def test_blocks_add_up_in_any_order(
        self, data: st.DataObject, parts: tuple[bool, ...], run_counters: Path
    ) -> None:
        windows = [data.draw(counters(3, 5, parts)) for _ in range(3)]
        script = Script()
        for first, *others in permutations(windows):
            script.read(pack_counters(first))
            for other in others:
                script.read(pack_counters(other), add=True)
            script.counters()
        answers = script.run(run_counters)
        merged = reduce(add, windows)
        assert [answer for answer in answers if isinstance(answer, Counters)] == [merged] * 6
        assert {answer for answer in answers if not isinstance(answer, Counters)} == {OK}

    @given(data=st.data())
    def test_what_is_counted_in_other_bins_or_shapes_is_not_added(
        self, data: st.DataObject, run_counters: Path
    ) -> None:
        parts = (True, True, False)
        one = data.draw(counters(2, 3, parts))
        others = [
            replace(one, bins=b"else"),
            *(
                data.draw(counters(features, classes, parts))
                for features, classes in ((1, 3), (3, 3), (2, 4))
            ),
            *(data.draw(counters(2, 3, other)) for other in ((False, True, False), (True, True, True))),
        ]
        script = Script().read(pack_counters(one))
        for other in others:
            script.read(pack_counters(other), add=True)
        *statuses, kept = script.counters().run(run_counters)
        assert statuses == [OK] + [ARGUMENT] * len(others)
        assert kept == one

    @settings(max_examples=60)
    @given(original=counters(), data=st.data())
    def test_a_damaged_block_is_refused_or_read_as_python_reads_it(
        self, original: Counters, data: st.DataObject, run_counters: Path
    ) -> None:
        block = pack_counters(original)
        bits = st.integers(32, 8 * len(block) - 1)
        damaged = [block[:size] for size in range(len(block))]
        damaged += [block + b"\0", block + b"\1", block + bytes(2100), b"", block[:4]]
        for bit in data.draw(st.lists(bits, min_size=20, max_size=20)):
            flipped = bytearray(block)
            flipped[bit // 8] ^= 128 >> bit % 8
            damaged.append(bytes(flipped))
        assert read_by_c(damaged, run_counters) == [read_by_python(one) for one in damaged]

    @pytest.mark.parametrize("features", [0, 1])
    @pytest.mark.parametrize("flags", range(16))
    def test_flags_that_say_nothing_are_refused(self, flags: int, features: int, run_counters: Path) -> None:
        bits = BitWriter()
        bits.fixed(flags, 4)
        bits.bounded(features, 32)
        bits.bounded(1, 64)
        bits.free(0, 10)  # of nothing no other part takes bits
        bits.free(0, 4)
        block = b"bins" + bits.to_bytes()
        (read,) = read_by_c([block], run_counters)
        assert read == read_by_python(block)
        assert (read is None) == (flags & 8 != 0 or (flags & 2 != 0 and not features))

    @settings(max_examples=60)
    @given(blocks=st.lists(st.binary(max_size=400), min_size=1, max_size=30))
    def test_any_bytes_are_refused_or_read_as_python_reads_them(
        self, blocks: list[bytes], run_counters: Path
    ) -> None:
        assert read_by_c(blocks, run_counters) == [read_by_python(one) for one in blocks]


def a_plan(features: int = 3, margin: bool = True, fourier: bool = True, classes: int = 4) -> ObservePlan:
    plans = [
        FeaturePlan(name, tuple(range(-9, 2, 1)), (7,) * BINS, -3, 2**20) for name in FEATURES[:features]
    ]
    return ObservePlan(
        tuple(plans),
        (1,) * 16,
        (9,) * classes,
        ((2, 1),) * 16,
        replace(plans[0], name="margin") if margin else None,
        draw_fourier(features).to_bytes() if fourier else None,
    )


def opened_by_c(raw: bytes, program: Path) -> Opened | int:
    opened: Opened | int = Script().plan(raw).run(program)[0]
    return opened


def with_feature(**changes: Any) -> bytes:
    """A plan whose first feature is another."""
    plan = a_plan(fourier=False)
    return encode(replace(plan, features=(replace(plan.features[0], **changes), *plan.features[1:])))


def changed(change: Callable[[dict[int, Any]], object]) -> bytes:
    """A plan whose CBOR map is another."""
    item = to_item(a_plan())
    change(item)
    return dump(item)


EDGES = tuple(range(11))


class TestPlans:
    @given(
        features=st.integers(1, 12), margin=st.booleans(), fourier=st.booleans(), classes=st.integers(0, 64)
    )
    def test_a_plan_is_named_by_the_same_digest(
        self, features: int, margin: bool, fourier: bool, classes: int, run_counters: Path
    ) -> None:
        plan = a_plan(features, margin, fourier, classes)
        assert opened_by_c(encode(plan), run_counters) == Opened(plan.digest(), features, classes)

    @pytest.mark.parametrize("most", [0, 23, 24, 255, 256, 65_535, 65_536, 2**26 - 1])
    def test_numbers_of_every_length_are_read_in_place(self, most: int, run_counters: Path) -> None:
        edges = (-most, *[0] * 9, most)
        plan = decode(ObservePlan, with_feature(edges=edges, mean=-most, deviation=most))
        assert opened_by_c(encode(plan), run_counters) == Opened(plan.digest(), 3, 4)

    def test_keys_of_later_versions_are_skipped(self, run_counters: Path) -> None:
        def add_keys(item: dict[int, Any]) -> None:
            item[7], item[99], item[1][0][6], item[5][2000] = b"new", [1, {2: "x"}], [3], None

        raw = changed(add_keys)
        assert opened_by_c(raw, run_counters) == Opened(decode(ObservePlan, raw).digest(), 3, 4)

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (with_feature(name="warmth"), UNSUPPORTED),
            (encode(replace(a_plan(), features=a_plan().features[:1] * 13, fourier=None)), UNSUPPORTED),
            (changed(lambda item: item.update({0: [9]})), UNSUPPORTED),
            (changed(lambda item: item[5].update({0: [6]})), UNSUPPORTED),
            (with_feature(edges=EDGES[:10]), MALFORMED),
            (with_feature(edges=(*EDGES[:10], 8)), RANGE),
            (with_feature(edges=(*EDGES[:10], 2**26)), RANGE),
            (with_feature(edges=(-(2**26), *EDGES[1:])), RANGE),
            (with_feature(edges=(-(2**63), *EDGES[1:])), RANGE),
            (with_feature(mean=2**26), RANGE),
            (with_feature(mean=-(2**63)), RANGE),
            (with_feature(deviation=2**26), RANGE),
            (with_feature(deviation=2**64 - 1), RANGE),
            (encode(replace(a_plan(), margin=replace(a_plan().features[0], edges=()))), MALFORMED),
            (encode(replace(a_plan(), fourier=b"short")), MALFORMED),
            (encode(replace(a_plan(), fourier=draw_fourier(2).to_bytes())), MALFORMED),
            (encode(replace(a_plan(), features=(), fourier=bytes(128))), MALFORMED),
            (changed(lambda item: item.pop(4)), MALFORMED),
            (changed(lambda item: item[1][0].pop(4)), MALFORMED),
            (changed(lambda item: item.update({5: None})), MALFORMED),
            (encode(a_plan()) + b"\0", MALFORMED),
            (b"", MALFORMED),
            (b"\xa0", MALFORMED),
            (b"\xbf\xff", MALFORMED),
            (changed(lambda item: item.update({7: bytes(17_000)})), MALFORMED),
        ],
    )
    def test_what_cannot_be_counted_in_is_refused(self, raw: bytes, status: int, run_counters: Path) -> None:
        assert opened_by_c(raw, run_counters) == status

    @settings(max_examples=60)
    @given(data=st.data())
    def test_a_damaged_plan_is_refused_or_is_one_that_python_takes(
        self, data: st.DataObject, run_counters: Path
    ) -> None:
        raw = encode(a_plan(2, fourier=data.draw(st.booleans())))
        places = st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255))
        damaged = [raw[:size] for size in data.draw(st.lists(st.integers(0, len(raw)), max_size=5))]
        for at, value in data.draw(st.lists(places, min_size=20, max_size=20)):
            damaged.append(raw[:at] + bytes([value]) + raw[at + 1 :])
        script = Script()
        for one in damaged:
            script.plan(one)
        for one, opened in zip(damaged, script.run(run_counters), strict=True):
            try:
                taken = decode(ObservePlan, one)
            except WireError:
                assert opened in (MALFORMED, UNSUPPORTED)
                continue
            if isinstance(opened, Opened):
                assert opened == Opened(taken.digest(), len(taken.features), len(taken.classes))
            else:
                assert opened in (MALFORMED, UNSUPPORTED, RANGE)
