"""The drifting camera: deterministic, plain NumPy, and within its stated limits."""

from __future__ import annotations

import numpy as np
import pytest

from device_agent.world import BLUR_SIGMA, CONTRAST, ROTATION_DEGREES, Camera, camera_of, see

SHARP = Camera(0.0, 1.0, 0.0)
SPOT = np.zeros((9, 9))
SPOT[4, 4] = 16.0


def test_a_camera_depends_on_seed_and_device_only() -> None:
    assert camera_of(7, "cam-01") == camera_of(7, "cam-01")
    assert camera_of(7, "cam-01") != camera_of(8, "cam-01")
    assert camera_of(7, "cam-01") != camera_of(7, "cam-02")


def test_every_camera_is_within_the_limits_and_they_differ() -> None:
    cameras = [camera_of(7, f"cam-{n}") for n in range(200)]
    for name, (low, high) in zip(Camera.__slots__, (ROTATION_DEGREES, CONTRAST, BLUR_SIGMA), strict=True):
        values = [getattr(camera, name) for camera in cameras]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high >= max(values) > high - 0.1 * (high - low)


def test_a_sharp_camera_shows_the_image() -> None:
    image = np.random.default_rng(1).uniform(0, 16, (8, 8))
    assert see(SHARP, image).dtype == np.float32
    np.testing.assert_allclose(see(SHARP, image), image, rtol=1e-6)


def test_a_quarter_turn_is_exact_and_four_are_none() -> None:
    image = np.random.default_rng(1).uniform(0, 16, (8, 8))
    turned = see(Camera(90.0, 1.0, 0.0), image)
    assert any(np.allclose(turned, np.rot90(image, k), atol=1e-4) for k in (1, 3))
    np.testing.assert_allclose(see(Camera(360.0, 1.0, 0.0), image), image, atol=1e-4)


def test_rotation_turns_about_the_centre_and_fills_with_zeros() -> None:
    np.testing.assert_allclose(see(Camera(30.0, 1.0, 0.0), SPOT)[4, 4], 16.0)
    corners = see(Camera(45.0, 1.0, 0.0), np.full((9, 9), 16.0))[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners, 0.0)


def test_blur_spreads_evenly_and_keeps_the_light() -> None:
    seen = see(Camera(0.0, 1.0, 0.6), SPOT)
    assert seen[4, 4] < 16.0
    np.testing.assert_allclose(seen, seen.T, atol=1e-5)
    np.testing.assert_allclose(seen, seen[::-1], atol=1e-5)
    assert seen.sum() == pytest.approx(16.0, rel=1e-4)


def test_contrast_scales_and_nothing_leaves_the_range() -> None:
    image = np.random.default_rng(2).uniform(0, 16, (8, 8))
    np.testing.assert_allclose(see(Camera(0.0, 0.5, 0.0), image), image / 2, rtol=1e-6)
    for device in range(20):
        seen = see(camera_of(3, f"cam-{device}"), image)
        assert seen.min() >= 0
        assert seen.max() <= image.max()


def test_an_empty_image_stays_empty() -> None:
    np.testing.assert_array_equal(see(camera_of(1, "x"), np.zeros((8, 8))), 0.0)
