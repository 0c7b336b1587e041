"""A model card (Mitchell et al. 2019): what a version is, how good, for whom, and what it is not for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeops.reports.figures import Figure, measured

FEW_ITEMS = 20
_MOST_NAMED = 12
_Z = 1.959964  # of a 95% interval


@dataclass(frozen=True, slots=True)
class Size:
    """What a version takes on one target."""

    target: str
    fits: bool
    flash_bytes: int
    arena_bytes: int | None
    latency_ms: tuple[float, float] | None
    reason: str


@dataclass(frozen=True)
class ModelCard:
    """Everything that a card says, as plain data; ``metrics`` as ``Metrics.to_dict`` gives it.

    ``anomalies`` holds the threshold, in the square of the input's unit, and per kind of item how many
    scores lie in each of equal bins of 0..1; None for a classifier. ``not_for`` are the recipe's own lines.
    """

    model: str
    state: str
    description: str
    task: str
    labels: tuple[str, ...]
    dataset: Mapping[str, Any]
    run: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    gates: Sequence[Mapping[str, Any]]
    artifact_bytes: int
    artifact_sha256: str
    calibration: Sequence[Mapping[str, float]]
    curves: Sequence[Mapping[str, float]]
    anomalies: Mapping[str, Any] | None = None
    not_for: tuple[str, ...] = ()
    sizes: Sequence[Size] = ()

    @property
    def finds_anomalies(self) -> bool:
        """Whether the model tells normal from anything else, instead of classes."""
        return self.task == "anomaly"

    @property
    def rejected(self) -> bool:
        """Whether a gate said no."""
        return self.state == "rejected"

    def accuracy(self, kind: str = "int8") -> Figure:
        """Accuracy on the test part with its 95% interval, of the ``int8`` or the ``float`` model."""
        metrics = self.metrics[kind]
        return measured(round(metrics["accuracy"] * metrics["n"]), metrics["n"])

    def auc(self, kind: str = "int8") -> Figure:
        """Area under the ROC curve with its 95% interval."""
        metrics = self.metrics[kind]
        normal, anomalous = (sum(row) for row in metrics["confusion"])
        area = float(metrics["auc"])
        low, high = _area_interval(area, normal, anomalous)
        return Figure(area, low, high, "measured", normal + anomalous)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error (Naeini et al. 2015): mean distance of confidence and accuracy."""
        n = sum(row["n"] for row in self.calibration)
        if not n:
            return None
        return sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in self.calibration) / n

    def classes(self) -> list[dict[str, Any]]:
        """One row a class: items, recall with its interval, what it is most often taken for."""
        rows = []
        for index, (label, counts) in enumerate(
            zip(self.labels, self.metrics["int8"]["confusion"], strict=True)
        ):
            n = sum(counts)
            wrong = [(count, -other) for other, count in enumerate(counts) if other != index and count]
            most, other = max(wrong, default=(0, 0))
            rows.append(
                {
                    "class": label,
                    "items": n,
                    "recall": measured(counts[index], n),
                    "mistaken_for": f"{self.labels[-other]} ({most})" if most else "",
                }
            )
        return rows

    def slices(self) -> list[dict[str, Any]]:
        """One row for each value of each slice, the worst first."""
        rows = [
            {
                "slice": f"{entry['name']} = {entry['value']}",
                "items": entry["n"],
                "accuracy": measured(round(entry["accuracy"] * entry["n"]), entry["n"]),
            }
            for entry in self.metrics["int8"].get("slices", [])
        ]
        return sorted(rows, key=lambda row: row["accuracy"].value or 0.0)

    def limits(self) -> list[str]:
        """What the model must not be used for: the recipe's lines, then what follows from the figures."""
        lines = list(self.not_for)
        if self.rejected:
            lines.append("Devices: a gate said no, and this version cannot be rolled out.")
        if self.finds_anomalies:
            lines.append(
                "Naming what is wrong: it only tells that an input is unlike the normal data of this card."
            )
        else:
            lines.append(
                "Inputs of another kind than the data of this card: whatever it is shown, it answers with one "
                "of its labels."
            )
        rows = self.classes()
        if missed := [row["class"] for row in rows if row["items"] and row["recall"].value < 0.5]:
            lines.append(
                f"Finding {_listed(missed)}: more than half of such items are taken for something else."
            )
        if unseen := [row["class"] for row in rows if not row["items"]]:
            lines.append(f"Trusting it on {_listed(unseen)}: the test part has no such item.")
        if few := [f"{row['slice']} ({row['items']})" for row in self.slices() if row["items"] < FEW_ITEMS]:
            lines.append(
                f"Slices with fewer than {FEW_ITEMS} items, whose figures say little: {', '.join(few)}."
            )
        lines.append("Decisions about people or their safety without somebody who checks them.")
        return lines

    def failed_gates(self) -> list[str]:
        """The names of the gates that said no."""
        return [gate["name"] for gate in self.gates if not gate["passed"]]

    @property
    def alike(self) -> str:
        """A warning where the test items are windows of recordings, else empty."""
        data = self.run.get("settings", {}).get("data", {})
        if not (data.get("window") and data.get("stride")):
            return ""
        return (
            "The items are windows of recordings. Those of one recording resemble each other, and the intervals "
            "take them as independent: they are narrower than they should be."
        )

    def facts(self) -> list[tuple[str, str]]:
        """What the card begins with: name and value."""
        data, run = self.dataset, self.run
        found = [
            ("state", self.state),
            ("task", self.task),
            ("labels", ", ".join(self.labels)),
            ("data", _data(data)),
            ("split", _split(data.get("split", {}))),
            ("held out", ", ".join(f"{k} = {' or '.join(v)}" for k, v in run.get("holdout", {}).items())),
            ("cut by time", _by_time(run.get("settings", {}))),
            ("architecture", f"{run.get('architecture', '')} {_pairs(run.get('parameters', {}))}".strip()),
            ("training", _training(run)),
            ("quantization", _quantization(run.get("notes", {}))),
            ("environment", _pairs(run.get("environment", {}))),
            ("artifact", f"{self.artifact_bytes} bytes, sha256 {self.artifact_sha256}"),
        ]
        return [(name, value) for name, value in found if value]

    def size_rows(self) -> list[tuple[str, ...]]:
        """The fit table as text: target, verdict, flash, arena, latency."""
        return [
            (
                size.target,
                "fits" if size.fits else f"does not fit: {size.reason}",
                f"{size.flash_bytes:,} B",
                "-" if size.arena_bytes is None else f"{size.arena_bytes:,} B",
                "-" if size.latency_ms is None else f"{size.latency_ms[0]:.3g}..{size.latency_ms[1]:.3g} ms",
            )
            for size in self.sizes
        ]


def _area_interval(area: float, n: int, m: int) -> tuple[float, float]:
    """95% interval of an area under the ROC curve of n against m items (Newcombe 2006, method 5).

    Its ends are the areas a with |area - a| = z * sqrt(V(a)), where V(a) = a * (1 - a) * (1 + (k - 1) *
    ((1 - a) / (2 - a) + a / (1 + a))) / (n * m) and k = (n + m) / 2; found by halving.
    """

    def within(a: float) -> bool:
        inner = (1 - a) / (2 - a) + a / (1 + a)
        spread = a * (1 - a) * (1 + ((n + m) / 2 - 1) * inner) / (n * m)
        return abs(area - a) <= _Z * math.sqrt(spread)

    ends = []
    for outer in (0.0, 1.0):
        inside, outside = area, outer
        for _ in range(50):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if within(middle) else (inside, middle)
        ends.append(inside)
    return ends[0], ends[1]


def share(figure: Figure) -> str:
    """``0.950 (0.931..0.965)``, or a dash."""
    if figure.value is None or figure.low is None or figure.high is None:
        return "-"
    return f"{figure.value:.3f} ({figure.low:.3f}..{figure.high:.3f})"


def number(value: float) -> str:
    """A figure of a gate: a fraction, or a whole number of bytes."""
    return (
        str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) > 1 else f"{value:.4g}"
    )


def _data(data: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{n:,} {part.replace('_', ' ')}" for part, n in data["parts"].items() if n)
    source = f", from {data['source']}" if data.get("source") else ""
    aside = f"; {data['quarantined']:,} set aside" if data.get("quarantined") else ""
    return f"{data['name']}@{data['version']}, {data['kind']}{source}: {parts}{aside}"


def _split(split: Mapping[str, Any]) -> str:
    if not split.get("shares"):
        return ""
    shares = ", ".join(f"{name} {value:.0%}" for name, value in split["shares"].items() if value)
    by = f"by {split['group']}, " if split.get("group") else ""
    return f"{by}stratified: {shares}" if split.get("stratified") else f"{by}{shares}"


def _by_time(settings: Mapping[str, Any]) -> str:
    labels = settings.get("split", {}).get("by_time", [])
    if not labels:
        return ""
    return f"recordings of {', '.join(labels)}: their beginning trains, their end tests"


def _listed(names: Sequence[str]) -> str:
    """The first few in quotes, and how many there are besides."""
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _training(run: Mapping[str, Any]) -> str:
    how = run.get("settings", {}).get("training", {})
    said = [f"run {run['id']}", f"seed {run['seed']}"]
    if how:
        said += [
            f"{how['epochs']} epochs",
            f"batches of {how['batch_size']}",
            f"learning rate {how['learning_rate']:g}",
        ]
    return ", ".join([*said, f"{run['seconds']:.0f} s"])


def _quantization(notes: Mapping[str, Any]) -> str:
    tried = notes.get("representative", {})
    said = []
    if tried:
        shown = ", ".join(f"{size} ({value:.4g})" for size, value in tried.items())
        said.append(f"representative items, with the quality on the validation part: {shown}")
    if aware := notes.get("aware"):
        said.append(f"training with quantization {'taken' if aware['taken'] else 'tried, not taken'}")
    return "; ".join(said)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
