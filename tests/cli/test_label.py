"""``edgeops label``: captured inputs out as files, labels of people and of teachers in."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from sqlmodel import select
from support.packages import LABELS, MODEL, TFLITE, build, image
from support.registry import NOW, add_version
from support.scripted_fleet import ScriptedFleet

from edgeops.core.features.steps import quantized_input
from edgeops.core.messages import PredictionId
from edgeops.registry.tables import AuditEntry, CapturedSample, LabelTruth
from edgeops.reports.windows import labels_of

DEVICES = ("cam-00", "cam-01")


@pytest.fixture
def captured(fleet: ScriptedFleet) -> list[CapturedSample]:
    """Eight inputs of version 1, half of them uncertain ones; of the first the device has told the truth."""
    package = next(iter(fleet.packages.values()))
    rows = []
    for number in range(8):
        id = PredictionId(package.digest[:8], 1, 1, number, number % 5, 15 - number)
        rows.append(
            CapturedSample(
                prediction=id.pack().hex(),
                device_id=DEVICES[number % 2],
                model=MODEL,
                manifest=package.digest.hex(),
                tensor=quantized_input(package.manifest, image(number)).tobytes(),
                reason="uniform" if number < 4 else "uncertain",
                received_at=NOW + number,
            )
        )
    with fleet.workspace.registry.session() as session:
        session.add_all([CapturedSample(**row.model_dump()) for row in rows])
        session.add(
            LabelTruth(
                prediction=rows[0].prediction,
                device_id=rows[0].device_id,
                model=MODEL,
                manifest_prefix=package.digest[:8].hex(),
                boot=1,
                sequence=1,
                predicted=0,
                truth=1,
                received_at=NOW,
            )
        )
    return rows


def sheet(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "labels.csv").read_text())))


def fill(folder: Path, labels: list[str], delimiter: str = ",", start: str = "") -> None:
    rows = sheet(folder)
    for row, label in zip(rows, labels, strict=False):
        row["label"] = label
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    (folder / "labels.csv").write_text(start + out.getvalue())


def truths(fleet: ScriptedFleet) -> list[tuple[int, str, bool]]:
    with fleet.workspace.registry.reading() as session:
        rows = session.exec(select(LabelTruth).order_by(LabelTruth.prediction)).all()
        return [(row.truth, row.source, row.representative) for row in rows]


def exported(tool, folder: Path, *arguments: str) -> dict:
    code, out, told = tool("label", "export", str(folder), *arguments, "--json")
    assert code == 0, told
    return json.loads(out)


def imported(tool, path: Path, *arguments: str) -> dict:
    code, out, told = tool("label", "import", str(path), *arguments, "--json")
    assert code == 0, told
    return json.loads(out)


class TestExport:
    def test_images_are_pictures_and_the_sheet_says_what_the_model_thought(
        self, captured, tool, tmp_path: Path
    ) -> None:
        folder = tmp_path / "out"
        written = exported(tool, folder)
        assert (written["inputs"], written["unreadable"], written["labels"]) == (7, 0, list(LABELS))
        rows = sheet(folder)
        assert [row["predicted"] for row in rows[:2]] == [LABELS[1], LABELS[2]]
        assert [row["confidence"] for row in rows[:2]] == ["0.91", "0.84"]
        assert {row["label"] for row in rows} == {""}
        picture = Image.open(folder / rows[0]["file"])
        assert (picture.size, picture.mode) == ((8, 8), "L")
        # 0 to 16 is what this model is given: it is stretched, or all would be black
        assert picture.getextrema()[1] > 100
        assert all(
            f"{index}  {label}" in (folder / "README.txt").read_text() for index, label in enumerate(LABELS)
        )

    def test_by_alert_by_version_and_so_many_only(self, captured, tool, tmp_path: Path) -> None:
        assert exported(tool, tmp_path / "a", "--limit", "3", "--model", f"{MODEL}@1")["inputs"] == 3
        assert [row["file"] for row in sheet(tmp_path / "a")] == [
            row["file"] for row in sheet(Path(exported(tool, tmp_path / "all")["folder"]))
        ][:3]
        assert tool("label", "export", str(tmp_path / "b"), "--alert", "9")[0] == 4
        assert tool("label", "export", str(tmp_path / "b"), "--model", "other")[0] == 4
        assert not (tmp_path / "b").exists()

    def test_a_sheet_that_may_hold_work_is_not_written_over(self, captured, tool, tmp_path: Path) -> None:
        exported(tool, tmp_path / "out")
        code, _, told = tool("label", "export", str(tmp_path / "out"))
        assert (code, "may hold labels" in told, "label import" in told) == (2, True, True)

    def test_a_tensor_of_another_size_is_left_out_and_counted(
        self, captured, fleet: ScriptedFleet, tool, tmp_path: Path
    ) -> None:
        with fleet.workspace.registry.session() as session:
            row = session.get_one(CapturedSample, (captured[1].prediction, captured[1].device_id))
            row.tensor = b"short"
            session.add(row)
        written = exported(tool, tmp_path / "out")
        assert (written["inputs"], written["unreadable"]) == (6, 1)
        # it does not take the place of one that can be read
        few = exported(tool, tmp_path / "few", "--limit", "1")
        assert (few["inputs"], few["unreadable"]) == (1, 1)

    def test_of_several_models_one_must_be_named(
        self, captured, fleet: ScriptedFleet, tool, tmp_path: Path
    ) -> None:
        other = build(1, model="other")
        with fleet.workspace.registry.session() as session:
            add_version(session, other)
            row = CapturedSample(**captured[1].model_dump())
            row.prediction, row.model, row.manifest = "f" * 40, "other", other.digest.hex()
            session.add(row)
        code, _, told = tool("label", "export", str(tmp_path / "out"))
        assert (code, f"there are captured inputs of other, {MODEL}" in told) == (2, True), told


class TestImport:
    def test_names_and_numbers_are_taken_once_and_empty_ones_are_none(
        self, captured, fleet: ScriptedFleet, tool, tmp_path: Path
    ) -> None:
        exported(tool, tmp_path)
        fill(tmp_path, [LABELS[3], "2", LABELS[1].upper(), "", "4"])
        done = imported(tool, tmp_path)
        assert (done["new"], done["same"], done["empty"]) == (4, 0, 3)
        # an uncertain one was preferred: it tells no accuracy
        assert truths(fleet) == [
            (1, "device", True),
            (3, "person", True),
            (2, "person", True),
            (1, "person", True),
            (4, "person", False),
        ]
        again = imported(tool, tmp_path / "labels.csv")
        assert (again["new"], again["changed"], again["same"]) == (0, 0, 4)
        with fleet.workspace.registry.reading() as session:
            entries = session.exec(select(AuditEntry).where(AuditEntry.action == "label")).all()
            assert [(entry.actor, entry.subject) for entry in entries] == [("ann", f"model {MODEL}")]

    @pytest.mark.parametrize(("delimiter", "start"), [(";", "\ufeff"), ("\t", "")])
    def test_as_spreadsheets_write_it(
        self, captured, tool, tmp_path: Path, delimiter: str, start: str
    ) -> None:
        exported(tool, tmp_path)
        fill(tmp_path, ["0"] * 7, delimiter, start)
        assert imported(tool, tmp_path)["new"] == 7

    def test_all_that_is_wrong_is_said_by_line_and_nothing_is_taken(
        self, captured, fleet: ScriptedFleet, tool, tmp_path: Path
    ) -> None:
        exported(tool, tmp_path)
        fill(tmp_path, ["0", "tree", "5"])
        rows = (tmp_path / "labels.csv").read_text().splitlines()
        stray = rows[1].replace(rows[1][:4], "ffff", 1)
        (tmp_path / "labels.csv").write_text("\n".join([*rows, rows[1], stray, "holiday.png,,,,0"]) + "\n")
        code, _, told = tool("label", "import", str(tmp_path))
        assert code == 2
        assert "5 of 10 lines are wrong" in told
        assert "line 3: tiny does not know the label 'tree': did you mean 'three'?" in told
        assert "line 4: tiny does not know the label '5'" in told
        assert "line 9:" in told and "is in line 2 already" in told
        assert "line 11: 'holiday.png' is no captured input of this workspace" in told
        assert truths(fleet) == [(1, "device", True)]
        done = imported(tool, tmp_path, "--partial")
        assert (done["new"], len(done["problems"])) == (1, 5)
        assert truths(fleet) == [(1, "device", True), (0, "person", True)]

    def test_a_person_goes_before_a_device_and_is_told_where_they_differ(
        self, captured, fleet: ScriptedFleet, tool, tmp_path: Path
    ) -> None:
        first = captured[0]
        path = tmp_path / "mine.csv"
        path.write_text(f"file,label\n{first.prediction}-{first.device_id}.png,{LABELS[4]}\n")
        done = imported(tool, path)
        assert done["changed"] == 1
        assert done["disagreements"] == [f"line 2: cam-00 said {LABELS[1]}, and now it is {LABELS[4]}"]
        assert truths(fleet) == [(4, "person", True)]
        assert imported(tool, path)["same"] == 1

    @pytest.mark.parametrize(
        ("content", "code", "says"),
        [
            (b"picture,label\n", 2, "has no column 'file'"),
            (b"", 2, "has no column 'file'"),
            (b"file,label\n\xff\xfe\n", 2, "save it as CSV in UTF-8"),
            (None, 4, "writes one"),
        ],
    )
    def test_what_is_no_sheet(
        self, captured, tool, tmp_path: Path, content: bytes | None, code: int, says: str
    ) -> None:
        if content is not None:
            (tmp_path / "labels.csv").write_bytes(content)
        ended, _, told = tool("label", "import", str(tmp_path))
        assert (ended, says in told) == (code, True), told


class TestTeach:
    def test_a_version_labels_what_it_is_sure_of_and_no_accuracy_counts_it(
        self, captured, fleet: ScriptedFleet, tool
    ) -> None:
        code, out, told = tool("label", "teach", f"{MODEL}@1", "--confidence", "0.01", "--json")
        assert code == 0, told
        assert json.loads(out)["labelled"] == 7
        assert truths(fleet)[0] == (1, "device", True)
        assert {found[1:] for found in truths(fleet)[1:]} == {("teacher", False)}
        with fleet.workspace.registry.reading() as session:
            window = type("Window", (), {"boot": 1, "sequence": 1})()
            assert labels_of(session, "cam-01", captured[0].manifest, [window]) == (0, 0)  # type: ignore[list-item]
        code, out, _ = tool("label", "teach", f"{MODEL}@1", "--confidence", "0.01", "--json")
        assert (json.loads(out)["labelled"], json.loads(out)["same"]) == (0, 7)

    def test_one_that_takes_a_few_takes_those_that_no_teacher_has_had(
        self, captured, fleet: ScriptedFleet, tool
    ) -> None:
        """The oldest ones were taken each time, and with a limit the others never were."""
        few = ("label", "teach", f"{MODEL}@1", "--confidence", "0.01", "--limit", "3", "--json")
        done = [json.loads(tool(*few)[1]) for _ in range(3)]
        assert [(one["labelled"], one["same"]) for one in done] == [(3, 0), (3, 0), (1, 2)]

    def test_a_file_takes_raw_inputs(self, captured, fleet: ScriptedFleet, tool, tmp_path: Path) -> None:
        path = tmp_path / "teacher.tflite"
        path.write_bytes(TFLITE)
        code, out, told = tool("label", "teach", str(path), "--confidence", "1", "--json")
        assert code == 0, told
        done = json.loads(out)
        assert done["labelled"] + done["unsure"] == 7

    def test_a_person_knows_better_than_a_teacher(
        self, captured, fleet: ScriptedFleet, tool, tmp_path: Path
    ) -> None:
        exported(tool, tmp_path)
        assert tool("label", "teach", f"{MODEL}@1", "--confidence", "0.01")[0] == 0
        fill(tmp_path, ["0"] * 7)
        done = imported(tool, tmp_path)
        assert (done["new"], done["changed"]) == (0, 7)
        assert {found[1] for found in truths(fleet)[1:]} == {"person"}

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["nosuch"], 4, "no model 'nosuch'"),
            (["nosuch.tflite"], 4, "no model at nosuch.tflite"),
            ([f"{MODEL}@1", "--confidence", "0"], 2, "is not above 0"),
            ([f"{MODEL}@1", "--confidence", "nan"], 2, "is not above 0"),
        ],
    )
    def test_refused(self, captured, tool, arguments: list[str], code: int, says: str) -> None:
        ended, _, told = tool("label", "teach", *arguments)
        assert (ended, says in told) == (code, True), told


def test_a_source_that_the_workspace_does_not_allow(
    captured, fleet: ScriptedFleet, tool, tmp_path: Path
) -> None:
    path = fleet.workspace.root / "edgeops.toml"
    path.write_text(
        path.read_text().replace('labels = ["device", "person", "teacher"]', 'labels = ["device"]')
    )
    for arguments in (["export", str(tmp_path)], ["import", str(tmp_path)], ["teach", f"{MODEL}@1"]):
        code, _, told = tool("label", *arguments)
        assert (code, "not allowed here" in told) == (2, True), told
