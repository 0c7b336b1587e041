"""A first recipe for a dataset that has none: what its kind, shape and size suggest, as a file to change."""

from __future__ import annotations

import json
from dataclasses import dataclass

STEPS_WANTED = 1500
BATCH = 32
_LOUDEST = 32768
_MFCC_FRAMES = 49
_WINDOWS = 4  # that a recording should give without overlap: one a recording is too few to learn and to judge
_NO_RATE = [
    "# the sample rate is not known, so 1 stands for it and frequencies are cycles a sample;",
    "# better add the data again, with --sample-rate HZ, and let train write a recipe anew",
]


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What is known of a dataset: ``shape`` of an item (-1: lengths differ), ``typical_length`` in samples,
    ``largest_share`` of one class in 0..1, ``highest`` value.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    typical_length: int
    sample_rate_hz: float
    train_items: int
    classes: int
    largest_share: float
    lowest: float
    highest: float


def starter_recipe(facts: DataFacts) -> str:
    """The text of ``recipe.toml``; deterministic, and valid by construction for any dataset that trains."""
    window, steps, architecture, augmentation = _STARTERS[facts.kind](facts)
    rounds = 2 if "originals = true" in augmentation else 1
    inputs = facts.train_items * _windows_each(facts) * rounds
    epochs = min(max(STEPS_WANTED * BATCH // max(inputs, 1), 10), 80)
    floor = min(facts.largest_share + 0.1, 0.95)
    lines = [
        f"# Made by edgeops train for the dataset {facts.name}; change what you know better.",
        "",
        "[recipe]",
        f"name = {json.dumps(facts.name)}",
        "",
        "[data]",
        f"name = {json.dumps(facts.name)}",
        f'kind = "{facts.kind}"',
        *window,
        "",
        "[preprocessing]",
        *([] if facts.sample_rate_hz or facts.kind != "series" else _NO_RATE),
        "steps = [",
        *[f"    {step}," for step in steps],
        "]",
        *(['normalise = "columns"'] if facts.kind == "table" else []),
        "",
        "[architecture]",
        *architecture,
        "",
        "[training]",
        f"epochs = {epochs}",
        f"batch_size = {BATCH}",
        "learning_rate = 0.002",
        "balanced = true",
        f"augmentation = {augmentation}",
        "",
        "[gates]",
        f"# the most frequent class has {facts.largest_share:.0%}: a model must know more than that",
        f"min_int8_accuracy = {floor:.2f}",
        "max_quantization_loss = 0.03",
    ]
    return "\n".join(lines) + "\n"


Starter = tuple[list[str], list[str], list[str], str]


def _image(facts: DataFacts) -> Starter:
    height, width = facts.shape[:2]
    side = max(height, width)
    steps = []
    if side > 64 or height != width:
        side = 96 if side > 64 else 32
        steps.append(f'{{ op = "resize", height = {side}, width = {side} }}')
    if facts.lowest >= 0 and facts.highest > 1:
        top = 255.0 if facts.highest > 17 else facts.highest
        steps.append(f'{{ op = "scale", factor = {2 / top:.9f}, offset = -1.0 }}')
    shift = max(1.0, round(side / 16, 1))
    augmentation = (
        f"{{ copies = 1, originals = false, shift_pixels = {shift}, zoom = 0.1, rotation_degrees = 5.0 }}"
    )
    if side <= 16:
        return [], steps, ['kind = "small_cnn"'], augmentation
    kind = "mobilenet_v1" if side > 64 else "resnet_8"
    return [], steps, [f'kind = "{kind}"'], augmentation


def _audio(facts: DataFacts) -> Starter:
    rate = round(facts.sample_rate_hz)
    window = max(facts.typical_length, rate // 4)
    frame_step = max(window // (_MFCC_FRAMES + 1), 1)
    fft_length = 1 << max(5, (2 * frame_step - 1).bit_length())
    mfcc = (
        f'{{ op = "mfcc", sample_rate_hz = {rate}, frame_length = {2 * frame_step}, frame_step = {frame_step}, '
        f"fft_length = {fft_length}, mels = 40, low_hz = 20, high_hz = {rate // 2}, coefficients = 10, "
        "offset = 0.05 }"
    )
    steps = [f'{{ op = "scale", factor = {1 / _LOUDEST:.9f}, offset = 0.0 }}', mfcc]
    augmentation = "{ copies = 1, originals = true, shift_steps = 4, mask_steps = 6, noise = 0.3 }"
    return [f"window = {window}"], steps, ['kind = "ds_cnn"'], augmentation


def _window(facts: DataFacts) -> int:
    """Samples of one input of a series: a power of two from 32 to 2048."""
    return 1 << max(5, min(11, (facts.typical_length // _WINDOWS).bit_length() - 1))


def _windows_each(facts: DataFacts) -> int:
    """Inputs that an item gives."""
    stride = _window(facts) // 2
    return max(1, facts.typical_length // stride - 1) if facts.kind == "series" else 1


def _series(facts: DataFacts) -> Starter:
    window = _window(facts)
    fft_length = max(32, window // 2)
    rate = facts.sample_rate_hz or 1.0  # see _NO_RATE
    bands = (
        f'{{ op = "fft_bands", sample_rate_hz = {rate:g}, fft_length = {fft_length}, frame_step = {fft_length // 2}, '
        f"bands = {min(64, fft_length // 4)}, low_hz = 0, high_hz = {rate / 2:g}, floor = 0.0000001 }}"
    )
    augmentation = "{ copies = 1, originals = true, offset = 0.3, noise = 0.2 }"
    lasting = f", {window / facts.sample_rate_hz:.3g} s" if facts.sample_rate_hz else ""
    data = [
        f"# {window} samples{lasting}; a window begins every {window // 2} samples of a recording",
        f"window = {window}",
        f"stride = {window // 2}",
    ]
    return data, ['{ op = "detrend" }', bands], ['kind = "cnn_1d"'], augmentation


def _table(facts: DataFacts) -> Starter:
    del facts
    return [], [], ['kind = "dense"'], "{ copies = 1, originals = true, noise = 0.02 }"


_STARTERS = {"image": _image, "audio": _audio, "series": _series, "table": _table}
