"""The digits model over five seeds: int8 accuracy on the test part, and its distance from float."""

from __future__ import annotations

from typing import Any

SEEDS = (1, 2, 3, 4, 5)


def rows() -> list[dict[str, Any]]:
    """Three rows: mean and worst int8 accuracy, and the largest gap to float, over ``SEEDS``."""
    from edgeops.data.dataset import new_dataset
    from edgeops.data.sources import read_source
    from edgeops.training.pipeline import train
    from edgeops.training.recipe import find_recipe, load_recipe

    recipe = load_recipe(find_recipe("digits"))
    dataset = new_dataset("digits", read_source("sklearn:digits"))
    results = [train(recipe, dataset, seed) for seed in SEEDS]
    int8 = [result.int8_metrics.accuracy for result in results]
    gaps = [abs(result.float_metrics.accuracy - result.int8_metrics.accuracy) for result in results]
    # the first training also loads TensorFlow
    seconds = sorted(result.seconds for result in results[1:])[len(results) // 2 - 1]
    note = (
        f"measured on {results[0].int8_metrics.n} test images, seeds {SEEDS[0]}-{SEEDS[-1]}; "
        f"{len(results[0].tflite)} bytes, {seconds:.1f} s a training"
    )

    def row(name: str, value: float, better: str, detail: list[float]) -> dict[str, Any]:
        each = ", ".join(f"{number:.4f}" for number in detail)
        return {
            "name": name,
            "value": value,
            "unit": "accuracy",
            "better": better,
            "peer": None,
            "note": f"{note}; each: {each}",
        }

    return [
        row("digits_int8_accuracy_mean5", sum(int8) / len(int8), "higher", int8),
        row("digits_int8_accuracy_min5", min(int8), "higher", int8),
        row("digits_int8_float_gap_max5", max(gaps), "lower", gaps),
    ]


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:32} {measured['value']:.4f}  {measured['note']}")
