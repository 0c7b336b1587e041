"""Where files come from, and what their places say; hostile archives can do no harm."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.sources import tar, text, zipped

from edgeops.core.errors import DataError, NotFoundError
from edgeops.data.readers import tree
from edgeops.data.readers.entry import SetAside
from edgeops.data.readers.layout import Pattern, Placed, place
from edgeops.data.readers.tree import FileTree, SourceFile
from edgeops.data.splitting import Part


def contents(found: FileTree) -> dict[str, bytes]:
    return {file.name: file.read() for file in found.files}


def members(path: Path, *entries: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w") as archive:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(content))
    return path


class TestFiles:
    @pytest.mark.parametrize("way", ["folder", "w", "w:gz", "w:bz2", "w:xz", "zip"])
    def test_a_folder_and_its_archives_are_the_same(self, tmp_path: Path, way: str) -> None:
        root = tmp_path / "set"
        expected = {
            f"{name}/{i}.txt": f"{name}{i}".encode() for name in ("b", "ä ö", "z\u0301") for i in range(3)
        }
        for name, content in expected.items():
            text(root / name, content.decode())
        source = root
        if way == "zip":
            source = zipped(tmp_path / "set.zip", expected)
        elif way != "folder":
            source = tar(tmp_path / f"set.tar{way[1:].replace(':', '.')}", root, way)
            expected = {f"set/{name}": content for name, content in expected.items()}
        found = FileTree(source)
        assert contents(found) == expected
        assert [file.name for file in found.files] == sorted(expected)
        assert contents(found) == expected  # as often as one likes
        assert found.aside == []

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="nothing is at") as caught:
            FileTree(tmp_path / "none")
        assert caught.value.fix

    def test_links_and_pipes_are_not_followed_and_not_forgotten(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        text(tmp_path / "out" / "secret.txt", "secret")
        root = tmp_path / "in"
        text(root / "a" / "1.txt", "one")
        (root / "b").symlink_to(tmp_path / "out")
        (root / "gone.txt").symlink_to(tmp_path / "nowhere")
        os.mkfifo(root / "pipe")
        found = FileTree(root)
        assert list(contents(found)) == ["a/1.txt"]
        assert [entry.file for entry in found.aside] == ["b", "gone.txt", "pipe"]

    def test_names_that_cannot_be_shown_are_made_so(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for name in (b"bad\xff.txt", b"line\nfeed.txt", b"\x1b[31mred.txt"):
            Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)).write_bytes(b"x")
        for file in FileTree(tmp_path / "in").files:
            assert file.name.isprintable()
            assert file.read() == b"x"


class TestHostileArchives:
    @pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "C:/x"])
    @pytest.mark.parametrize("way", ["tar", "zip"])
    def test_names_that_lead_outside(self, tmp_path: Path, way: str, name: str) -> None:
        if way == "zip":
            source = zipped(tmp_path / "bad.zip", {name: b"x"})
        else:
            source = members(tmp_path / "bad.tar", tarfile.TarInfo(name), content=b"x")
        with pytest.raises(DataError, match="would lead out of it"):
            FileTree(source)

    def test_links_and_devices_are_no_files(self, tmp_path: Path) -> None:
        entries = []
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo(f"a/{kind!r}.wav")
            entry.type, entry.linkname = kind, "/etc/passwd"
            entries.append(entry)
        found = FileTree(members(tmp_path / "bad.tar", *entries))
        assert found.files == []
        assert len(found.aside) == 4

    def test_a_link_in_a_zip(self, tmp_path: Path) -> None:
        entry = zipfile.ZipInfo("a/link.wav")
        entry.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
            archive.writestr(entry, "/etc/passwd")
        assert FileTree(tmp_path / "bad.zip").aside == [SetAside("a/link.wav", "a link, not a file")]

    @pytest.mark.parametrize("way", ["bomb.tar.gz", "bomb.zip"])
    def test_bombs_do_not_go_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        monkeypatch.setattr(tree, "HARMLESS_BYTES", 1 << 20)
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "zeros.bin").write_bytes(bytes(3 << 20))
        if way.endswith("zip"):
            source = zipped(tmp_path / way, {"zeros.bin": bytes(3 << 20)})
        else:
            source = tar(tmp_path / way, tmp_path / "in")
        with pytest.raises(DataError, match="expands to more than 1 MiB"):
            FileTree(source)

    @pytest.mark.parametrize("name", ["cut.tar", "cut.tar.gz", "cut.zip"])
    def test_what_was_cut_off_or_is_none(self, tmp_path: Path, name: str) -> None:
        text(tmp_path / "set" / "a.txt", "x" * 5000)
        mode = "w:gz" if name.endswith("gz") else "w"
        whole = (
            zipped(tmp_path / "whole.zip", {"a.txt": os.urandom(5000)})
            if name.endswith("zip")
            else tar(tmp_path / "whole", tmp_path / "set", mode)
        ).read_bytes()
        for content in (b"", b"not an archive at all" * 99, whole[: len(whole) // 2], whole[:20]):
            (tmp_path / name).write_bytes(content)
            try:
                found = FileTree(tmp_path / name)
            except DataError as error:
                assert "cannot be read" in error.message
                assert "\n" not in error.message
            else:
                assert found.files == []

    def test_an_encrypted_member_is_set_aside(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "set.zip", {"a/1.wav": b"x"})
        raw = bytearray(path.read_bytes())
        for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            raw[raw.index(magic) + offset] |= 1
        path.write_bytes(bytes(raw))
        assert FileTree(path).aside == [SetAside("a/1.wav", "encrypted")]

    def test_more_files_than_anybody_has(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "MAX_FILES", 3)
        with pytest.raises(DataError, match="more than 3 files"):
            FileTree(zipped(tmp_path / "many.zip", {str(i): b"" for i in range(4)}))

    def test_a_file_that_is_too_large_is_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tree, "MAX_FILE_BYTES", 10)
        with pytest.raises(ValueError, match="larger than 1 GiB"):
            FileTree(text(tmp_path / "a.bin", "x" * 11)).files[0].read()

    def test_a_name_that_stands_twice(self, tmp_path: Path) -> None:
        found = FileTree(members(tmp_path / "a.tar", *[tarfile.TarInfo("a")] * 2, content=b"x"))
        assert [file.name for file in found.files] == ["a"]
        assert found.aside == [SetAside("a", "a later file has the same name")]


def files(*names: str, **content: str) -> list[SourceFile]:
    """Files of these names; ``content`` is that of some, by stem."""

    def file(name: str) -> SourceFile:
        inside = content.get(Path(name).stem, "").encode()
        return SourceFile(name, len(inside), lambda: io.BytesIO(inside))

    return [file(name) for name in names]


def placed(*names: str, pattern: str = "", **content: str) -> dict[str, tuple[object, ...]]:
    """By file: label, part and slices, or the reason."""
    found = place(files(*names, **content), pattern, (".wav",), "a WAV file")
    return {
        entry.file.name if isinstance(entry, Placed) else entry.file: (
            (entry.label, entry.part, dict(entry.slices)) if isinstance(entry, Placed) else (entry.reason,)
        )
        for entry in found
    }


class TestPlaces:
    @pytest.mark.parametrize("top", ["", "speech/", "a/b/c/"])
    def test_the_first_folder_that_differs_is_the_class(self, top: str) -> None:
        found = placed(f"{top}yes/1.wav", f"{top}no/2.wav", f"{top}no/take 2/3.wav", "README.md")
        assert [found[f"{top}{name}"][0] for name in ("yes/1.wav", "no/2.wav", "no/take 2/3.wav")] == [
            "yes",
            "no",
            "no",
        ]
        assert found["README.md"] == ("not a WAV file (.md)",)

    def test_one_class_is_a_class(self) -> None:
        assert placed("set/normal/1.wav", "set/normal/2.wav")["set/normal/1.wav"][0] == "normal"

    def test_a_file_in_no_folder_has_no_label(self) -> None:
        assert placed("1.wav", "yes/2.wav")["1.wav"] == ("", None, {})

    @pytest.mark.parametrize("names", [("train", "test"), ("Training", "Testing"), ("train", "val")])
    def test_train_and_test_folders_are_parts(self, names: tuple[str, str]) -> None:
        found = placed(
            *(f"set/{part}/{c}/{i}.wav" for part in names for c in ("yes", "no") for i in range(2))
        )
        other = Part.VALIDATION if names[1] == "val" else Part.TEST
        assert found[f"set/{names[0]}/yes/0.wav"] == ("yes", Part.TRAIN, {})
        assert found[f"set/{names[1]}/no/1.wav"] == ("no", other, {})

    @pytest.mark.parametrize("names", [("train", "other"), ("test", "val"), ("train",)])
    def test_what_only_looks_like_it_is_a_class(self, names: tuple[str, ...]) -> None:
        found = placed(*(f"{name}/{c}/{i}.wav" for name in names for c in ("yes", "no") for i in range(2)))
        assert {entry[1] for entry in found.values()} == {None}

    def test_the_lists_of_speech_commands_are_parts(self) -> None:
        found = placed(
            "sc/yes/1.wav", "sc/yes/2.wav", "sc/no/3.wav", "sc/_background_noise_/hum.wav",
            "sc/testing_list.txt", "sc/validation_list.txt", "sc/LICENSE",
            testing_list="yes/2.wav\n", validation_list="no/3.wav\r\n",
        )  # fmt: skip
        assert [found[f"sc/{name}.wav"][1] for name in ("yes/1", "yes/2", "no/3")] == [
            Part.TRAIN, Part.TEST, Part.VALIDATION
        ]  # fmt: skip
        assert found["sc/_background_noise_/hum.wav"] == ("background noise, not a class",)
        assert found["sc/LICENSE"] == ("not a WAV file (no suffix)",)
        assert "sc/testing_list.txt" not in found

    def test_hidden_files_are_named_as_such(self) -> None:
        found = placed("yes/1.wav", "yes/._1.wav", ".DS_Store", "__MACOSX/yes/1.wav", ".git/2.wav")
        assert [name for name, entry in found.items() if entry == ("hidden file",)] == [
            "yes/._1.wav", ".DS_Store", "__MACOSX/yes/1.wav", ".git/2.wav"
        ]  # fmt: skip


class TestPatterns:
    def test_parts_of_names_become_label_and_slices(self) -> None:
        found = placed(
            "fsdd/zero/ann_nohash_0.wav", "fsdd/one/bob_x_nohash_12.wav", "fsdd/one/odd.wav",
            pattern="{label}/{speaker}_nohash_{take}",
        )  # fmt: skip
        assert found["fsdd/zero/ann_nohash_0.wav"] == ("zero", None, {"speaker": "ann", "take": "0"})
        assert found["fsdd/one/bob_x_nohash_12.wav"][2] == {"speaker": "bob_x", "take": "12"}
        assert found["fsdd/one/odd.wav"] == (
            "its name does not fit the pattern {label}/{speaker}_nohash_{take}",
        )

    def test_without_a_label_the_folder_is_it(self) -> None:
        found = placed("yes/ann-1.wav", "no/bob-2.wav", pattern="{word}/{who}-{take}")
        assert found["no/bob-2.wav"] == ("no", None, {"word": "no", "who": "bob", "take": "2"})

    @pytest.mark.parametrize("pattern", ["a", "{}", "{a", "{a}/{a}", "{a b}", "{1}"])
    def test_what_is_no_pattern(self, pattern: str) -> None:
        with pytest.raises(DataError, match="is not a pattern") as caught:
            Pattern(pattern)
        assert "{label}/{speaker}" in (caught.value.fix or "")

    def test_signs_of_regular_expressions_mean_themselves(self) -> None:
        assert Pattern("{a}.(x)*/{b}").match("1.(x)*/2.wav") == {"a": "1", "b": "2"}
        assert Pattern("{a}.(x)*/{b}").match("1axx/2.wav") is None

    def test_one_that_fits_nothing_is_refused_with_an_example(self) -> None:
        with pytest.raises(DataError, match=r"fits none of 2 files; the first is 'yes/1\.wav'"):
            placed("set/yes/1.wav", "set/no/2.wav", pattern="{label}/{speaker}_{take}")
