"""What the agent keeps on disk for the device itself: boot number, trust root, last desired state."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from device_agent.config import AgentConfig
from edgeops.core.codec import decode
from edgeops.core.errors import ConfigError, StorageError
from edgeops.core.signing import TrustRoot, accept_first_root, unverified_payload
from edgeops.core.topics import check_name
from edgeops.files import read_or_none, write_atomic


class DeviceStore:
    """Files below the agent's data folder."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._root = config.data

    def next_boot(self) -> int:
        """The number of this start: one more than the last.

        The first is random, so that a device whose disk was wiped does not repeat the keys of old reports.
        """
        path = self._root / "boot"
        raw = read_or_none(path)
        if raw is not None and not raw.strip().isdigit():
            raise StorageError(f"{path} is damaged", fix=f"remove {path}", path=str(path))
        number = (int(raw) if raw is not None else secrets.randbelow(2**30)) + 1
        try:
            write_atomic(path, str(number).encode())
        except StorageError:
            if raw is None:
                raise
            _overwrite(path, str(number).encode())  # a full disk has room for what is there already
        return number

    def load_trust(self) -> TrustRoot:
        """The newest root that was accepted, else the one that came with the enrolment."""
        accepted = read_or_none(self._root / "trust.cose")
        if accepted is not None:
            return decode(TrustRoot, unverified_payload(accepted))
        enrolled = read_or_none(self._config.trust)
        if enrolled is None:
            raise ConfigError(
                f"{self._config.trust}: the trust root is missing",
                fix="copy trust.cose from the enrolment (edgeops device enroll writes it beside agent.toml)",
                file=str(self._config.trust),
            )
        root = accept_first_root(enrolled)
        if root.fleet != self._config.fleet:
            raise ConfigError(
                f"{self._config.trust} is the trust root of fleet {root.fleet!r}, not {self._config.fleet!r}",
                key="fleet",
            )
        return root

    def save_trust(self, envelope: bytes) -> None:
        """Keep a root that was accepted."""
        write_atomic(self._root / "trust.cose", envelope)

    def load_desired(self) -> bytes | None:
        """The last desired state that was taken."""
        return read_or_none(self._root / "desired.cose")

    def save_desired(self, envelope: bytes) -> None:
        """Keep the desired state, so that policies hold after a restart without a broker."""
        write_atomic(self._root / "desired.cose", envelope)

    def model_names(self) -> list[str]:
        """The models that have a state on this disk."""
        return sorted(
            check_name(path.parent.name, "model") for path in self._root.glob("models/*/state.cbor")
        )

    def free_bytes(self) -> int:
        """Free bytes of the disk."""
        return shutil.disk_usage(self._root).free


def _overwrite(path: Path, data: bytes) -> None:
    """Write in place: a few bytes of one sector, for a disk that has no room for a second file."""
    try:
        with path.open("r+b") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}", fix="free disk space", path=str(path)
        ) from error
