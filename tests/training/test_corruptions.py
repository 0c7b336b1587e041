"""Declared corruptions: each does what it says, repeats for a seed, and leaves its input alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.training.corruptions import CORRUPTIONS, corrupted

X = np.random.default_rng(3).normal(0, 1, (6, 10, 8, 2)).astype(np.float32)


@given(st.sampled_from(sorted(CORRUPTIONS)), st.floats(0, 3), st.integers(0, 99))
def test_every_corruption_keeps_shape_and_type_and_repeats(name: str, severity: float, seed: int) -> None:
    before = X.copy()
    made = corrupted(name, X, severity, seed)
    assert (made.shape, made.dtype) == (X.shape, np.float32)
    assert np.isfinite(made).all()
    assert (made == corrupted(name, X, severity, seed)).all()
    assert (before == X).all()


@pytest.mark.parametrize(
    ("name", "severity"), [("noise", 0), ("gain", 1), ("offset", 0), ("shift", 0), ("dropout", 0)]
)
def test_no_severity_changes_nothing(name: str, severity: float) -> None:
    assert corrupted(name, X, severity, 1) == pytest.approx(X, abs=1e-6)


def test_each_does_what_it_says() -> None:
    assert (corrupted("noise", X, 0.5, 1) - X).std() == pytest.approx(0.5, rel=0.1)
    assert corrupted("gain", X, 0.25, 1) == pytest.approx(X * 0.25)
    assert corrupted("offset", X, 2, 1) == pytest.approx(X + 2, abs=1e-6)
    assert (corrupted("dropout", X, 0.3, 1) == 0).mean() == pytest.approx(0.3, abs=0.05)
    blurred = corrupted("blur", X, 1.0, 1)
    assert blurred.std() < 0.6 * X.std()
    assert blurred.mean() == pytest.approx(X.mean(), abs=0.05)
    ramp = np.tile(np.arange(10, dtype=np.float32)[None, :, None], (4, 1, 1))
    moved = corrupted("shift", ramp, 3, 2)
    inner = (moved - ramp)[:, 3:7]
    assert set(np.unique(inner)) <= {-3, -2, -1, 0, 1, 2, 3}
    assert len(np.unique(inner)) > 1
