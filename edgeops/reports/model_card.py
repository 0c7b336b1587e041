"""A model card (Mitchell et al. 2019): what a version is, how good, for whom, and what it is not for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeops.reports.figures import Figure, measured

if TYPE_CHECKING:
    from markupsafe import Markup

_NOT_FOR = (
    "Inputs of another kind than the data below: whatever it is shown, it answers with one of its labels.",
    "Decisions about people or their safety without somebody who checks them.",
    "Slices with few items below: their figures say little.",
)


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
    """Everything that a card says, as plain data; ``metrics`` as ``Metrics.to_dict`` gives it."""

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
    sizes: Sequence[Size] = ()

    @property
    def accuracy(self) -> Figure:
        """int8 accuracy on the test part with its 95% interval."""
        return self._figure(self.metrics["int8"])

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
            wrong = [(count, other) for other, count in enumerate(counts) if other != index and count]
            most = max(wrong, default=None)
            rows.append(
                {
                    "class": label,
                    "items": n,
                    "recall": measured(counts[index], n),
                    "mistaken_for": f"{self.labels[most[1]]} ({most[0]})" if most else "",
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

    @staticmethod
    def _figure(metrics: Mapping[str, Any]) -> Figure:
        return measured(round(metrics["accuracy"] * metrics["n"]), metrics["n"])


def render_markdown(card: ModelCard) -> str:
    """The card as Markdown."""
    lines = [f"# {card.model}", "", card.description or "No description.", ""]
    lines += _facts(card)
    lines += ["", "## Accuracy", "", "| | int8 | float |", "|---|---|---|"]
    for name in ("accuracy", "auc"):
        if name in card.metrics["int8"]:
            lines.append(f"| {name} | {card.metrics['int8'][name]:.4f} | {card.metrics['float'][name]:.4f} |")
    lines += ["", f"int8 on {card.metrics['int8']['n']} test items: {share(card.accuracy)}."]
    if card.calibration_error is not None:
        lines.append(f"Expected calibration error: {card.calibration_error:.3f}.")
    lines += ["", "| class | items | recall | most often taken for |", "|---|---|---|---|"]
    lines += [
        f"| {row['class']} | {row['items']} | {share(row['recall'])} | {row['mistaken_for']} |"
        for row in card.classes()
    ]
    if rows := card.slices():
        lines += ["", "## Slices", "", "| slice | items | accuracy |", "|---|---|---|"]
        lines += [f"| {row['slice']} | {row['items']} | {share(row['accuracy'])} |" for row in rows]
    lines += ["", "## Gates", "", "| gate | | value | limit | |", "|---|---|---|---|---|"]
    lines += [
        f"| {gate['name']} | {'OK' if gate['passed'] else 'FAIL'} | {number(gate['value'])} | "
        f"{number(gate['limit'])} | {gate.get('note', '')} |"
        for gate in card.gates
    ]
    if card.sizes:
        lines += ["", "## Fit", "", "| target | | flash | arena | latency |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in size_rows(card)]
    lines += ["", "## Not for", "", *[f"- {line}" for line in _NOT_FOR], ""]
    return "\n".join(lines)


def _facts(card: ModelCard) -> list[str]:
    return [f"- {name}: {value}" for name, value in facts(card)]


def facts(card: ModelCard) -> list[tuple[str, str]]:
    """What the card begins with."""
    data, run = card.dataset, card.run
    parts = ", ".join(f"{n} {part}" for part, n in data["parts"].items() if n)
    found = [
        ("state", card.state),
        ("task", card.task),
        ("labels", ", ".join(card.labels)),
        ("data", f"{data['name']}@{data['version']}, {data['kind']}: {parts}"),
        ("held out", ", ".join(f"{k} = {' or '.join(v)}" for k, v in run.get("holdout", {}).items())),
        ("architecture", f"{run.get('architecture', '')} {_pairs(run.get('parameters', {}))}".strip()),
        ("training", f"run {run['id']}, seed {run['seed']}, {run['seconds']:.0f} s"),
        ("environment", _pairs(run.get("environment", {}))),
        ("artifact", f"{card.artifact_bytes} bytes, sha256 {card.artifact_sha256}"),
    ]
    return [(name, value) for name, value in found if value]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def size_rows(card: ModelCard) -> list[tuple[str, ...]]:
    """The fit table as text: target, verdict, flash, arena, latency."""
    return [
        (
            size.target,
            "fits" if size.fits else f"does not fit: {size.reason}",
            f"{size.flash_bytes} B",
            "-" if size.arena_bytes is None else f"{size.arena_bytes} B",
            "-" if size.latency_ms is None else f"{size.latency_ms[0]:.3g}..{size.latency_ms[1]:.3g} ms",
        )
        for size in card.sizes
    ]


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


def render_html(card: ModelCard) -> str:
    """The card as one HTML file: no script, no request."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgeops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(share=share, number=number)
    return environment.get_template("model_card.html.j2").render(
        card=card,
        facts=facts(card),
        sizes=size_rows(card),
        not_for=_NOT_FOR,
        confusion=confusion_picture(card.labels, card.metrics["int8"]["confusion"]),
        calibration=_calibration_picture(card),
        curves=_curves_picture(card),
    )


def confusion_picture(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Rows are true classes, columns predicted ones; each row is shaded by its share."""
    from edgeops.reports.svg import matrix

    return matrix("Confusion matrix: rows are true classes, columns what was predicted", labels, counts)


def _calibration_picture(card: ModelCard) -> Markup | None:
    if not card.calibration:
        return None
    from edgeops.reports.svg import Line, line_chart

    points = tuple((100 * row["confidence"], row["accuracy"]) for row in card.calibration)
    ideal = tuple((100 * row["confidence"], row["confidence"]) for row in card.calibration)
    lines = (Line("measured", "a measured", points), Line("ideal", "b estimated", ideal))
    return line_chart("Share that was right, by confidence", lines, (), "confidence, %", height=300)


def _curves_picture(card: ModelCard) -> Markup | None:
    from edgeops.reports.svg import Line, line_chart

    lines = []
    for key, style, label in (
        ("accuracy", "a measured", "training"),
        ("val_accuracy", "b measured", "validation"),
    ):
        points = tuple((float(i), row[key]) for i, row in enumerate(card.curves, 1) if key in row)
        if len(points) > 1 and any(value for _, value in points):
            lines.append(Line(label, style, points))
    return line_chart("Accuracy by epoch", lines, (), "epoch", height=300) if lines else None
