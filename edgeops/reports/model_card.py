"""A model card (Mitchell et al. 2019): what a version is, how good, for whom, and what it is not for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeops.reports.figures import Figure
from edgeops.reports.quality import accuracy, area, false_alarms, inputs_of, recall, scarce, share_figure

FEW_ITEMS = 20
_MOST_NAMED = 12
_MANY_ALARMS = 2  # times as many as the threshold was set for
_NO_LIMIT = 2**31 - 1  # what older runs recorded for a size without one


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
    ``artifacts`` are the forms that devices get, ``not_packaged`` says of a runtime why it gets none.
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
    artifacts: Sequence[Mapping[str, Any]] = ()
    not_packaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def finds_anomalies(self) -> bool:
        """Whether the model tells normal from anything else, instead of classes."""
        return self.task == "anomaly"

    @property
    def rejected(self) -> bool:
        """Whether a gate said no."""
        return self.state == "rejected"

    @property
    def for_evaluation(self) -> bool:
        """Whether it was trained to be measured on what was held out on the command line, and not for devices."""
        return self.state == "evaluation"

    @property
    def tested(self) -> Mapping[str, int]:
        """How many ``inputs``, ``items`` and ``groups`` the test part has."""
        n = self.metrics["int8"]["n"]
        return self.run.get("parts", {}).get("test", {"inputs": n, "items": n})

    @property
    def tested_on(self) -> str:
        """``9,763 windows of 17 recordings``, or as many items where an older run does not say of what."""
        if "parts" not in self.run:
            return f"{self.tested['inputs']:,} test items"
        return f"{inputs_of(self.tested, self.dataset['kind'])} of the test part"

    def accuracy(self, kind: str = "int8") -> Figure:
        """Accuracy on the test part with its 95% interval, of the ``int8`` or the ``float`` model."""
        return accuracy(self.metrics[kind])

    def auc(self, kind: str = "int8") -> Figure:
        """Area under the ROC curve with its 95% interval."""
        return area(self.metrics[kind])

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
                    "recall": recall(self.metrics["int8"], index),
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
                "accuracy": share_figure(entry["accuracy"], entry["n"], entry.get("effective_n")),
            }
            for entry in self.metrics["int8"].get("slices", [])
        ]
        return sorted(rows, key=lambda row: row["accuracy"].value or 0.0)

    def limits(self) -> list[str]:
        """What the model must not be used for: the recipe's lines, then what follows from the figures."""
        lines = list(self.not_for)
        if self.rejected:
            lines.append("Devices: a gate said no, and this version cannot be rolled out.")
        if self.for_evaluation:
            lines.append(
                "Devices: it was trained to be tested on what --holdout named, and is not rolled out."
            )
        if self.finds_anomalies:
            lines.append(
                "Naming what is wrong: it only tells that an input is unlike the normal data of this card."
            )
            lines += self._alarms()
        else:
            lines.append(
                "Inputs of another kind than the data of this card: whatever it is shown, it answers with one "
                "of its labels."
            )
        if too_few := scarce(self.tested, self.dataset["kind"]):
            lines.append(f"Relying on its figures: {too_few} test it, and others may be harder.")
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

    def _alarms(self) -> list[str]:
        """Where normal items raise more alarms than the threshold was set for."""
        found, quantile = false_alarms(self.metrics["int8"]), self._setting("anomaly").get("quantile")
        if found.value is None or quantile is None or found.value <= _MANY_ALARMS * (1 - quantile):
            return []
        return [
            f"Acting on single alarms: {found.value:.1%} of the normal test items raise one, where the threshold "
            f"was set for {1 - quantile:.1%}."
        ]

    def _setting(self, section: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run.get("settings", {}).get(section, {})
        return found

    def failed_gates(self) -> list[str]:
        """The names of the gates that said no."""
        return [gate["name"] for gate in self.gates if not gate["passed"]]

    @property
    def alike(self) -> str:
        """What the intervals make of test inputs that are not independent; empty where they are."""
        metrics, data = self.metrics["int8"], self._setting("data")
        if "effective_n" in metrics:
            return (
                "Windows that overlap, and inputs of one recording or group, resemble each other: the intervals "
                f"count them as {metrics['effective_n']:,.0f}."
            )
        if not (data.get("window") and data.get("stride")) or "parts" in self.run:
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
            ("data", _data(data, run.get("parts"))),
            ("split", _split(data, run)),
            ("held out", ", ".join(f"{k} = {' or '.join(v)}" for k, v in run.get("holdout", {}).items())),
            ("cut by time", _by_time(run.get("settings", {}))),
            ("architecture", f"{run.get('architecture', '')} {_pairs(run.get('parameters', {}))}".strip()),
            ("training", _training(run)),
            ("quantization", _quantization(run.get("notes", {}))),
            ("environment", _pairs(run.get("environment", {}))),
            *self._artifacts(),
        ]
        return [(name, value) for name, value in found if value]

    def _artifacts(self) -> list[tuple[str, str]]:
        """The forms of the model; the ``.tflite`` alone where nothing is packaged."""
        found = [
            (
                "artifact" if form["runtime"] == "tflite" else form["runtime"],
                f"{form['bytes']} bytes, sha256 {form['sha256']}"
                + (f", arena {form['arena_bytes']} bytes" if form["arena_bytes"] else ""),
            )
            for form in self.artifacts
        ]
        if not any(name == "artifact" for name, _ in found):
            whole = f"{self.artifact_bytes} bytes, sha256 {self.artifact_sha256}"
            found.insert(0, ("artifact", f"{whole}, not for devices" if found else whole))
        return [
            *found,
            *((name, f"none: {why}") for name, why in self.not_packaged.items() if name != "tflite"),
        ]

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


def gate_figures(gate: Mapping[str, Any]) -> tuple[str, str]:
    """Value and limit of a gate as text; a fit is a share of what the part has."""
    value, limit = float(gate["value"]), float(gate["limit"])
    if gate["name"].startswith("fits_"):
        return f"{value:.1%}", f"{limit:.0%}"
    return number(value), "-" if limit == _NO_LIMIT else number(limit)


def number(value: float) -> str:
    """A figure of a gate: a fraction, or a whole number of bytes."""
    return (
        str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) > 1 else f"{value:.4g}"
    )


def _data(data: Mapping[str, Any], used: Mapping[str, Any] | None) -> str:
    parts = ", ".join(f"{n:,} {part.replace('_', ' ')}" for part, n in data["parts"].items() if n)
    if used is not None:  # which part an item was used for stands with the split
        parts = f"{sum(data['parts'].values()):,} items"
    source = f", from {data['source']}" if data.get("source") else ""
    aside = f"; {data['quarantined']:,} set aside" if data.get("quarantined") else ""
    return f"{data['name']}@{data['version']}, {data['kind']}{source}: {parts}{aside}"


def _split(data: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """What each part really had; of an older run what the dataset was asked for."""
    split, used = data.get("split", {}), run.get("parts")
    if used is None and not split.get("shares"):
        return ""
    held, settings = bool(run.get("holdout")), run.get("settings", {})
    cut = settings.get("split", {}).get("by_time") or (held and settings.get("data", {}).get("stride"))
    by = f"by {split['group']}, " if split.get("group") and not cut else ""
    how = f"{by}stratified: " if split.get("stratified") and not cut else by
    if used is None:
        shares = ", ".join(f"{name} {value:.0%}" for name, value in split["shares"].items() if value)
        return f"{how}{shares}"
    whole = sum(counts["inputs"] for counts in used.values())
    said = "; ".join(
        f"{part.replace('_', ' ')} {inputs_of(counts, data['kind'])} ({counts['inputs'] / whole:.0%})"
        for part, counts in used.items()
    )
    kept = [part for part, counts in used.items() if counts.get("own_folder") == counts["items"]]
    if "test" not in kept or held or cut:
        return f"{how}{said}"
    return f"{said}; {' and '.join(kept)} as the folders of the source say"


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
        shown = ", ".join(f"{size} ({value:.3f})" for size, value in tried.items())
        said.append(f"representative items (quality on the validation part): {shown}")
    if aware := notes.get("aware"):
        said.append(f"training with quantization {'taken' if aware['taken'] else 'tried, not taken'}")
    return "; ".join(said)


def _pairs(values: Mapping[str, Any]) -> str:
    lists = any(isinstance(value, list | tuple) for value in values.values())
    return ("; " if lists else ", ").join(
        f"{name.replace('_', ' ')} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in values.items()
    )
