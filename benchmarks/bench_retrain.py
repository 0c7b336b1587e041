"""The answer to drift: what each strategy of a retrain recovers, and what it costs to push.

Digits before the demo's drifted cameras (turned by 23 to 31 degrees, at 0.5 to 0.62 of the contrast, out of focus by
0.5 to 0.68 pixels, ten cameras), 200 labelled samples of them captured, three seeds. Every strategy is measured on the
test images as the cameras see them, beside a model that was trained on the drifted world from the start. The strategy
that the ladder takes has the limits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import EdgeOpsError
from edgeops.core.features.steps import apply_to_batch
from edgeops.data.dataset import Dataset, extend
from edgeops.data.splitting import Part, capture_parts

RECIPE = Path(__file__).parents[1] / "models" / "digits" / "recipe.toml"
SEEDS = (1, 2, 3)
SAMPLES = 200
CAMERAS = 10
ROTATION_DEGREES, CONTRAST, BLUR_SIGMA = (23.0, 31.0), (0.5, 0.62), (0.5, 0.68)


@dataclass(frozen=True)
class Measured:
    """One strategy with one seed: right in the drifted and in the original world, and bytes as a share of all."""

    strategy: str
    drifted: float
    original: float
    pushed: float
    taken: bool
    seconds: float


def rows() -> list[dict[str, Any]]:
    """A row for each strategy, the model of the drifted world, and what is taken."""
    runs = [measure(seed) for seed in SEEDS]
    worlds = [world for world, _, _ in runs]
    found = [
        _row(
            "retrain_before",
            float(np.mean([before for _, before, _ in runs])),
            "higher",
            "accuracy when drifted",
        ),
        _row("retrain_drifted_world", float(np.mean(worlds)), "higher", "trained on it from the start"),
    ]
    every = [entry for _, _, entries in runs for entry in entries]
    for strategy in dict.fromkeys(entry.strategy for entry in every):
        own = [entry for entry in every if entry.strategy == strategy]
        note = f"original {np.mean([e.original for e in own]):.3f}, {np.mean([e.seconds for e in own]):.0f} s"
        found.append(
            _row(
                f"retrain_{strategy}", float(np.mean([e.drifted for e in own])), "higher", f"accuracy, {note}"
            )
        )
        found.append(
            _row(f"retrain_{strategy}_push", float(np.mean([e.pushed for e in own])), "lower", "of the model")
        )
    taken = [next((e for e in entries if e.taken), None) for _, _, entries in runs]
    if None in taken:
        return [*found, _row("retrain_gap", None, "lower", "a retrain of one seed was not better")]
    chosen = [entry for entry in taken if entry is not None]
    named = ", ".join(entry.strategy for entry in chosen)
    gaps = [world - entry.drifted for world, entry in zip(worlds, chosen, strict=True)]
    cheap = [entry.pushed for entry in chosen if entry.strategy not in ("fine_tune", "scratch")]
    return [
        *found,
        _row(
            "retrain_gap", max(gaps), "lower", f"the worst of {named}: less than a model of the drifted world"
        ),
        _row("retrain_push", max(cheap, default=None), "lower", f"the dearest of the cheap ones: {named}"),
    ]


def measure(seed: int) -> tuple[float, float, list[Measured]]:
    """Accuracy of the model of the drifted world and of the old one in it, and every strategy."""
    from edgeops.training.evaluate import evaluate_int8
    from edgeops.training.ladder import challenged, choose, push_bytes, right
    from edgeops.training.pipeline import train
    from edgeops.training.prepare import prepare
    from edgeops.training.recipe import load_recipe
    from edgeops.training.strategies import Champion, World
    from edgeops.training.weights import to_bytes

    recipe, base = load_recipe(RECIPE), _digits()
    random = np.random.default_rng(seed)
    cameras = np.stack(
        [random.uniform(*limits, CAMERAS) for limits in (ROTATION_DEGREES, CONTRAST, BLUR_SIGMA)], 1
    )

    def seen(images: NDArray[Any]) -> NDArray[np.float32]:
        return np.stack([see(cameras[random.integers(CAMERAS)], image.reshape(8, 8)) for image in images])

    field, truths = base.part(Part.FIELD)
    picked = random.permutation(len(field))[:SAMPLES]
    captured = seen(field[picked])
    shape = (len(captured), *base.item_shape)
    dataset = extend(
        base, captured.reshape(shape), truths[picked], ["captured:d"] * SAMPLES, capture_parts(captured, 0.3)
    )
    elsewhere = replace(base, inputs=seen(np.asarray(base.inputs)).reshape(-1, *base.item_shape))
    of_it = train(recipe, elsewhere, seed).int8_metrics.accuracy
    raw, tested = elsewhere.part(Part.TEST)
    raw = raw.reshape(-1, 8, 8, 1).astype(np.float32)
    old = train(recipe, base, seed)
    weights = to_bytes(old.fitted.model)
    data = prepare(recipe, dataset, old.steps)
    world = World(recipe, dataset, data, data, seed)
    champion = Champion(old.tflite, weights, old.steps, old.tflite, weights)
    before = {part: right(world, old.tflite, data, part) for part in (Part.CAPTURE_HOLDOUT, Part.TEST)}
    names = recipe.retrain.strategies
    attempts = [challenged(name, world, champion, before, len(names)) for name in names]
    # as a climb does it, which ends with the first that passes and has recovered
    enough = next((i for i, a in enumerate(attempts) if a.passed and a.recovered), len(attempts) - 1)
    climbed = choose(attempts[: enough + 1])
    entries = [
        Measured(
            attempt.strategy,
            evaluate_int8(attempt.result.tflite, apply_to_batch(attempt.result.steps, raw), tested).accuracy,
            attempt.result.int8_metrics.accuracy,
            push_bytes(old.tflite, attempt.result.tflite) / len(attempt.result.tflite),
            climbed.outcome == "better" and attempt is climbed.taken,
            attempt.seconds,
        )
        for attempt in attempts
        if attempt.result is not None
    ]
    return of_it, evaluate_int8(old.tflite, apply_to_batch(old.steps, raw), tested).accuracy, entries


def see(camera: NDArray[np.float64], image: NDArray[Any]) -> NDArray[np.float32]:
    """An image (8, 8) turned (degrees, bilinear, zeros around), blurred (sigma in pixels) and darkened."""
    degrees, contrast, sigma = camera
    y, x = np.mgrid[0:8, 0:8] - 3.5
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    at_y, at_x = cos * y + sin * x + 3.5, -sin * y + cos * x + 3.5
    top, left = np.floor(at_y).astype(int), np.floor(at_x).astype(int)
    down, right = at_y - top, at_x - left
    padded = np.pad(image.astype(np.float64), 8)
    turned = sum(
        weight * padded[top + dy + 8, left + dx + 8]
        for dy, dx, weight in (
            (0, 0, (1 - down) * (1 - right)),
            (0, 1, (1 - down) * right),
            (1, 0, down * (1 - right)),
            (1, 1, down * right),
        )
    )
    steps = np.arange(8)
    kernel = np.exp(-0.5 * ((steps[:, None] - steps[None]) / sigma) ** 2)
    reach = int(np.ceil(3 * sigma))
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = np.where(np.abs(steps[:, None] - steps[None]) <= reach, kernel, 0) / line.sum()
    dark: NDArray[np.float64] = np.clip(kernel @ turned @ kernel.T * contrast, 0, float(image.max()))
    return dark.astype(np.float32)


def _digits() -> Dataset:
    from edgeops.data.dataset import new_dataset
    from edgeops.data.sources import read_source

    return new_dataset("digits", read_source("sklearn:digits"))


def _row(name: str, value: float | None, better: str, note: str) -> dict[str, Any]:
    unit = "of model" if name.endswith("_push") else "points" if name.endswith("_gap") else "accuracy"
    return {"name": name, "value": value, "unit": unit, "better": better, "peer": None, "note": note}


if __name__ == "__main__":
    try:
        for measured in rows():
            value = measured["value"]
            print(f"{measured['name']:28} {'-' if value is None else f'{value:.3f}'}  {measured['note']}")
    except EdgeOpsError as error:
        raise SystemExit(f"Error: {error.message}") from error
