"""The model card: what it computes, what it must say, and that its page is closed in itself."""

from __future__ import annotations

import dataclasses
import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeops.reports.model_card import ModelCard, Size
from edgeops.reports.model_card_page import render_html, render_markdown

HOSTILE = "<script>alert(1)</script>|\"'&"
GATES = [
    {"name": "min_int8_accuracy", "passed": True, "value": 0.8, "limit": 0.7, "note": ""},
    {"name": "fits_stm32l4r5", "passed": False, "value": 1.5, "limit": 1.0, "note": "arena of 1,000,000 B"},
]


def metrics(confusion: list[list[int]], **more: Any) -> dict[str, Any]:
    n = sum(map(sum, confusion))
    return {
        "accuracy": sum(row[i] for i, row in enumerate(confusion)) / n,
        "confusion": confusion,
        "n": n,
        **more,
    }


SLICES = [
    {"name": "load", "value": "1", "accuracy": 0.9, "n": 90},
    {"name": "load", "value": "2", "accuracy": 0.5, "n": 6},
]
CLASSIFIER = ModelCard(
    model="fruit@3",
    state="registered",
    description="Apples and pears",
    task="classification",
    labels=("apple", "pear", "quince"),
    dataset={
        "name": "fruit",
        "version": 2,
        "kind": "image",
        "parts": {"train": 1000, "test": 100, "field": 0},
        "source": "fruit.zip",
        "split": {"shares": {"train": 0.9, "test": 0.1, "field": 0.0}, "group": "tree", "stratified": True},
        "quarantined": 3,
    },
    run={
        "id": 7,
        "seed": 5,
        "seconds": 61.4,
        "holdout": {"tree": ["a", "b"]},
        "architecture": "small_cnn",
        "parameters": {"dense": 16},
        "settings": {"training": {"epochs": 9, "batch_size": 32, "learning_rate": 0.002}},
        "notes": {"representative": {"50": 0.8}, "aware": {"taken": False}},
        "environment": {"python": "3.11"},
    },
    metrics={
        "float": metrics([[45, 5, 0], [5, 35, 0], [4, 6, 0]]),
        "int8": metrics([[44, 6, 0], [8, 32, 0], [4, 6, 0]], slices=SLICES),
    },
    gates=GATES,
    artifact_bytes=12_345,
    artifact_sha256="ab" * 32,
    calibration=[
        {"n": 60, "confidence": 0.9, "accuracy": 0.8},
        {"n": 40, "confidence": 0.5, "accuracy": 0.7},
    ],
    curves=[{"loss": 2.0, "accuracy": 0.4, "val_accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.7}],
    not_for=("Sorting for sale.",),
    sizes=(
        Size("stm32l4r5", False, 90_000, 1_000_000, (1.5, 22.0), "arena"),
        Size("linux", True, 12_345, None, None, ""),
    ),
)


def anomaly_card(normal: int = 60, anomalous: int = 40, auc: float = 0.9) -> ModelCard:
    found = metrics([[normal - 3, 3], [5, anomalous - 5]], auc=auc)
    return dataclasses.replace(
        CLASSIFIER,
        task="anomaly",
        labels=("normal", "anomaly"),
        metrics={"float": found, "int8": found},
        curves=[
            {"loss": 1.0, "accuracy": 0.0, "val_loss": 2.0},
            {"loss": 0.5, "accuracy": 0.0, "val_loss": 1.0},
        ],
        anomalies={
            "threshold": 0.0375,
            "scores": {"normal": [normal] + [0] * 15, "anomaly": [0] * 15 + [40]},
        },
    )


class TestFigures:
    def test_accuracies_have_wilson_intervals(self) -> None:
        figure = CLASSIFIER.accuracy()
        assert (figure.value, figure.n) == (0.76, 100)
        assert (figure.low, figure.high) == (pytest.approx(0.668, abs=1e-3), pytest.approx(0.833, abs=1e-3))
        assert CLASSIFIER.accuracy("float").value == 0.8

    def test_the_calibration_error_is_the_mean_distance(self) -> None:
        assert CLASSIFIER.calibration_error == pytest.approx(0.6 * 0.1 + 0.4 * 0.2)
        assert dataclasses.replace(CLASSIFIER, calibration=[]).calibration_error is None

    def test_a_class_says_what_it_is_taken_for(self) -> None:
        rows = {row["class"]: row for row in CLASSIFIER.classes()}
        assert rows["apple"]["mistaken_for"] == "pear (6)"
        assert rows["quince"]["recall"].value == 0
        tied = dataclasses.replace(
            CLASSIFIER, metrics={**CLASSIFIER.metrics, "int8": metrics([[2, 2, 2], [0, 1, 0], [0, 0, 0]])}
        )
        assert [row["mistaken_for"] for row in tied.classes()] == ["pear (2)", "", ""]
        assert tied.classes()[2]["recall"].value is None

    def test_the_worst_slice_comes_first(self) -> None:
        assert [row["slice"] for row in CLASSIFIER.slices()] == ["load = 2", "load = 1"]

    def test_an_area_is_told_from_chance_where_mann_and_whitney_tell_it(self) -> None:
        """The end of the interval lies at 0.5 where the area is 1.96 deviations of the rank sum above it."""
        n, m = 60, 40
        deviation = math.sqrt((n + m + 1) / (12 * n * m))
        figure = anomaly_card(n, m, 0.5 + 1.959964 * deviation).auc()
        assert figure.low == pytest.approx(0.5, abs=1e-6)

    @given(auc=st.floats(0, 1), normal=st.integers(4, 5000), anomalous=st.integers(6, 5000))
    def test_an_area_lies_in_its_interval(self, auc: float, normal: int, anomalous: int) -> None:
        figure = anomaly_card(normal, anomalous, auc).auc()
        assert figure.low is not None and figure.high is not None
        assert 0 <= figure.low <= auc <= figure.high <= 1
        assert figure.low < figure.high  # however good it was, it was measured on so many items only

    def test_more_items_say_more(self) -> None:
        wide, narrow = anomaly_card(60, 40, 1.0).auc(), anomaly_card(600, 400, 1.0).auc()
        assert wide.low is not None and narrow.low is not None
        assert wide.low < narrow.low < 1


class TestWords:
    def test_what_it_is_not_for_begins_with_the_recipes_own_lines(self) -> None:
        lines = CLASSIFIER.limits()
        assert lines[0] == "Sorting for sale."
        said = "\n".join(lines)
        assert "one of its labels" in said
        assert "Finding 'quince'" in said and "'apple'" not in said
        assert "load = 2 (6)" in said and "load = 1" not in said
        assert "gate" not in said
        assert "a gate said no" in "\n".join(dataclasses.replace(CLASSIFIER, state="rejected").limits())

    def test_classes_that_are_missed_are_one_line_and_many_are_counted(self) -> None:
        labels = tuple(f"c{i}" for i in range(20))
        confusion = [[9 if column == 0 else 0 for column in range(20)] for _ in range(19)] + [[0] * 20]
        card = dataclasses.replace(CLASSIFIER, labels=labels, metrics={"int8": metrics(confusion)})
        (missed,) = [line for line in card.limits() if line.startswith("Finding")]
        assert "'c1', 'c2'" in missed and "'c12' and 6 more" in missed and "'c19'" not in missed
        assert "Trusting it on 'c19': the test part has no such item." in card.limits()

    def test_windows_of_recordings_are_not_independent(self) -> None:
        settings = {"data": {"window": 64, "stride": 32}, "split": {"by_time": ["normal"]}}
        card = dataclasses.replace(CLASSIFIER, run={**CLASSIFIER.run, "settings": settings})
        for text in (render_markdown(card), render_html(card)):
            assert "narrower than they should be" in text
            assert "recordings of normal: their beginning trains, their end tests" in text
        assert CLASSIFIER.alike == ""

    def test_the_split_is_what_was_used_in_the_units_that_were(self) -> None:
        parts = {
            "train": {"inputs": 600, "items": 13},
            "test": {"inputs": 400, "items": 6},
        }
        run = {**CLASSIFIER.run, "parts": parts, "holdout": {}}
        whole = dict(dataclasses.replace(CLASSIFIER, run=run).facts())
        assert whole["data"] == "fruit@2, image, from fruit.zip: 1,100 items; 3 set aside"
        assert whole["split"] == (
            "by tree, stratified: train 600 windows of 13 images (60%); test 400 windows of 6 images (40%)"
        )
        timed = {**run, "settings": {"split": {"by_time": ["normal"]}, "data": {"window": 64, "stride": 8}}}
        facts = dict(dataclasses.replace(CLASSIFIER, run=timed).facts())
        assert facts["split"].startswith("train 600 windows") and "cut by time" in facts
        held = {**timed, "settings": {"data": {"stride": 8}}, "holdout": {"load": ["1"]}}
        assert dict(dataclasses.replace(CLASSIFIER, run=held).facts())["split"].startswith("train 600")

    def test_folders_of_the_source_are_named_where_they_decided(self) -> None:
        parts = {
            "train": {"inputs": 60, "items": 60, "own_folder": 60},
            "validation": {"inputs": 10, "items": 10, "own_folder": 0},
            "test": {"inputs": 30, "items": 30, "own_folder": 30},
        }
        run = {**CLASSIFIER.run, "parts": parts, "holdout": {}}
        split = dict(dataclasses.replace(CLASSIFIER, run=run).facts())["split"]
        assert split == (
            "train 60 images (60%); validation 10 images (10%); test 30 images (30%); "
            "train and test as the folders of the source say"
        )
        mixed = {**run, "parts": {**parts, "test": {"inputs": 30, "items": 30, "own_folder": 29}}}
        assert "folders" not in dict(dataclasses.replace(CLASSIFIER, run=mixed).facts())["split"]

    def test_few_recordings_are_not_hidden_by_their_windows(self) -> None:
        run = {**CLASSIFIER.run, "parts": {"test": {"inputs": 100, "items": 3}}}
        found = {
            kind: {**m, "effective_n": 12.0, "class_effective_n": [6, 4, 2]}
            for kind, m in CLASSIFIER.metrics.items()
        }
        card = dataclasses.replace(
            CLASSIFIER, run=run, metrics=found, dataset={**CLASSIFIER.dataset, "kind": "series"}
        )
        assert "Relying on its figures: 3 recordings test it, and others may be harder." in card.limits()
        assert card.accuracy().low is not None and card.accuracy().low < (CLASSIFIER.accuracy().low or 0)
        for text in (render_markdown(card), render_html(card)):
            assert "100 windows of 3 recordings of the test part" in text
            assert "the intervals count them as 12." in text

    def test_a_version_for_evaluation_says_so(self) -> None:
        lines = dataclasses.replace(CLASSIFIER, state="evaluation").limits()
        assert any(line.startswith("Devices: it was trained to be tested") for line in lines)

    def test_more_alarms_than_the_threshold_was_set_for_are_told(self) -> None:
        run = {**CLASSIFIER.run, "settings": {"anomaly": {"quantile": 0.99}}}
        said = "\n".join(dataclasses.replace(anomaly_card(), run=run).limits())
        assert "Acting on single alarms: 5.0% of the normal test items raise one" in said
        assert "set for 1.0%" in said
        lax = {**CLASSIFIER.run, "settings": {"anomaly": {"quantile": 0.97}}}
        assert "single alarms" not in "\n".join(dataclasses.replace(anomaly_card(), run=lax).limits())

    def test_a_list_of_a_parameter_is_not_printed_as_code(self) -> None:
        run = {**CLASSIFIER.run, "parameters": {"filters": [10, 4], "dense": 16}}
        assert dict(dataclasses.replace(CLASSIFIER, run=run).facts())["architecture"] == (
            "small_cnn filters 10, 4; dense 16"
        )

    def test_without_a_description_or_a_limit_nothing_is_made_up(self) -> None:
        gates = [{"name": "max_artifact_bytes", "passed": True, "value": 100, "limit": 2**31 - 1, "note": ""}]
        card = dataclasses.replace(CLASSIFIER, description="", gates=gates)
        for text in (render_markdown(card), render_html(card)):
            assert "No description" not in text and "2147483647" not in text

    def test_an_anomaly_model_names_nothing(self) -> None:
        said = "\n".join(anomaly_card().limits())
        assert "Naming what is wrong" in said
        assert "labels" not in said

    def test_the_facts(self) -> None:
        facts = dict(CLASSIFIER.facts())
        assert facts["data"] == "fruit@2, image, from fruit.zip: 1,000 train, 100 test; 3 set aside"
        assert facts["split"] == "by tree, stratified: train 90%, test 10%"
        assert facts["held out"] == "tree = a or b"
        assert facts["training"] == "run 7, seed 5, 9 epochs, batches of 32, learning rate 0.002, 61 s"
        assert facts["quantization"].endswith("50 (0.800); training with quantization tried, not taken")

    def test_a_run_of_an_older_version_has_fewer(self) -> None:
        run = {"id": 1, "seed": 1, "seconds": 3.0}
        data = {"name": "d", "version": 1, "kind": "table", "parts": {}}
        bare = dataclasses.replace(CLASSIFIER, run=run, dataset=data, calibration=[], curves=[], sizes=())
        facts = dict(bare.facts())
        assert facts["training"] == "run 1, seed 1, 3 s"
        assert not {"held out", "quantization", "environment", "split"} & facts.keys()
        for text in (render_markdown(bare), render_html(bare)):
            assert "fruit@3" in text
            assert not re.search(r"(## |<h2>)(Calibration|Training|Fit)", text)


class TestMarkdown:
    def test_every_section_is_there(self) -> None:
        text = render_markdown(CLASSIFIER)
        assert re.findall(r"^#+ (.+)$", text, re.MULTILINE) == [
            "fruit@3",
            "Accuracy",
            "Slices",
            "Gates",
            "Fit",
            "Not for",
        ]
        assert "| pear | 40 | 0.800 (0.652..0.895) | apple (8) |" in text
        assert "| fits_stm32l4r5 | FAIL | 150.0% | 100% | arena of 1,000,000 B |" in text
        assert "| stm32l4r5 | does not fit: arena | 90,000 B | 1,000,000 B | 1.5..22 ms |" in text
        assert "| linux | fits | 12,345 B | - | - |" in text
        assert "Expected calibration error: 0.140." in text

    def test_a_bar_in_a_name_does_not_break_the_table(self) -> None:
        named = dataclasses.replace(CLASSIFIER, labels=(HOSTILE, "b|c", "d"))
        rows = [line for line in render_markdown(named).splitlines() if line.startswith("| b")]
        assert rows == [
            r"| b\|c | 40 | 0.800 (0.652..0.895) | &lt;script>alert(1)&lt;/script>\|" + "\"'&amp; (8) |"
        ]

    def test_no_name_is_markup_and_none_ends_its_line(self) -> None:
        named = dataclasses.replace(
            CLASSIFIER, labels=("<b>\n| x", "pear", "quince"), description="a\n# b <i>", not_for=("c\nd",)
        )
        text = render_markdown(named)
        assert "<b>" not in text and "<i>" not in text
        assert "\n# b" not in text and "- c d\n" in text
        assert "- labels: &lt;b> | x, pear, quince" in text

    def test_a_rejected_version_says_so_at_the_top(self) -> None:
        text = render_markdown(dataclasses.replace(CLASSIFIER, state="rejected"))
        assert text.splitlines()[4] == "**Rejected: fits_stm32l4r5 said no.**"

    def test_an_anomaly_model_has_its_threshold(self) -> None:
        text = render_markdown(anomaly_card())
        assert "Threshold of the mean squared error of the restored input: 0.0375." in text
        assert "| area under the ROC curve | 0.900 (" in text
        assert "| false alarms | 0.050 (" in text


class TestPage:
    @pytest.mark.parametrize("card", [CLASSIFIER, anomaly_card()], ids=["classifier", "anomaly"])
    def test_it_is_closed_in_itself_and_its_pictures_are_whole(self, card: ModelCard) -> None:
        named = dataclasses.replace(card, labels=(HOSTILE, *card.labels[1:]), description=HOSTILE)
        page = render_html(named)
        assert "<script" not in page
        assert "http" not in page
        assert not re.search(r"(src|href|url)\s*[=(]", page)
        pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
        assert len(pictures) >= 3
        for picture in pictures:
            root = ElementTree.fromstring(picture)
            assert root.get("aria-label")

    def test_it_shows_what_there_is(self) -> None:
        page = render_html(CLASSIFIER)
        for words in ("Confusion matrix", "confidence of the answer", "Accuracy by epoch", "Loss by epoch"):
            assert words in page
        assert "Sorting for sale." in page
        assert "Rejected" not in page
        assert "Rejected" in render_html(dataclasses.replace(CLASSIFIER, state="rejected"))
        anomaly = render_html(anomaly_card())
        assert "Anomaly scores of the test items" in anomaly
        assert "confidence of the answer" not in anomaly
        assert "Accuracy by epoch" not in anomaly  # an autoencoder has none
        assert "False alarms</dt><dd>5.0%" in anomaly

    def test_an_axis_near_one_does_not_say_the_same_twice(self) -> None:
        curves = [{"loss": 0.1, "accuracy": 0.99}, {"loss": 0.1, "accuracy": 1.0}]
        page = render_html(dataclasses.replace(CLASSIFIER, curves=curves))
        picture = next(svg for svg in re.findall(r"<svg.*?</svg>", page) if "Accuracy by epoch" in svg)
        ticks = re.findall(r'text-anchor="end">([\d.]+%)<', picture)
        assert len(ticks) == len(set(ticks)) > 2

    def test_many_classes_still_have_a_picture(self) -> None:
        n = 60
        diagonal = [[9 if i == j else 0 for j in range(n)] for i in range(n)]
        card = dataclasses.replace(
            CLASSIFIER,
            labels=tuple(f"a rather long class name {i}" for i in range(n)),
            metrics={"float": metrics(diagonal), "int8": metrics(diagonal)},
        )
        picture = re.findall(r"<svg.*?</svg>", render_html(card), re.DOTALL)[0]
        box = [float(value) for value in (ElementTree.fromstring(picture).get("viewBox") or "").split()]
        assert picture.count("<rect") == n * n
        assert box[3] < 1000
