"""The blob store: bytes by their SHA-256, in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeops.core.errors import NotFoundError, TrustError
from edgeops.files import read_or_none, write_atomic


class BlobStore:
    """``<root>/<first two>/<sha256>``; a blob is written once and never changed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest in hexadecimal; storing twice is no fault."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if not path.exists():
            write_atomic(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a digest; raises ``NotFoundError``, or ``TrustError`` when they were altered."""
        data = read_or_none(self._path(digest))
        if data is None:
            raise NotFoundError(f"blob {digest[:12]} is not in the blob store", sha256=digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise TrustError(f"blob {digest[:12]} in the blob store was altered", sha256=digest)
        return data

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / digest
