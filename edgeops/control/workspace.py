"""A workspace: one folder with settings, registry, blob store, datasets and signing keys."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeops.control.keys import load_key, load_trust_envelope, make_keys
from edgeops.control.settings import FILE, Settings, load_settings, render_settings
from edgeops.core.errors import UsageError
from edgeops.core.signing import Role, TrustRoot
from edgeops.files import write_atomic
from edgeops.registry.blobs import BlobStore
from edgeops.registry.store import Registry, open_registry


class Workspace:
    """An opened workspace; parts are opened when they are first used."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings: Settings = load_settings(root)

    @cached_property
    def registry(self) -> Registry:
        """The registry; raises ``RegistryUnreachable``."""
        return open_registry(self.root / "registry.db")

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store."""
        return BlobStore(self.root / "blobs")

    @cached_property
    def trust(self) -> tuple[TrustRoot, bytes]:
        """The trust root and its envelope."""
        return load_trust_envelope(self.keys_folder)

    @property
    def keys_folder(self) -> Path:
        """Where the keys are."""
        return self.root / "keys"

    def key(self, role: Role) -> Ed25519PrivateKey:
        """The private key of a role."""
        return load_key(self.keys_folder, role)

    def dataset_folder(self, name: str, version: int) -> Path:
        """Where a dataset version is kept."""
        return self.root / "datasets" / name / str(version)

    def device_folder(self, device_id: str) -> Path:
        """Where the enrolment of a device is written."""
        return self.root / "devices" / device_id


def init_workspace(root: Path, settings: Settings) -> Workspace:
    """Make a workspace; raises ``UsageError`` where there is one. The settings file comes last.

    A run that was interrupted is taken up again: what is there is kept, and without ``edgeops.toml`` a
    folder is no workspace yet.
    """
    if (root / FILE).exists():
        raise UsageError(
            f"{root} is a workspace already",
            fix=f"use it: edgeops data list --workspace {root}",
            path=str(root),
        )
    open_registry_at = root / "registry.db"
    root.mkdir(parents=True, exist_ok=True)
    open_registry(open_registry_at, create=True).close()
    if not (root / "keys" / "trust.cose").exists():
        for stale in (root / "keys").glob("*.pem"):
            stale.unlink()  # keys without a trust root have signed nothing
        make_keys(root / "keys", settings.fleet)
    write_atomic(root / FILE, render_settings(settings).encode())
    return Workspace(root)
