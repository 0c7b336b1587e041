"""``edgeops data``: what a person types, and what a person reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from support.sources import image, images, pixels, recording, speech, tar, text, tone, wav

from edgeops.cli.main import run
from edgeops.control.settings import Settings
from edgeops.control.workspace import init_workspace

Shown = tuple[int, str, str]
Edgeops = Callable[..., Shown]


@pytest.fixture
def edgeops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Edgeops:
    """Run ``edgeops data …`` in a workspace: (exit code, stdout, stderr)."""
    init_workspace(tmp_path / "farm", Settings("farm")).registry.close()

    def called(*arguments: str | Path) -> Shown:
        words = ["edgeops", "data", *map(str, arguments)]
        if arguments[0] != "--help":
            words += ["-w", str(tmp_path / "farm")]
        monkeypatch.setattr(sys, "argv", words)
        code = 0
        try:
            run()
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return called


NAMES = ("--pattern", "{label}/{speaker}_nohash_{take}")


class TestAdd:
    def test_a_folder_of_sounds(self, edgeops: Edgeops, tmp_path: Path) -> None:
        root = speech(tmp_path / "words", 10)
        (root / "yes" / "ann_nohash_99.wav").write_bytes(b"")
        code, out, err = edgeops("add", root, "--name", "speech", *NAMES)
        assert code == 0
        assert out.splitlines()[0].split() == ["dataset", "speech@1"]
        assert "train=20  validation=4  test=8  field=8" in out
        assert err.splitlines() == [
            "kind audio: guessed from 41 .wav files; --kind says it",
            "1 set aside:",
            "  yes/ann_nohash_99.wav: empty file",
        ]

    def test_an_archive_as_json(self, edgeops: Edgeops, tmp_path: Path) -> None:
        source = tar(tmp_path / "pets.tar.gz", images(tmp_path / "pets"))
        code, out, _ = edgeops("add", source, "--name", "pets", "--split", "60,10,30,0", "--json")
        facts = json.loads(out)
        assert (code, facts["new"], facts["came"], facts["known"]) == (0, True, 20, 0)
        assert facts["parts"] == {
            "train": 12, "validation": 2, "test": 6, "field": 0, "capture_holdout": 0
        }  # fmt: skip
        assert (facts["kind"], facts["source"], facts["split"]["shares"]["test"]) == (
            "image",
            "pets.tar.gz",
            0.3,
        )

    def test_more_makes_the_next_version_and_says_what_came(self, edgeops: Edgeops, tmp_path: Path) -> None:
        root = images(tmp_path / "pets")
        edgeops("add", root, "--name", "pets")
        _, out, err = edgeops("add", root, "--name", "pets")
        assert "pets@1 has this content already; nothing was added" in err
        image(root / "cat" / "new.png", 99_999)
        _, out, err = edgeops("add", root, "--name", "pets")
        assert "pets@2: 1 came, 20 there already" in err
        (root / "cat" / "0.png").unlink()
        _, out, err = edgeops("add", root, "--name", "pets", "--replace", "--json")
        assert json.loads(out)["dataset"] == "pets@3"
        assert sum(json.loads(out)["parts"].values()) == 20

    def test_by_group(self, edgeops: Edgeops, tmp_path: Path) -> None:
        root = speech(tmp_path / "words", 3, tuple("abcdef"))
        code, out, _ = edgeops("add", root, "--name", "speech", *NAMES, "--group", "speaker", "--json")
        assert (code, json.loads(out)["split"]["group"]) == (0, "speaker")

    def test_a_table_with_its_columns(self, edgeops: Edgeops, tmp_path: Path) -> None:
        rows = "".join(f"{n},{n % 3},{n % 5}\n" for n in range(60))
        path = text(tmp_path / "t.csv", "x,fault,machine\n" + rows)
        _, out, err = edgeops("add", path, "--name", "t", "--label", "fault", "--slice", "machine", "--json")
        assert json.loads(out)["labels"] == ["0", "1", "2"]
        assert "features: x" in err.splitlines()

    def test_a_rate_and_a_size(self, edgeops: Edgeops, tmp_path: Path) -> None:
        root = speech(tmp_path / "words", 3)
        _, out, err = edgeops("add", root, "--name", "s", "--sample-rate", "4000", "--json")
        assert json.loads(out)["sample_rate_hz"] == 4000
        assert "12 files resampled to 4000 Hz" in err
        _, out, _ = edgeops("add", images(tmp_path / "pets"), "--name", "p", "--size", "3x4", "--json")
        assert "stretched" in " ".join(json.loads(out)["notes"])
        _, out, _ = edgeops(
            "add", tmp_path / "pets", "--name", "c", "--size", "4x4", "--fit", "crop", "--json"
        )
        assert "20 of 20 files cut and resized to 4x4" in json.loads(out)["notes"]

    def test_what_was_guessed_names_all_that_was_counted(self, edgeops: Edgeops, tmp_path: Path) -> None:
        root = images(tmp_path / "pets")
        image(root / "cat" / "one more.jpg", 77)
        assert "guessed from 20 .png and 1 .jpg files" in edgeops("add", root, "--name", "pets")[2]

    def test_for_people_digests_are_short_and_parts_those_there_are(
        self, edgeops: Edgeops, tmp_path: Path
    ) -> None:
        out = edgeops("add", images(tmp_path / "pets"), "--name", "pets")[1]
        assert len(out.splitlines()[1].split()[1]) == 12
        assert "capture_holdout" not in out + edgeops("show", "pets")[1]

    def test_parts_that_stay_empty_are_a_warning(self, edgeops: Edgeops, tmp_path: Path) -> None:
        code, _, err = edgeops("add", images(tmp_path / "pets", 2), "--name", "pets")
        assert code == 0
        assert (
            "warning: nothing is in validation and field: 4 parts need as many items of a class, and none has more "
            "than 2; add more before training" in err.splitlines()
        )


def two_rates(folder: Path) -> Path:
    wav(folder / "a" / "1.wav", 1)
    wav(folder / "a" / "2.wav", tone(2), 16000)
    return folder


def two_sizes(folder: Path) -> Path:
    image(folder / "a" / "1.png", 1)
    image(folder / "a" / "2.png", pixels(2, 9, 9))
    return folder


def mostly_bad(folder: Path) -> Path:
    speech(folder, 1)
    for number in range(3):
        text(folder / "yes" / f"{number}.wav", "")
    return folder


def leaking(folder: Path) -> Path:
    images(folder / "train", 4)
    image(folder / "test" / "cat" / "9.png", 0)
    return folder


def flat(folder: Path) -> Path:
    for number in range(3):
        image(folder / f"cat_{number}.png", number)
    return folder


def flat_sounds(folder: Path) -> Path:
    for number in range(3):
        wav(folder / f"yes {number}.wav", number)
    return folder


def decimal_commas(folder: Path) -> Path:
    rows = "".join(f"{n},25;-0,{n};{'ab'[n % 2]}\n" for n in range(9))
    return text(folder / "t.csv", f"x;y;label\n{rows}")


def amounts(folder: Path) -> Path:
    return text(folder / "t.csv", "x,label\n" + "".join(f"{n},{n * 0.37:.2f}\n" for n in range(60)))


def other_channels(folder: Path) -> Path:
    text(folder / "a" / "0.csv", "ax,az\n1,2\n")
    for number in range(1, 9):
        text(folder / "a" / f"{number}.csv", f"ax,ay\n{number},2\n")
    return folder


MESSAGES = [
    (flat, [], "3 of 3 items are unusable (3 in no class folder); none is left", "a folder for each class"),
    (flat_sounds, [], "(3 in no class folder); none is left", "--pattern '{label}_{n}' for names such as cat_1"),
    (decimal_commas, [], "(1 numbers with a decimal comma); none is left", "write numbers with a decimal point"),
    (amounts, [], "x: the label has 60 different numbers in 60 items", "such as low, medium and high"),
    (
        other_channels,
        ["--kind", "series"],
        "8 of 9 items are unusable (8 other channels than a/0.csv)",
        "the same channels, or add",
    ),
    (images, ["--fit", "crop"], "--fit crop needs a size", "--size 96x96"),
    (two_rates, [], "a/2.wav has 16000 Hz, a/1.wav 8000 Hz", "--sample-rate 8000"),
    (two_sizes, [], "not of one size (height x width): 1 of 6x8, 1 of 9x9", "--size 6x6; --fit"),
    (mostly_bad, [], "x: 3 of 7 items are unusable (3 empty file); at most 20% may be", "--max-quarantined"),
    (leaking, [], "has 1 item on both sides", "remove one of each"),
    (speech, ["--pattern", "{label}/{a}-{b}"], "fits none of 20 files; the first is 'no/ann_", "--pattern"),
    (speech, ["--pattern", "label"], "is not a pattern", "{label}/{speaker}"),
    (speech, [*NAMES, "--group", "speaker"], "2 groups cannot fill 4 parts", "--split"),
    (speech, ["--group", "speaker"], "nothing in the source of x is called 'speaker'", "--pattern"),
    (speech, ["--split", "50,50"], "'50,50' are no shares", "--split 60,10,30,0"),
    (speech, ["--kind", "video"], "'video' is no kind of data", "image, audio, series, table"),
    (speech, ["--kind", "image"], "(20 not a PNG or JPEG file (.wav)); none is left", "the --kind of these"),
    (images, ["--size", "9"], "--size '9' is no size", "--size 96x96"),
    (images, ["--size", "99999x2"], "is no size", "--size 96x96"),
    (lambda p: text(p / "a.xyz", "x").parent, [], "holds nothing that is read: 1 .xyz", ".wav"),
    (lambda p: text(p / "a.tar.gz", "x"), [], "a.tar.gz cannot be read", "whole"),
    (lambda p: text(p / "a.csv", "x,y\n1,2\n"), [], "no column 'label' for the label: it has x, y", "--label"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "options", "message", "fix"), MESSAGES, ids=[m[2][:40] for m in MESSAGES])
def test_what_is_wrong_is_said_in_a_line_with_the_way_out(
    edgeops: Edgeops, tmp_path: Path, made: Callable[[Path], Path], options: list[str], message: str, fix: str
) -> None:
    source = made(tmp_path / "in")
    code, out, err = edgeops("add", source, "--name", "x", *options)
    *_, error, way_out = err.splitlines()
    assert code == 2
    assert out == ""
    assert error.startswith("error: ")
    assert message in error
    assert way_out.startswith("Fix: ")
    assert fix in way_out
    assert ("--max-quarantined" in way_out) == ("at most 20%" in error)
    assert edgeops("list", "--json")[1] == "[]\n"
    assert [path.name for path in (tmp_path / "farm" / "datasets").glob("[!.]*")] == []


def test_what_is_not_there_is_not_found(edgeops: Edgeops, tmp_path: Path) -> None:
    code, _, err = edgeops("add", tmp_path / "none", "--name", "x")
    assert (code, err.splitlines()[-1][:5]) == (4, "Fix: ")


class Bars:
    """Stands for ``Progress``: remembers which bars were begun."""

    begun: ClassVar[list[int]] = []

    def __init__(self, title: str, total: int) -> None:
        self.total = total

    def __enter__(self) -> Bars:
        self.begun.append(self.total)
        return self

    def __exit__(self, *error: object) -> None:
        return

    def resize(self, total: int) -> None:
        self.total = total

    def update(self, done: int, note: str = "") -> None:
        assert done <= self.total


def test_no_bar_is_begun_for_what_is_refused_at_once(
    edgeops: Edgeops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeops.cli.progress.Progress", Bars)
    monkeypatch.setattr(Bars, "begun", [])
    for source in (two_sizes(tmp_path / "sizes"), tmp_path / "nowhere"):
        assert edgeops("add", source, "--name", "x")[0] != 0
    assert Bars.begun == []
    assert edgeops("add", images(tmp_path / "pets"), "--name", "pets")[0] == 0
    assert Bars.begun == [20]


class TestNames:
    def test_a_slip_is_told_what_was_meant(self, edgeops: Edgeops, tmp_path: Path) -> None:
        edgeops("add", images(tmp_path / "shapes"), "--name", "shapes")
        assert edgeops("show", "shape")[2].startswith(
            "error: no dataset 'shape': did you mean 'shapes'?\nFix: "
        )
        assert edgeops("show", "shapes@9")[2].startswith("error: no dataset 'shapes@9': there is shapes@1\n")
        assert edgeops("show", "unlike")[2].startswith("error: no dataset 'unlike'\n")

    def test_channels_and_colours_have_theirs(self, edgeops: Edgeops, tmp_path: Path) -> None:
        for number in range(8):
            text(tmp_path / "s" / "ab"[number % 2] / f"{number}.csv", f"ax,ay\n{number},9\n5,2\n")
        edgeops("add", tmp_path / "s", "--name", "s")
        assert [line.split()[0] for line in edgeops("show", "s")[1].splitlines()[-2:]] == ["ax", "ay"]
        edgeops("add", images(tmp_path / "pets"), "--name", "pets")
        named = [line.split()[0] for line in edgeops("show", "pets")[1].splitlines()[-3:]]
        assert named == ["red", "green", "blue"]


class TestShow:
    @pytest.fixture
    def bearing(self, edgeops: Edgeops, tmp_path: Path) -> Path:
        root = tmp_path / "cwru"
        for number, label in enumerate(("ball", "inner")):
            for load in range(10):
                recording(root / label / f"{load}.npz", 50 * number + load, 120 + load, load_hp=load % 3)
        text(root / "ball" / "bad.npz", "x")
        assert edgeops("add", root, "--name", "bearing")[0] == 0
        return root

    def test_for_people(self, edgeops: Edgeops, bearing: Path) -> None:
        code, out, err = edgeops("show", "bearing")
        assert code == 0
        for line in (
            "shape               samples x 1",
            "sample rate hz      12000",
            "durations total     0.2075",
            "slice load hp       0 (8), 1 (6), 2 (6)",
            "quarantined         1",
            "class  items  train  validation  test  field",
            "ball   10     5      1           2     2",
        ):
            assert line in out.splitlines()
        assert err.splitlines() == [
            "1 set aside:",
            "  ball/bad.npz: unreadable: not an .npz archive, or one that was cut off",
        ]

    def test_for_programs(self, edgeops: Edgeops, bearing: Path) -> None:
        facts = json.loads(edgeops("show", "bearing@1", "--json")[1])
        assert facts["class_balance_by_part"]["test"] == {"ball": 2, "inner": 2}
        assert facts["durations"]["unit"] == "s"
        assert facts["values"]["minimum"] < 0 < facts["values"]["maximum"]
        assert facts["quarantined"] == [
            ["ball/bad.npz", "unreadable: not an .npz archive, or one that was cut off"]
        ]
        assert facts["slices"] == {"load_hp": {"0": 8, "1": 6, "2": 6}}

    def test_the_page(self, edgeops: Edgeops, bearing: Path, tmp_path: Path) -> None:
        code, _, err = edgeops("report", "bearing", "-o", tmp_path / "page.html", "--per-class", "2")
        assert (code, err) == (0, f"written: {tmp_path / 'page.html'}\n")
        assert (tmp_path / "page.html").read_text().count("<polygon") == 4

    def test_the_list(self, edgeops: Edgeops, bearing: Path) -> None:
        head, row = edgeops("list")[1].splitlines()
        assert head.split() == ["dataset", "items", "classes", "kind", "quarantined", "created"]
        assert row.split()[:5] == ["bearing@1", "20", "2", "series", "1"]

    def test_a_long_list_of_what_was_set_aside_is_cut_and_said(
        self, edgeops: Edgeops, tmp_path: Path
    ) -> None:
        root = images(tmp_path / "pets", 30)
        for number in range(12):
            text(root / "cat" / f"bad {number:02}.png", "x")
        err = edgeops("add", root, "--name", "pets")[2].splitlines()
        assert "12 set aside:" in err
        assert err[-1] == "  … 2 more; edgeops data show pets@1 --json lists all"


class TestDiff:
    def test_what_came_went_and_was_relabelled(self, edgeops: Edgeops, tmp_path: Path) -> None:
        root = images(tmp_path / "pets")
        edgeops("add", root, "--name", "pets")
        image(root / "cat" / "new.png", 99_999)
        (root / "cat" / "0.png").unlink()
        (root / "cat" / "1.png").rename(root / "dog" / "1 was a cat.png")
        edgeops("add", root, "--name", "pets", "--replace")
        code, out, _ = edgeops("diff", "pets@1", "pets@2")
        lines = [line.split() for line in out.splitlines()]
        assert code == 0
        assert lines[3:7] == [["came", "1"], ["went", "1"], ["moved", "0"], ["relabelled", "1"]]
        assert ["came", "cat/new.png", "cat", "-"] in [line[:4] for line in lines]
        assert ["went", "cat/0.png", "cat"] in [line[:3] for line in lines]
        assert any(line[0] == "relabelled" and line[-2:] == ["cat", "dog"] for line in lines if line)
        found = json.loads(edgeops("diff", "pets@1", "pets", "--json")[1])
        assert (found["kept"], found["same"]) == (19, False)
        assert [entry["item"] for entry in found["relabelled"]] == ["dog/1 was a cat.png"]
        assert json.loads(edgeops("diff", "pets@2", "pets", "--json")[1])["same"] is True

    def test_a_long_difference_is_cut_and_said(self, edgeops: Edgeops, tmp_path: Path) -> None:
        edgeops("add", images(tmp_path / "a", 2), "--name", "a")
        edgeops("add", images(tmp_path / "b", 20), "--name", "b")
        _, out, err = edgeops("diff", "a", "b")
        assert sum(line.startswith("came  ") for line in out.splitlines()) == 11
        assert err == "(26 more; --json lists all)\n"
        assert edgeops("diff", "a", "nothing")[0] == 4


def test_a_part_is_exported(edgeops: Edgeops, tmp_path: Path) -> None:
    edgeops("add", images(tmp_path / "pets"), "--name", "pets")
    code, _, err = edgeops("export", "pets", tmp_path / "field")
    assert (code, err) == (0, f"pets@1, part field: written to {tmp_path / 'field'}\n")
    assert sorted(path.name for path in (tmp_path / "field").iterdir()) == [
        "inputs.npy",
        "labels.json",
        "targets.npy",
    ]
    edgeops("add", speech(tmp_path / "words"), "--name", "words")
    assert edgeops("export", "words", tmp_path / "sounds")[0] == 0  # they have one length
