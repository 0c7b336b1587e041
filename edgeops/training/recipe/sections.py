"""What a recipe is, once it is read: one dataclass a section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeops.core.manifest import Step
from edgeops.training.recipe.keys import ANOMALY


@dataclass(frozen=True, slots=True)
class DataSection:
    """The dataset by name and kind; ``window`` and ``stride`` in samples, 0 for whole items."""

    name: str
    kind: str
    window: int
    stride: int
    hint: str


@dataclass(frozen=True, slots=True)
class Split:
    """What replaces the dataset's own parts: held-out slice values, and labels that are cut by time."""

    holdout: Mapping[str, tuple[str, ...]]
    by_time: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Named operations from raw values to the float input, in order; see ``edgeops.core.features.steps``.

    ``normalise``: ``no``, or a step that is measured on the train part and appended.
    """

    steps: tuple[Step, ...]
    normalise: str


@dataclass(frozen=True, slots=True)
class Architecture:
    """A built-in ``kind``, or ``python``: the absolute path of a file and the function in it."""

    kind: str
    python: tuple[Path, str] | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Every epoch shows ``copies`` of each input, changed at random within these limits (uniform, both ways)."""

    copies: int = 0
    originals: bool = True
    rotation_degrees: float = 0.0
    shift_pixels: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    shift_steps: int = 0
    mask_steps: int = 0
    mask_bands: int = 0
    gain: float = 0.0
    offset: float = 0.0
    noise: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether images are turned, moved or zoomed."""
        return bool(self.rotation_degrees or self.shift_pixels or self.zoom)


@dataclass(frozen=True, slots=True)
class Pruning:
    """The share of weights that end as zero, reached between two shares of the training's steps."""

    sparsity: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Distillation:
    """A teacher of the same kind with other parameters; no distillation where ``epochs`` is 0."""

    teacher: Mapping[str, Any]
    epochs: int
    temperature: float
    share: float


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """How long and how fast; the learning rate falls to zero along half a cosine."""

    epochs: int
    batch_size: int
    learning_rate: float
    label_smoothing: float
    balanced: bool
    threads: int
    augmentation: Augmentation
    pruning: Pruning
    distillation: Distillation


@dataclass(frozen=True, slots=True)
class Quantization:
    """The scheme, and the sizes of the representative dataset that are tried."""

    scheme: str
    representative: tuple[int, ...]
    per_channel_dense: bool
    aware: str
    aware_epochs: int


@dataclass(frozen=True, slots=True)
class Robustness:
    """The accuracy that must be kept under a corruption of some severity."""

    corruption: str
    severity: float
    min_accuracy: float


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What a new model must reach: accuracies as fractions, size in bytes."""

    min_int8_accuracy: float
    max_quantization_loss: float
    max_artifact_bytes: int
    min_class_recall: float
    min_slice_accuracy: float
    min_auc: float
    max_false_alarms: float
    robustness: tuple[Robustness, ...]


@dataclass(frozen=True, slots=True)
class Targets:
    """The parts that the model must fit."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Packaging:
    """The forms that a version is packaged in; ``required`` ones are named by the recipe, and a version without one
    of them is rejected. It does not change the model.
    """

    runtimes: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The label of what is normal, and which quantile of its errors is the threshold."""

    normal: str
    quantile: float


@dataclass(frozen=True, slots=True)
class SearchEntry:
    """One thing that a search varies, as the recipe says it; see ``edgeops.training.search_space``."""

    key: str
    also: tuple[str, ...]
    vary: str
    low: float | None
    high: float | None
    step: float | None
    log: bool
    choices: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What ``edgeops search`` varies; nothing: what suits the architecture. It does not change the model."""

    space: tuple[SearchEntry, ...]


@dataclass(frozen=True, slots=True)
class Observe:
    """The input features that devices count, and whether also how they depend on each other."""

    features: tuple[str, ...]
    multivariate: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What the model card says besides what is measured. It does not change the model."""

    not_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retrain:
    """How much the test accuracy may fall, and how many times each captured sample is shown per epoch.

    ``strategies`` are tried in their order, until one passes that is within ``recovered_within`` of the accuracy
    that the old model has on the test part. ``policy`` is what the recipe says of when there is a retrain at all.
    """

    margin_on_test: float
    captured_weight: int
    strategies: tuple[str, ...]
    recovered_within: float
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe; ``digest`` is the hex SHA-256 of its content and of a ``python`` architecture's code."""

    name: str
    description: str
    task: str
    data: DataSection
    split: Split
    preprocessing: Preprocessing
    architecture: Architecture
    training: TrainingSection
    quantization: Quantization
    gates: GateLimits
    targets: Targets
    package: Packaging
    anomaly: Anomaly
    search: Search
    observe: Observe
    report: Report
    retrain: Retrain
    path: Path
    digest: str

    @property
    def finds_anomalies(self) -> bool:
        """Whether it learns what is normal, and tells everything else from it."""
        return self.task == ANOMALY
