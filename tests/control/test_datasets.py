"""Datasets in a workspace: versions, what is inherited, what is registered when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select
from support.sources import image, images, speech, wav, zipped

from edgeops.control.dataset_report import dataset_difference, dataset_facts, write_dataset_report
from edgeops.control.datasets import add_dataset, ingest_dataset, load_dataset, register_dataset
from edgeops.control.settings import Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import DataError, EdgeOpsError, NotFoundError, StorageError, UsageError
from edgeops.data.dataset import Part, extend
from edgeops.data.gather import Terms
from edgeops.data.ingest import ingest
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Request
from edgeops.data.splitting import parse_shares
from edgeops.files import exclusive
from edgeops.registry.tables import DatasetVersion

NAMES = Request(pattern="{label}/{speaker}_nohash_{take}")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = init_workspace(tmp_path / "farm", Settings("farm"))
    yield made
    made.registry.close()


def rows(workspace: Workspace) -> list[DatasetVersion]:
    with workspace.registry.reading() as session:
        return list(session.exec(select(DatasetVersion)).all())


def test_what_is_registered_says_how_it_came_to_be(workspace: Workspace, tmp_path: Path) -> None:
    root = speech(tmp_path / "words", 10)
    (root / "yes" / "ann_nohash_77.wav").write_bytes(b"")
    added = ingest_dataset(workspace, str(root), "speech", NAMES, Terms(shares=parse_shares("60,20,20,0")))
    row = added.row
    assert (added.new, added.came, added.known) == (True, 40, 0)
    assert (row.kind, row.source, row.sample_rate_hz) == ("audio", "words", 8000.0)
    assert row.split == {
        "shares": {"train": 0.6, "validation": 0.2, "test": 0.2, "field": 0.0}, "group": "", "stratified": True
    }  # fmt: skip
    assert row.quarantined == added.quarantined == [["yes/ann_nohash_77.wav", "empty file"]]
    assert row.notes == ["kind audio: guessed from 41 .wav files; --kind says it"]
    assert row.parts == {"train": 24, "validation": 8, "test": 8, "field": 0, "capture_holdout": 0}
    dataset, same = load_dataset(workspace, "speech@1")
    assert (dataset.sha256, same.id) == (row.sha256, row.id)


def test_the_next_version_inherits_shares_and_group(workspace: Workspace, tmp_path: Path) -> None:
    root = speech(tmp_path / "words", 2, tuple("abcdefgh"))
    terms = Terms(shares=parse_shares("60,20,20,0"), group="speaker")
    first = ingest_dataset(workspace, str(root), "speech", NAMES, terms).row
    speech(root, 2, tuple("ijkl"), seed=1000)
    wav(root / "yes" / "a_nohash_9.wav", 4711)
    added = ingest_dataset(workspace, str(root), "speech", NAMES)
    assert (added.row.version, added.row.parent_id, added.row.split) == (2, first.id, first.split)
    dataset, _ = load_dataset(workspace, "speech")
    assert set(dataset.parts) == {Part.TRAIN, Part.VALIDATION, Part.TEST}
    assert len(set(zip(dataset.groups, dataset.parts.tolist(), strict=True))) == len(set(dataset.groups))


def test_the_same_source_again_is_the_same_version(workspace: Workspace, tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    first = ingest_dataset(workspace, str(root), "pets")
    again = ingest_dataset(workspace, str(root), "pets")
    assert (again.row.id, again.new, again.known) == (first.row.id, False, 20)
    replaced = ingest_dataset(workspace, str(root), "pets", None, Terms(replace=True))
    assert (replaced.row.id, replaced.new) == (first.row.id, False)
    image(root / "cat" / "new.png", 99_999)
    assert ingest_dataset(workspace, str(root), "pets").row.version == 2
    (root / "cat" / "new.png").unlink()
    back = ingest_dataset(workspace, str(root), "pets", None, Terms(replace=True))
    assert (back.row.version, back.new) == (1, False)
    assert not workspace.dataset_folder("pets", 3).exists()
    assert len(rows(workspace)) == 2


def test_grey_digits_take_grey_images(workspace: Workspace, tmp_path: Path) -> None:
    add_dataset(workspace, "sklearn:digits", "digits")
    image(tmp_path / "in" / "3" / "a.png", np.full((8, 8), 200, np.uint8))
    image(tmp_path / "in" / "4" / "b.png", np.full((8, 8, 3), 100, np.uint8))
    added = ingest_dataset(workspace, str(tmp_path / "in"), "digits")
    dataset, _ = load_dataset(workspace, "digits")
    assert (added.came, dataset.item_shape, len(dataset)) == (2, (8, 8), 1799)
    assert dataset.labels == tuple("0123456789")


def test_arrays_of_another_run_join_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", x=rng.random((50, 3), np.float32), y=np.arange(50) % 2)
    add_dataset(workspace, str(tmp_path / "0.npz"), "set")
    row, new = add_dataset(workspace, str(tmp_path / "1.npz"), "set")
    assert (row.version, new, sum(row.parts.values())) == (2, True, 100)


@pytest.mark.parametrize("content", [{}, {"a/1.wav": b""}, {"../a/1.wav": b""}, {"a/1.xyz": b""}])
def test_what_cannot_be_read_leaves_nothing(
    workspace: Workspace, tmp_path: Path, content: dict[str, bytes]
) -> None:
    source = zipped(tmp_path / "in.zip", content)
    with pytest.raises(EdgeOpsError):
        ingest_dataset(workspace, str(source), "set", Request(kind="audio"))
    assert rows(workspace) == []
    assert [path.name for path in (workspace.root / "datasets").rglob("*") if not path.name.startswith(".")] in (
        [], ["set"]
    )  # fmt: skip


def test_when_it_cannot_be_registered_no_folder_stays(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*entries: object) -> None:
        raise StorageError("the registry cannot be written")

    with monkeypatch.context() as patched, pytest.raises(StorageError):
        patched.setattr(workspace.registry, "session", full)
        ingest_dataset(workspace, str(images(tmp_path / "in")), "pets")
    assert not workspace.dataset_folder("pets", 1).exists()
    assert ingest_dataset(workspace, str(tmp_path / "in"), "pets").row.version == 1


def test_two_at_once_are_one_after_the_other_or_refused(workspace: Workspace, tmp_path: Path) -> None:
    root = images(tmp_path / "in")
    (workspace.root / "datasets").mkdir()
    with (
        exclusive(workspace.root / "datasets" / ".pets.lock", "edgeops data add"),
        pytest.raises(UsageError, match="another edgeops data add is at work"),
    ):
        ingest_dataset(workspace, str(root), "pets")
    assert ingest_dataset(workspace, str(root), "pets").new


def test_killed_before_it_is_registered_it_is_written_anew(workspace: Workspace, tmp_path: Path) -> None:
    reader, aside = open_source(str(images(tmp_path / "other", 5)), Request())
    ingest(reader, workspace.dataset_folder("pets", 1), "pets", 1, aside=aside)
    assert rows(workspace) == []
    added = ingest_dataset(workspace, str(images(tmp_path / "in")), "pets")
    assert (added.row.version, added.came) == (1, 20)
    assert len(load_dataset(workspace, "pets")[0]) == 20


def test_a_version_that_was_added_meanwhile_is_not_written_over(workspace: Workspace, tmp_path: Path) -> None:
    """A retraining extends what it has loaded, and takes long; the dataset may have grown by then."""
    ingest_dataset(workspace, str(images(tmp_path / "in")), "pets")
    dataset, row = load_dataset(workspace, "pets")
    fresh = np.zeros((1, 6, 8, 3), np.uint8)
    grown = extend(dataset, fresh, np.array([0]), ["captured:d"], np.array([Part.TRAIN], np.uint8))
    with (
        exclusive(workspace.root / "datasets" / ".pets.lock", "edgeops data add"),
        pytest.raises(UsageError, match="another edgeops data add is at work"),
    ):
        register_dataset(workspace, grown, row.id, [])
    image(tmp_path / "in" / "cat" / "new.png", 99_999)
    second = ingest_dataset(workspace, str(tmp_path / "in"), "pets").row
    with pytest.raises(UsageError, match="pets@2 was added by another process meanwhile"):
        register_dataset(workspace, grown, row.id, [])
    assert load_dataset(workspace, "pets@2")[0].sha256 == second.sha256
    assert len(rows(workspace)) == 2


def test_a_captured_version_is_split_as_its_parent(workspace: Workspace, tmp_path: Path) -> None:
    added = ingest_dataset(
        workspace, str(images(tmp_path / "in")), "pets", None, Terms(shares=parse_shares("60,20,20,0"))
    )
    dataset, row = load_dataset(workspace, "pets")
    fresh = np.zeros((1, 6, 8, 3), np.uint8)
    grown = extend(dataset, fresh, np.array([0]), ["captured:d"], np.array([Part.TRAIN], np.uint8))
    child = register_dataset(workspace, grown, row.id, [])
    assert (child.version, child.parent_id, child.split, child.source) == (
        2,
        row.id,
        added.row.split,
        "captured",
    )
    image(tmp_path / "in" / "cat" / "new.png", 99_999)
    third = ingest_dataset(workspace, str(tmp_path / "in"), "pets")
    assert (third.row.version, sum(third.row.parts.values())) == (3, 22)


def test_facts_difference_and_page(workspace: Workspace, tmp_path: Path) -> None:
    root = speech(tmp_path / "in", 10)
    ingest_dataset(workspace, str(root), "speech", NAMES)
    wav(root / "yes" / "cem_nohash_0.wav", 4711)
    (root / "no" / "cem_nohash_1.wav").write_bytes(b"RIFF")
    ingest_dataset(workspace, str(root), "speech", NAMES, Terms(max_quarantined=0.5))
    row, facts = dataset_facts(workspace, "speech")
    assert (row.version, facts["items"], facts["slices"]["speaker"]) == (
        2,
        41,
        {"ann": 20, "bob": 20, "cem": 1},
    )
    found = dataset_difference(workspace, "speech@1", "speech@2")
    assert (found["before"], found["after"], found["same"]) == ("speech@1", "speech@2", False)
    assert [entry["item"] for entry in found["came"]] == ["yes/cem_nohash_0.wav"]
    write_dataset_report(workspace, "speech@2", tmp_path / "page.html", per_class=2)
    html = (tmp_path / "page.html").read_text()
    assert html.count("<polygon") == 4
    for words in (
        "speech@2",
        "cem_nohash_1.wav",
        "truncated: no header",
        "split 50/10/20/20, stratified",
        "8000 Hz",
        "cem (1)",
    ):
        assert words in html
    with pytest.raises(NotFoundError):
        dataset_facts(workspace, "nothing")


def test_another_group_than_before_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    root = speech(tmp_path / "in")
    ingest_dataset(workspace, str(root), "speech", NAMES)
    with pytest.raises(DataError, match="speech@1 is not split by group"):
        ingest_dataset(workspace, str(root), "speech", NAMES, Terms(group="speaker"))


def test_the_page_of_a_table_names_its_columns(workspace: Workspace, tmp_path: Path) -> None:
    rows = "".join(f"{number},{number * 2},{'ab'[number % 2]}\n" for number in range(20))
    (tmp_path / "pump.csv").write_text(f"heat,<wind>,label\n{rows}")
    add_dataset(workspace, str(tmp_path / "pump.csv"), "pump")
    write_dataset_report(workspace, "pump", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert '<th scope="row">heat</th>' in page and '<th scope="row">&lt;wind&gt;</th>' in page
    assert "Each feature, by class" in page and "A sample of each class" not in page
    assert "<title>heat: from 0 to 19, by class</title>" in page
    assert "&lt;wind&gt;: from 0 to 38" in page and "<polygon" not in page
