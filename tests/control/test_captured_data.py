"""Hold-outs are drawn from what was captured and labelled fairly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.packages import MODEL, build
from support.registry import NOW

from edgeops.control.captured_data import drawn_fairly, held_out_fairly
from edgeops.core.messages import PredictionId
from edgeops.data.splitting import Part
from edgeops.registry.tables import CapturedSample

PACKAGE = build()
RNG = np.random.default_rng(3)


def sample(index: int, reason: str = "uniform", confidence: int = 15) -> CapturedSample:
    id = PredictionId(PACKAGE.digest[:8], 1, 1, index, 0, confidence).pack().hex()
    manifest = PACKAGE.digest.hex()
    return CapturedSample(
        prediction=id,
        device_id="a",
        model=MODEL,
        manifest=manifest,
        tensor=bytes(64),
        reason=reason,
        received_at=NOW,
    )


class TestHoldOut:
    def test_what_a_teacher_labelled_and_what_was_preferred_is_not_fair(self) -> None:
        samples = [sample(0), sample(1), sample(2, "uncertain"), sample(3, "shifted"), sample(4, "other")]
        sources = ("device", "teacher", "person", "device", "device")
        found = drawn_fairly(list(zip(samples, sources, strict=True)))
        assert found.tolist() == [True, False, False, False, False]

    @given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0.0, 1.0))
    def test_only_fair_ones_are_ever_held_out(self, fair: list[bool], share: float) -> None:
        inputs = RNG.normal(size=(len(fair), 4)).astype(np.float32)
        parts = held_out_fairly(inputs, np.array(fair), share)
        assert not ((parts == Part.CAPTURE_HOLDOUT) & ~np.array(fair)).any()

    def test_the_share_is_of_all_of_them(self) -> None:
        inputs = RNG.normal(size=(2000, 4)).astype(np.float32)
        fair = np.arange(2000) % 2 == 0
        assert 330 < (held_out_fairly(inputs, fair, 0.2) == Part.CAPTURE_HOLDOUT).sum() < 470
        few = np.arange(2000) < 200
        assert 70 < (held_out_fairly(inputs, few, 0.2) == Part.CAPTURE_HOLDOUT).sum() < 130

    def test_it_is_the_contents_that_decide(self) -> None:
        inputs = RNG.normal(size=(50, 4)).astype(np.float32)
        fair = np.ones(50, np.bool_)
        parts = held_out_fairly(inputs, fair, 0.3)
        assert np.array_equal(held_out_fairly(inputs[::-1], fair, 0.3), parts[::-1])
