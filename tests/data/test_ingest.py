"""Ingest: what is set aside and why, what stops it, how the next version keeps what was there."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sources import image, images, pixels, recording, speech, tar, text, tone, wav

from edgeops.core.errors import DataError, EdgeOpsError, StorageError
from edgeops.data import ingest as ingest_module
from edgeops.data.dataset import Dataset, Part, extend, load, new_dataset
from edgeops.data.gather import Terms
from edgeops.data.ingest import Ingested, ingest
from edgeops.data.readers.choose import open_source
from edgeops.data.readers.entry import Item, Request, SetAside
from edgeops.data.sources import read_source
from edgeops.data.splitting import parse_shares

NAMES = "{label}/{speaker}_nohash_{take}"


def add(
    source: Path | str, folder: Path, base: Dataset | None = None, terms: Terms | None = None, **asked: object
) -> Ingested:
    version = base.version + 1 if base is not None else 1
    reader, aside = open_source(str(source), Request(**asked))  # type: ignore[arg-type]
    return ingest(reader, folder / str(version), "set", version, aside=aside, base=base, terms=terms)


def added(source: Path | str, folder: Path, *rest: object, **asked: object) -> Dataset:
    done = add(source, folder, *rest, **asked)  # type: ignore[arg-type]
    assert done.index is not None
    return load(folder / str(done.index.version))


class Given:
    """A reader of what it is given."""

    kind, sample_rate_hz, labels, columns = "table", 0.0, (), ()

    def __init__(self, *entries: Item | SetAside, kind: str = "table", rate: float = 0.0) -> None:
        self.entries, self.kind, self.sample_rate_hz = entries, kind, rate
        self.total, self.done, self.notes = len(entries), 0, list[str]()

    def __iter__(self):
        for entry in self.entries:
            self.done += 1
            yield entry


def row(number: int, label: str = "a", part: Part | None = None, **slices: str) -> Item:
    return Item(f"{number}", np.array([number, 7], np.float32), label, slices, part)


class TestWhatComesOut:
    def test_digits_have_the_hash_that_they_always_had_but_for_their_parts(self, tmp_path: Path) -> None:
        stored = added("sklearn:digits", tmp_path)
        direct = new_dataset("set", read_source("sklearn:digits"))
        assert stored.sha256 == direct.sha256
        assert stored.counts() == {
            "train": 899, "validation": 179, "test": 361, "field": 358, "capture_holdout": 0
        }  # fmt: skip

    def test_sounds_with_speakers_and_takes(self, tmp_path: Path) -> None:
        stored = added(tar(tmp_path / "s.tar.gz", speech(tmp_path / "s", 10)), tmp_path / "d", pattern=NAMES)
        assert (stored.kind, stored.item_shape, str(stored.inputs.dtype)) == ("audio", (-1,), "int16")
        assert (stored.labels, stored.sample_rate_hz) == (("no", "yes"), 8000.0)
        assert stored.counts() == {
            "train": 20, "validation": 4, "test": 8, "field": 8, "capture_holdout": 0
        }  # fmt: skip
        assert set(stored.slices) == {"speaker", "take"}
        place = stored.files.index("s/yes/bob_nohash_7.wav")
        assert (stored.slices["speaker"][place], stored.labels[stored.targets[place]]) == ("bob", "yes")
        assert list(stored.index.digests) == sorted(stored.index.digests)

    def test_by_group_no_speaker_is_on_both_sides(self, tmp_path: Path) -> None:
        root = speech(tmp_path / "s", 2, tuple("abcdefgh"))
        stored = added(root, tmp_path / "d", None, Terms(group="speaker"), pattern=NAMES)
        assert stored.groups == stored.slices["speaker"]
        assert len(set(zip(stored.groups, stored.parts.tolist(), strict=True))) == 8

    def test_a_group_that_nothing_names_is_refused(self, tmp_path: Path) -> None:
        root = speech(tmp_path / "s")
        with pytest.raises(DataError, match="called 'person'; there is speaker, take") as caught:
            add(root, tmp_path / "d", None, Terms(group="person"), pattern=NAMES)
        assert "--pattern" in (caught.value.fix or "")
        with pytest.raises(DataError, match="there is no metadata"):
            add(root, tmp_path / "d", None, Terms(group="person"))
        assert not (tmp_path / "d" / "1").exists()

    def test_folders_of_train_and_test_are_kept(self, tmp_path: Path) -> None:
        images(tmp_path / "in" / "train", 32)
        for name, seed in (("cat", 5000), ("dog", 6000)):
            for number in range(10):
                image(tmp_path / "in" / "test" / name / f"{number}.png", seed + number)
        stored = added(tmp_path / "in", tmp_path / "d")
        for part, file in zip(stored.parts, stored.files, strict=True):
            assert (part == Part.TEST) == file.startswith("test/")
        assert stored.counts() == {
            "train": 40, "validation": 8, "test": 20, "field": 16, "capture_holdout": 0
        }  # fmt: skip
        whole = added(tmp_path / "in", tmp_path / "e", None, Terms(shares=parse_shares("80,20,0,0")))
        assert whole.counts() == {
            "train": 52, "validation": 12, "test": 20, "field": 0, "capture_holdout": 0
        }  # fmt: skip

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.permutations(range(14)))
    def test_the_order_of_the_source_does_not_matter(self, tmp_path: Path, order: list[int]) -> None:
        """With repetitions among them: the first by name is the one that stays."""
        entries = [row(n, "ab"[n % 2]) for n in range(12)]
        entries += [Item("z", entries[0].values, "a"), Item(" ", entries[1].values, "b")]
        whole = ingest(Given(*entries), tmp_path / "a", "set", 1)
        mixed = ingest(Given(*(entries[i] for i in order)), tmp_path / "b", "set", 1)
        assert whole.index is not None and mixed.index is not None
        assert whole.index.sha256 == mixed.index.sha256
        assert whole.index.files == mixed.index.files
        assert set(whole.quarantined) == set(mixed.quarantined) == {
            SetAside("z", "duplicate of 0"), SetAside("1", "duplicate of  ")
        }  # fmt: skip


class TestQuarantine:
    def test_everything_has_its_file_and_reason(self, tmp_path: Path) -> None:
        root = speech(tmp_path / "in", 10)
        (root / "yes" / "empty.wav").write_bytes(b"")
        (root / "yes" / ".hidden.wav").write_bytes(b"")
        wav(root / "yes" / "again.wav", 0)  # as no/ann 0: another label
        wav(root / "no" / "copy.wav", 1)
        wav(root / "_background_noise_" / "hum.wav", 999)
        text(root / "README.md", "read me")
        done = add(root, tmp_path / "d")
        assert {entry.file: entry.reason for entry in done.quarantined} == {
            "README.md": "not a WAV file (.md)",
            "_background_noise_/hum.wav": "background noise, not a class",
            "no/ann_nohash_0.wav": "same input, different targets",
            "no/copy.wav": "duplicate of no/ann_nohash_1.wav",
            "yes/.hidden.wav": "hidden file",
            "yes/again.wav": "same input, different targets",
            "yes/empty.wav": "empty file",
        }
        assert (done.came, done.known) == (39, 0)

    def test_more_than_the_share_stops_it_with_reasons_and_counts(self, tmp_path: Path) -> None:
        root = speech(tmp_path / "in", 5)
        for number in range(4):
            (root / "yes" / f"bad{number}.wav").write_bytes(b"")
        (root / "yes" / "cut.wav").write_bytes((root / "yes" / "ann_nohash_0.wav").read_bytes()[:50])
        (root / "no" / "cut.wav").write_bytes((root / "yes" / "ann_nohash_0.wav").read_bytes()[:60])
        with pytest.raises(
            DataError,
            match=r"set: 6 of 26 items are unusable \(4 empty file, 2 truncated\); at most 20% may be",
        ) as caught:
            add(root, tmp_path / "d")
        assert "'yes/bad0.wav' first (empty file)" in (caught.value.fix or "")
        assert "--max-quarantined" in (caught.value.fix or "")
        assert len(caught.value.fields["quarantined"]) == 6  # type: ignore[arg-type]
        assert not (tmp_path / "d").exists()
        assert add(root, tmp_path / "d", None, Terms(max_quarantined=0.25)).came == 20

    def test_hidden_files_do_not_stop_it(self, tmp_path: Path) -> None:
        """An archive from a Mac has one for each file."""
        root = speech(tmp_path / "in", 3)
        for path in list(root.rglob("*.wav")):
            (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        done = add(root, tmp_path / "d")
        assert (done.came, len(done.quarantined)) == (12, 12)

    def test_nothing_that_can_be_used(self, tmp_path: Path) -> None:
        text(tmp_path / "in" / "a" / "1.wav", "x")
        with pytest.raises(
            DataError, match=r"1 of 1 items are unusable \(1 not a WAV file by its content\); none is"
        ):
            add(tmp_path / "in", tmp_path / "d", None, Terms(max_quarantined=1.0))
        with pytest.raises(DataError, match="holds no items"):
            ingest(Given(), tmp_path / "d" / "1", "set", 1)
        with pytest.raises(DataError, match="holds no items"):
            ingest(Given(SetAside("x", "hidden file")), tmp_path / "d" / "1", "set", 1)

    def test_another_shape_and_what_is_not_finite(self, tmp_path: Path) -> None:
        odd = Item("odd", np.zeros(3, np.float32), "a")
        spoilt = Item("spoilt", np.array([1, np.nan], np.float32), "a")
        done = ingest(Given(*map(row, range(9)), odd, spoilt), tmp_path / "1", "set", 1)
        assert [(entry.file, entry.reason) for entry in done.quarantined] == [
            ("odd", "shape (3,); the others are 2"), ("spoilt", "not finite")
        ]  # fmt: skip
        series = [Item(str(n), np.full((5 + n, 2), n, np.float32), "a") for n in range(9)]
        odd = Item("odd", np.zeros((4, 3), np.float32), "a")
        done = ingest(Given(*series, odd, kind="series"), tmp_path / "2", "set", 1)
        assert done.quarantined == (SetAside("odd", "shape (4, 3); the others are samples x 2"),)

    def test_one_item_in_train_and_test_is_refused(self, tmp_path: Path) -> None:
        images(tmp_path / "in" / "train", 10)
        images(tmp_path / "in" / "test", 2)
        with pytest.raises(
            DataError, match=r"has 4 items on both sides, such as test/cat/0\.png and train/cat/0\.png"
        ) as caught:
            add(tmp_path / "in", tmp_path / "d")
        assert caught.value.fields["duplicates"][0] == ["test/cat/0.png", "train/cat/0.png"]  # type: ignore[index]
        assert caught.value.fix


class TestNextVersions:
    def test_what_was_there_keeps_its_part_and_its_label(self, tmp_path: Path) -> None:
        first = added(speech(tmp_path / "a", 10), tmp_path / "d", pattern=NAMES)
        for number in range(20):
            wav(tmp_path / "b" / "yes" / f"cem_nohash_{number}.wav", 500 + number)
            wav(tmp_path / "b" / "maybe" / f"cem_nohash_{number}.wav", 600 + number)
        second = added(tmp_path / "b", tmp_path / "d", first, pattern=NAMES)
        assert second.labels == ("no", "yes", "maybe")
        assert (second.version, len(second)) == (2, 80)
        where = {digest: place for place, digest in enumerate(second.index.digests)}
        for place, digest in enumerate(first.index.digests):
            now = where[digest]
            assert second.parts[now] == first.parts[place]
            assert second.targets[now] == first.targets[place]
            assert second.slices["speaker"][now] == first.slices["speaker"][place]
            assert (second.inputs[now] == first.inputs[place]).all()
        assert second.class_balance(Part.TEST) == {"no": 4, "yes": 8, "maybe": 4}

    def test_the_same_again_is_nothing_new(self, tmp_path: Path) -> None:
        root = images(tmp_path / "in")
        first = added(root, tmp_path / "d")
        done = add(root, tmp_path / "d", first)
        assert (done.index, done.came, done.known) == (None, 0, 20)
        assert not (tmp_path / "d" / "2").exists()

    def test_replacing_lets_items_go_and_labels_change(self, tmp_path: Path) -> None:
        root = images(tmp_path / "in", classes=("cat", "dog", "eel"))
        first = added(root, tmp_path / "d")
        (root / "cat" / "0.png").rename(root / "dog" / "was a cat.png")
        for path in (root / "eel").iterdir():
            path.unlink()
        replaced = added(root, tmp_path / "d", first, Terms(replace=True))
        assert (replaced.labels, len(replaced)) == (("cat", "dog"), 20)
        assert replaced.class_balance() == {"cat": 9, "dog": 11}
        parts = dict(zip(first.index.digests, first.parts, strict=True))
        for digest, part in zip(replaced.index.digests, replaced.parts, strict=True):
            assert part == parts[digest]

    def test_another_label_for_what_is_there_is_set_aside(self, tmp_path: Path) -> None:
        root = images(tmp_path / "in")
        first = added(root, tmp_path / "d")
        (root / "cat" / "0.png").rename(root / "dog" / "0 cat.png")
        image(root / "dog" / "new.png", 77)
        done = add(root, tmp_path / "d", first)
        assert done.quarantined == (SetAside("dog/0 cat.png", "'cat' in set@1, which holds the same item"),)
        assert (done.came, done.known) == (1, 19)

    def test_groups_stay_together_over_versions(self, tmp_path: Path) -> None:
        everybody = [f"s{n}" for n in range(8)]

        def rows(first: int, count: int) -> list[Item]:
            return [row(n, speaker=everybody[n % 8]) for n in range(first, first + count)]

        terms = Terms(group="speaker")
        one = ingest(Given(*rows(0, 40)), tmp_path / "1", "set", 1, terms=terms)
        assert one.index is not None
        ingest(Given(*rows(100, 40)), tmp_path / "2", "set", 2, base=load(tmp_path / "1"), terms=terms)
        both = load(tmp_path / "2")
        assert len(both) == 80
        assert len(set(zip(both.groups, both.parts.tolist(), strict=True))) == 8
        with pytest.raises(DataError, match="9 has no 'speaker', which is the group"):
            ingest(Given(*rows(0, 9), row(9)), tmp_path / "3", "other", 1, terms=terms)

    def test_captured_items_stay_what_they_are(self, tmp_path: Path) -> None:
        first = added(images(tmp_path / "a"), tmp_path / "d")
        grown = extend(
            first,
            pixels(99_999)[np.newaxis],
            np.array([0]),
            ["captured:d1"],
            np.array([Part.CAPTURE_HOLDOUT], np.uint8),
        )
        image(tmp_path / "b" / "cat" / "new.png", 777)
        second = added(tmp_path / "b", tmp_path / "d", grown)
        place = second.origins.index("captured:d1")
        assert second.parts[place] == Part.CAPTURE_HOLDOUT
        assert len(second) == 22

    @pytest.mark.parametrize(
        ("made", "asked", "message", "fix"),
        [
            (
                lambda p: image(p / "cat" / "1.png", pixels(1, 9, 9)),
                {},
                "shape 9x9x3; those of set@1 have 6x8x3",
                "6x8",
            ),
            (lambda p: wav(p / "cat" / "1.wav"), {}, "set@1 holds image data, not audio", "another name"),
        ],
    )
    def test_what_does_not_belong_is_refused(
        self, tmp_path: Path, made: object, asked: dict[str, object], message: str, fix: str
    ) -> None:
        first = added(images(tmp_path / "a"), tmp_path / "d")
        made(tmp_path / "b")  # type: ignore[operator]
        with pytest.raises(DataError, match=message) as caught:
            add(tmp_path / "b", tmp_path / "d", first, **asked)
        assert fix in (caught.value.fix or "")
        assert not (tmp_path / "d" / "2").exists()

    def test_another_rate_or_group_is_refused(self, tmp_path: Path) -> None:
        first = added(speech(tmp_path / "a"), tmp_path / "d")
        wav(tmp_path / "b" / "yes" / "ann_nohash_9.wav", tone(99), 16000)
        with pytest.raises(DataError, match="set@1 has 8000 Hz, the new items 16000 Hz") as caught:
            add(tmp_path / "b", tmp_path / "d", first)
        assert "--sample-rate 8000" in (caught.value.fix or "")
        with pytest.raises(DataError, match="not split by group"):
            add(tmp_path / "a", tmp_path / "d", first, Terms(group="speaker"), pattern=NAMES)

    def test_a_part_that_contradicts_an_earlier_version_is_refused(self, tmp_path: Path) -> None:
        ingest(Given(*map(row, range(20))), tmp_path / "1", "set", 1)
        first = load(tmp_path / "1")
        place = int(np.flatnonzero(first.parts == Part.TRAIN)[0])
        number = int(first.files[place])
        entries = [row(number, part=Part.TEST), row(99, part=Part.TRAIN)]
        with pytest.raises(DataError, match=f"{number} is in the part test .* but belongs to train since"):
            ingest(Given(*entries), tmp_path / "2", "set", 2, base=first)


class TestInterruption:
    def test_anywhere_it_leaves_no_dataset(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = images(tmp_path / "in", 3)

        class Cut(Exception):
            pass

        reached = set()
        for count in itertools.count():
            calls = iter(range(10**6))

            def step(name: str, inner, limit: int = count, calls=calls):
                def called(*args, **kwargs):
                    reached.add(name)
                    if next(calls) == limit:
                        raise Cut
                    return inner(*args, **kwargs)

                return called

            with monkeypatch.context() as patched:
                for name in ("gather", "set_aside_repetitions", "_index", "write_version"):
                    patched.setattr(ingest_module, name, step(name, getattr(ingest_module, name)))
                try:
                    add(root, tmp_path / "d")
                except Cut:
                    assert not (tmp_path / "d").exists()
                else:
                    break
        assert count == len(reached) == 4
        assert len(load(tmp_path / "d" / "1")) == 6

    def test_a_place_that_cannot_be_written_is_a_storage_error(self, tmp_path: Path) -> None:
        root = images(tmp_path / "in", 3)
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StorageError, match="cannot write in"):
            add(root, tmp_path / "file" / "d")

    def test_progress_reaches_the_end(self, tmp_path: Path) -> None:
        reader, _ = open_source(str(images(tmp_path / "in", 3)), Request())
        seen: list[tuple[int, int]] = []
        ingest(reader, tmp_path / "d", "set", 1, progress=lambda *call: seen.append(call))
        assert seen == sorted(seen)
        assert seen[-1] == (6, 6)

    @pytest.mark.parametrize("name", ["", "A b", "../x"])
    def test_a_bad_name_is_refused_first(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(EdgeOpsError, match="not a dataset name"):
            ingest(Given(row(1)), tmp_path / "d", name, 1)
        assert list(tmp_path.iterdir()) == []


def test_recordings_of_sensors_have_their_slices(tmp_path: Path) -> None:
    for label, load_hp in itertools.product(("ball", "inner"), range(3)):
        path = tmp_path / "in" / label / f"{load_hp}.npz"
        recording(path, len(label) + load_hp * 10, 100 + load_hp, load_hp=np.int32(load_hp), label=label)
    stored = added(tmp_path / "in", tmp_path / "d")
    assert (stored.kind, stored.item_shape, stored.sample_rate_hz) == ("series", (-1, 1), 12000.0)
    assert sorted(stored.slices["load_hp"]) == ["0", "0", "1", "1", "2", "2"]
