"""A workspace: made once, taken up again after an interruption, its keys guarded, its data versioned."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from edgeops.control import workspace as workspace_module
from edgeops.control.datasets import add_dataset, load_dataset
from edgeops.control.devices import enroll_device
from edgeops.control.keys import load_key, load_trust_envelope, make_keys
from edgeops.control.settings import FILE, Settings
from edgeops.control.workspace import Workspace, init_workspace
from edgeops.core.errors import (
    ConfigError,
    DataError,
    EdgeOpsError,
    NotFoundError,
    StorageError,
    TrustError,
    UsageError,
)
from edgeops.core.signing import Role, public_bytes
from edgeops.registry.tables import DatasetVersion, Device


@pytest.fixture
def workspace(tmp_path: Path):
    made = init_workspace(tmp_path / "farm", Settings("farm"))
    yield made
    made.registry.close()


class TestInit:
    def test_twice_is_refused_and_changes_nothing(self, workspace: Workspace) -> None:
        before = load_trust_envelope(workspace.keys_folder)
        with pytest.raises(UsageError, match="already"):
            init_workspace(workspace.root, Settings("other"))
        assert load_trust_envelope(workspace.keys_folder) == before
        assert Workspace(workspace.root).settings.fleet == "farm"

    @pytest.mark.parametrize("step", ["open_registry", "make_keys", "write_atomic", "render_settings"])
    def test_interrupted_anywhere_it_is_taken_up_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        def cut(*args: object, **kwargs: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(workspace_module, step, cut)
            init_workspace(tmp_path / "farm", Settings("farm"))
        assert not (tmp_path / "farm" / FILE).exists()
        made = init_workspace(tmp_path / "farm", Settings("farm"))
        assert made.trust[0].fleet == "farm"
        made.registry.close()

    def test_interrupted_among_the_keys(self, tmp_path: Path) -> None:
        keys = tmp_path / "farm" / "keys"
        keys.mkdir(parents=True)
        (keys / "root.pem").write_bytes(b"half")
        made = init_workspace(tmp_path / "farm", Settings("farm"))
        for role in Role:
            assert made.key(role)
        made.registry.close()


class TestKeys:
    def test_only_their_owner_may_read_them(self, workspace: Workspace) -> None:
        for role in Role:
            assert stat.S_IMODE((workspace.keys_folder / f"{role.value}.pem").stat().st_mode) == 0o600

    def test_are_never_overwritten(self, workspace: Workspace) -> None:
        before = public_bytes(workspace.key(Role.ROOT))
        with pytest.raises(UsageError, match="not overwritten"):
            make_keys(workspace.keys_folder, "farm")
        assert public_bytes(load_key(workspace.keys_folder, Role.ROOT)) == before

    def test_each_role_has_its_own(self, workspace: Workspace) -> None:
        assert len({public_bytes(workspace.key(role)) for role in Role}) == len(Role)

    def test_missing_or_damaged(self, workspace: Workspace) -> None:
        path = workspace.keys_folder / "deploy.pem"
        path.write_bytes(b"nonsense")
        with pytest.raises(ConfigError, match=r"deploy\.pem"):
            workspace.key(Role.DEPLOY)
        path.unlink()
        with pytest.raises(NotFoundError, match="deploy key is missing"):
            workspace.key(Role.DEPLOY)

    def test_an_altered_trust_root(self, workspace: Workspace) -> None:
        path = workspace.keys_folder / "trust.cose"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(TrustError):
            load_trust_envelope(workspace.keys_folder)


def npz(path: Path, seed: int, n: int = 80) -> str:
    rng = np.random.default_rng(seed)
    np.savez(path, x=rng.uniform(0, 16, (n, 8, 8)).astype(np.float32), y=np.arange(n) % 4)
    return str(path)


class TestDatasets:
    def test_the_same_content_is_the_same_version(self, workspace: Workspace, tmp_path: Path) -> None:
        first, new = add_dataset(workspace, npz(tmp_path / "a.npz", 1), "set")
        assert (first.version, new) == (1, True)
        again, new = add_dataset(workspace, npz(tmp_path / "b.npz", 1), "set")
        assert (again.version, new, again.sha256) == (1, False, first.sha256)
        other, new = add_dataset(workspace, npz(tmp_path / "c.npz", 2), "set")
        assert (other.version, new) == (2, True)
        assert load_dataset(workspace, "set@1")[0].sha256 == first.sha256
        assert load_dataset(workspace, "set")[1].version == 2

    def test_what_cannot_be_read_registers_nothing(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "bad.npz").write_bytes(b"no archive")
        np.savez(tmp_path / "empty.npz", x=np.zeros((0, 8, 8)), y=np.zeros(0, int))
        for source in ("bad.npz", "empty.npz", "none.npz"):
            with pytest.raises(EdgeOpsError):
                add_dataset(workspace, str(tmp_path / source), "set")
        with workspace.registry.reading() as session:
            assert session.exec(select(DatasetVersion)).all() == []

    def test_an_altered_one_is_not_loaded(self, workspace: Workspace, tmp_path: Path) -> None:
        row, _ = add_dataset(workspace, npz(tmp_path / "a.npz", 1), "set")
        victim = max((workspace.root / row.folder).iterdir(), key=lambda path: path.stat().st_size)
        raw = bytearray(victim.read_bytes())
        raw[-5] ^= 1
        victim.write_bytes(bytes(raw))
        with pytest.raises(DataError):
            load_dataset(workspace, "set")


class TestEnrolment:
    @pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "+", "#", "x" * 65, "ä"])
    def test_a_bad_name_leaves_nothing_behind(self, workspace: Workspace, name: str) -> None:
        with pytest.raises(UsageError, match="name"):
            enroll_device(workspace, name, {}, None, 100)
        assert not (workspace.root / "devices").exists()
        with workspace.registry.reading() as session:
            assert session.exec(select(Device)).all() == []

    def test_twice_is_refused_and_the_first_keeps_its_files(self, workspace: Workspace) -> None:
        path = enroll_device(workspace, "cam", {"site": "a"}, None, 100)
        before = path.read_bytes()
        with pytest.raises(UsageError, match="already"):
            enroll_device(workspace, "cam", {"site": "b"}, None, 100)
        assert path.read_bytes() == before

    def test_a_folder_that_cannot_be_replayed_is_found_out_at_once(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        for source in ("replay:nofolder", f"replay:{tmp_path}", "replay:"):
            with pytest.raises(NotFoundError, match="it holds no inputs.npy") as caught:
                enroll_device(workspace, "cam", {}, source, 100)
            assert "edgeops data export" in (caught.value.fix or "")
        for source in ("folder", "a b:c", "mod:", "file:///x"):
            with pytest.raises(UsageError, match="is no source of inputs") as refused:
                enroll_device(workspace, "cam", {}, source, 100)
            assert "replay:FOLDER" in (refused.value.fix or "")
        assert not (workspace.root / "devices").exists()
        with workspace.registry.reading() as session:
            assert session.exec(select(Device)).all() == []

    def test_every_form_of_source_reaches_the_agent(self, workspace: Workspace, tmp_path: Path) -> None:
        np.save(tmp_path / "inputs.npy", np.zeros((2, 3)))
        for number, source in enumerate(
            (f"replay:{tmp_path}", "stdin", "mqtt://10.0.0.1:1883/x", "my.camera:frames")
        ):
            path = enroll_device(workspace, f"cam-{number}", {}, source, 100)
            assert source in path.read_text()

    def test_when_the_files_cannot_be_written_the_device_is_not_enrolled(self, workspace: Workspace) -> None:
        (workspace.root / "devices").write_text("a file where the folder should be")
        with pytest.raises(StorageError):
            enroll_device(workspace, "cam", {}, None, 100)
        with workspace.registry.reading() as session:
            assert session.get(Device, "cam") is None
