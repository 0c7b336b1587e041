"""Hold-outs are drawn from what was captured and labelled fairly; weights undo what the policy preferred."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packages import MODEL, build
from support.registry import NOW, add_devices, add_version

from edgeops.control.captured_data import drawn_fairly, held_out_fairly, weights
from edgeops.control.labelling import write_truth
from edgeops.core.messages import PredictionId
from edgeops.data.splitting import Part
from edgeops.registry.store import open_registry
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
    def test_what_a_teacher_labelled_and_what_was_preferred_is_not_fair(self, tmp_path: Path) -> None:
        registry = open_registry(tmp_path / "registry.db", create=True)
        samples = [sample(0), sample(1), sample(2, "uncertain"), sample(3, "shifted"), sample(4, "other")]
        with registry.session() as session:
            add_version(session, PACKAGE)
            add_devices(session, "a")
            for one, source in zip(samples, ("device", "teacher", "person", "device", "device"), strict=True):
                session.add(one)
                write_truth(session, one, 0, source, NOW)
            session.flush()
            assert drawn_fairly(session, samples).tolist() == [True, False, False, False, False]
        registry.close()

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


class TestWeights:
    def test_uniform_ones_alone_are_worth_the_same(self) -> None:
        assert weights([sample(n, confidence=n % 16) for n in range(40)]) == pytest.approx(np.ones(40))
        assert weights([sample(n, "uncertain") for n in range(5)]) == pytest.approx(np.ones(5))

    def test_they_give_each_bin_the_share_that_it_has_among_the_uniform_ones(self) -> None:
        drawn = [sample(n, confidence=3 if n < 10 else 15) for n in range(100)]
        preferred = [sample(100 + n, "uncertain", 3) for n in range(100)]
        found = weights(drawn + preferred)
        unsure = np.array([n < 10 or n >= 100 for n in range(200)])
        assert found.mean() == pytest.approx(1)
        assert found[unsure].sum() / found.sum() == pytest.approx(0.1)
