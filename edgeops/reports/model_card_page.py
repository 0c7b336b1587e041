"""The model card as Markdown and as one HTML file: no script, no request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeops.reports.model_card import ModelCard, gate_figures
from edgeops.reports.quality import false_alarms, share

if TYPE_CHECKING:
    from markupsafe import Markup


def render_markdown(card: ModelCard) -> str:
    """The card as Markdown."""
    lines = [f"# {card.model}", ""]
    if card.description:
        lines += [_plain(card.description), ""]
    if card.rejected:
        lines += [f"**Rejected: {', '.join(card.failed_gates()) or 'a gate'} said no.**", ""]
    lines += [f"- {name}: {_plain(value)}" for name, value in card.facts()]
    lines += ["", "## Accuracy", "", *_table(("", "int8", "float"), _quality(card))]
    lines += ["", f"On {card.tested_on}, with 95% intervals."]
    if card.alike:
        lines.append(card.alike)
    if card.calibration_error is not None:
        lines.append(f"Expected calibration error: {card.calibration_error:.3f}.")
    if card.anomalies is not None:
        lines.append(
            f"Threshold of the mean squared error of the restored input: {card.anomalies['threshold']:.4g}."
        )
    rows = [
        (row["class"], str(row["items"]), share(row["recall"]), row["mistaken_for"]) for row in card.classes()
    ]
    lines += ["", *_table(("class", "items", "recall", "most often taken for"), rows)]
    if slices := card.slices():
        lines += ["", "## Slices", ""]
        lines += _table(
            ("slice", "items", "accuracy"),
            [(row["slice"], str(row["items"]), share(row["accuracy"])) for row in slices],
        )
    lines += ["", "## Gates", "", *_table(("gate", "", "value", "limit", ""), _gates(card))]
    if card.sizes:
        lines += ["", "## Fit", "", *_table(("target", "", "flash", "arena", "latency"), card.size_rows())]
    lines += ["", "## Not for", "", *[f"- {_plain(line)}" for line in card.limits()], ""]
    return "\n".join(lines)


def render_html(card: ModelCard) -> str:
    """The card as one HTML file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgeops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(share=share)
    return environment.get_template("model_card.html.j2").render(
        card=card,
        quality=_quality(card),
        gates=_gates(card),
        pictures=_pictures(card),
        curves=_curves(card),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    escaped = [[_plain(value).replace("|", r"\|") for value in row] for row in rows]
    return lines + [f"| {' | '.join(row)} |" for row in escaped]


def _plain(text: str) -> str:
    """One line in which nothing is markup: a label may be ``<b>``."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")


def _quality(card: ModelCard) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("accuracy", share(card.accuracy("int8")), share(card.accuracy("float")))]
    if "auc" in card.metrics["int8"]:
        rows.append(("area under the ROC curve", share(card.auc("int8")), share(card.auc("float"))))
        both = [share(false_alarms(card.metrics[kind])) for kind in ("int8", "float")]
        rows.append(("false alarms", *both))
    return rows


def _gates(card: ModelCard) -> list[tuple[str, ...]]:
    return [
        (
            gate["name"],
            "OK" if gate["passed"] else "FAIL",
            *gate_figures(gate),
            gate.get("note", ""),
        )
        for gate in card.gates
    ]


def _pictures(card: ModelCard) -> dict[str, Markup]:
    """By the place where they stand in the page; only what there are figures for."""
    from edgeops.reports import charts

    found = {"confusion": charts.confusion(card.labels, card.metrics["int8"]["confusion"])}
    if card.anomalies is not None:
        found["scores"] = charts.score_histograms(card.anomalies["scores"], threshold=0.5)
    elif card.calibration:
        found["calibration"] = charts.calibration(card.calibration)
    return found


def _curves(card: ModelCard) -> dict[str, Markup]:
    """Accuracy and loss by epoch, of what was recorded for two epochs or more."""
    from edgeops.reports.charts import curves
    from edgeops.reports.svg import Line

    found = {}
    for measure, percent in (("accuracy", True), ("loss", False)):
        lines = []
        for key, style, label in (
            (measure, "a", "training"),
            (f"val_{measure}", "b estimated", "validation"),
        ):
            points = tuple((float(epoch), row[key]) for epoch, row in enumerate(card.curves, 1) if key in row)
            if len(points) > 1 and any(value for _, value in points):
                lines.append(Line(label, style, points))
        if lines:
            caption = f"{measure.title()} by epoch"
            found[caption] = curves(caption, lines, measure, percent=percent)
    return found
