"""Memory: in what order operators run, what shares a place, and where everything lies."""

from __future__ import annotations

import itertools

import numpy as np
from compile.op_models import Model, differences
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeops.compile import compile_plan
from edgeops.compile.placement import ALIGNMENT, place
from edgeops.compile.schedule import Lifetime, peak
from edgeops.compile.steps import Buffer


def life(size: int, first: int, last: int) -> Lifetime:
    return Lifetime((Buffer(size),), first, last)


LIVES = st.lists(
    st.tuples(st.integers(1, 300), st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=14
)


@given(drawn=LIVES)
@settings(max_examples=200, deadline=None)
def test_nothing_that_lives_at_the_same_time_overlaps(drawn: list[tuple[int, int, int]]) -> None:
    lives = [life(size, first, first + more) for size, first, more in drawn]
    found = place(lives)
    assert all(offset % ALIGNMENT == 0 for offset in found.offsets)
    for (one, at), (other, start) in itertools.combinations(zip(lives, found.offsets, strict=True), 2):
        if one.first <= other.last and other.first <= one.last:
            assert at + one.bytes <= start or start + other.bytes <= at
    ends = [offset + one.bytes for one, offset in zip(lives, found.offsets, strict=True)]
    assert peak(lives) <= max(ends) <= found.bytes < max(ends) + ALIGNMENT


def test_where_largest_first_leaves_a_gap_another_order_is_found() -> None:
    # largest first puts the two of 60 at the bottom and the middle one above both
    lives = [life(60, 0, 1), life(40, 1, 2), life(60, 2, 3), life(20, 0, 0), life(20, 3, 3)]
    assert place(lives).bytes == peak(lives) == 100


def test_placing_is_the_same_each_time() -> None:
    rng = np.random.default_rng(2)
    lives = [life(int(s), int(a), int(a + b)) for s, a, b in rng.integers(1, 40, (30, 3))]
    assert place(lives) == place(list(lives))


def branches(wide_first: bool) -> bytes:
    """Two branches of one input: each swells and shrinks again; the file runs both halves side by side."""
    rng = np.random.default_rng(4)
    model = Model()
    x = model.tensor((1, 4, 4, 2), 0.05)
    swollen, shrunk = [], []
    for _ in range(2):
        swollen.append(model.tensor((1, 4, 4, 40), 0.1))
        shrunk.append(model.tensor((1, 4, 4, 1), 0.1))

    def convolution(source: int, made: int, shape: tuple[int, int]) -> None:
        w = model.weights(rng, (shape[0], 1, 1, shape[1]), 0.01)
        fields = {"padding": 1, "strideH": 1, "strideW": 1}
        model.add("CONV_2D", [source, w], [made], "Conv2DOptions", **fields)

    order = [(0, 0), (1, 0), (0, 1), (1, 1)] if wide_first else [(0, 0), (0, 1), (1, 0), (1, 1)]
    for branch, half in order:
        if half == 0:
            convolution(x, swollen[branch], (40, 2))
        else:
            convolution(swollen[branch], shrunk[branch], (1, 40))
    y = model.tensor((1, 4, 4, 1), 0.2)
    model.add("ADD", shrunk, [y], "AddOptions")
    return model.content([x], [y])


def test_branches_run_one_after_the_other_where_that_needs_less() -> None:
    side_by_side, in_turn = compile_plan(branches(wide_first=True)), compile_plan(branches(wide_first=False))
    assert side_by_side.arena_bytes == in_turn.arena_bytes == 16 * (40 + 2 + 1)
    assert differences(branches(wide_first=True)) == 0


def test_sums_take_the_place_of_an_operand_that_nobody_reads_again() -> None:
    for read_again, arena in ((False, 64), (True, 128)):
        model = Model()
        x, other, y = (model.tensor((1, 64), scale) for scale in (0.05, 0.1, 0.3))
        constant = model.tensor((64,), 0.1, data=np.arange(64, dtype=np.int8))
        model.add("ADD", [x, constant], [other], "AddOptions")
        model.add("MUL", [other, x if read_again else other], [y], "MulOptions")
        content = model.content([x], [y])
        assert compile_plan(content).arena_bytes == arena
        assert differences(content) == 0
