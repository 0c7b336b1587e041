"""What a dataset version is but for its values: one line an item, and the hash of the whole."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.core.errors import DataError
from edgeops.data.items import DTYPES
from edgeops.data.splitting import Part, Parts

# in the hash since the first release; how files are laid out has a format of its own (``storage``)
CONTENT_FORMAT = "edgeops-dataset-1"


@dataclass(frozen=True, eq=False)
class Index:
    """N items in the order of their ``digests`` (N times 32 bytes), without their values.

    ``item_shape`` begins with -1 where items differ in length; ``lengths`` (N,) int64 then says how long each
    is, and is empty otherwise. ``groups``, ``files`` and each column of ``slices`` are empty or N long.
    ``columns`` names the values of a table's row or the channels of recordings, or is empty.
    """

    name: str
    version: int
    kind: str
    labels: tuple[str, ...]
    dtype: str
    item_shape: tuple[int, ...]
    digests: Sequence[bytes]
    targets: NDArray[np.int64]
    parts: Parts
    origins: tuple[str, ...]
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    groups: tuple[str, ...] = ()
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sample_rate_hz: float = 0.0
    files: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, len(self.digests), self.dtype)
        if len(self.lengths) != (len(self) if self.ragged else 0):
            raise DataError(f"dataset {self.name} has {len(self.lengths)} lengths for {len(self)} items")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def ragged(self) -> bool:
        """Whether items differ in length."""
        return self.item_shape[:1] == (-1,)

    @cached_property
    def sha256(self) -> str:
        """Hex hash of schema, labels and every item with its target, part, origin, group and slices.

        In no order. Name, version, files and names of columns are not content. A uint8 and a float32 dataset of
        the same items differ.
        """
        schema: dict[str, Any] = {
            "format": CONTENT_FORMAT,
            "kind": self.kind,
            "dtype": self.dtype,
            "shape": list(self.item_shape),
            "labels": list(self.labels),
        }
        # only where there are any, so that datasets without them keep the hash that they always had
        if self.groups:
            schema["groups"] = True
        if self.slices:
            schema["slices"] = sorted(self.slices)
        if self.sample_rate_hz:
            schema["sample_rate_hz"] = float(self.sample_rate_hz)  # as it is read back
        columns = [self.groups] * bool(self.groups) + [self.slices[name] for name in sorted(self.slices)]
        lines = sorted(
            digest
            + struct.pack(">qB", self.targets[row], self.parts[row])
            + hashlib.sha256(self.origins[row].encode()).digest()
            + b"".join(hashlib.sha256(column[row].encode()).digest() for column in columns)
            for row, digest in enumerate(self.digests)
        )
        whole = hashlib.sha256(json.dumps(schema, sort_keys=True).encode())
        for line in lines:
            whole.update(line)
        return whole.hexdigest()

    def counts(self) -> dict[str, int]:
        """Items in each part, every part named."""
        return {part.label: int((self.parts == part).sum()) for part in Part}


def check_fields(it: Any, count: int, dtype: str) -> None:
    """Refuse what no dataset may be; ``it`` is an ``Index`` or a ``Dataset`` of ``count`` values."""
    lengths = {count, len(it.targets), len(it.parts), len(it.origins)}
    lengths |= {len(column) for column in (it.groups, it.files, *it.slices.values()) if len(column)}
    if lengths == {0} or len(lengths) != 1:
        raise DataError(f"dataset {it.name} is empty or its arrays differ in length: {sorted(lengths)}")
    if it.columns and len(it.columns) != it.item_shape[-1]:
        raise DataError(f"dataset {it.name} names {len(it.columns)} columns of {it.item_shape[-1]}")
    if dtype not in DTYPES:
        raise DataError(f"dataset {it.name} has inputs of {dtype}, not {', '.join(DTYPES)}")
    if it.targets.min() < 0 or it.targets.max() >= len(it.labels):
        raise DataError(f"dataset {it.name} has targets beyond its {len(it.labels)} labels")
    if it.parts.max() > max(Part):
        raise DataError(f"dataset {it.name} has items in a part that is not known")
    if not 0 <= it.sample_rate_hz < float("inf"):
        raise DataError(f"dataset {it.name} has a sample rate of {it.sample_rate_hz} Hz")


def pack_text(texts: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Texts as two arrays, ``bytes`` (UTF-8, one after the other) and ``ends`` (N,) int64."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return {"bytes": np.frombuffer(b"".join(encoded), np.uint8), "ends": ends}


def unpack_text(packed: NDArray[Any], ends: NDArray[Any]) -> tuple[str, ...]:
    """What ``pack_text`` packed; raises ``ValueError`` when it does not decode."""
    whole, last = packed.astype(np.uint8, casting="safe").tobytes(), 0
    texts = []
    for end in ends.tolist():
        if not last <= end <= len(whole):
            raise ValueError(f"a text ends at {end}, outside of its {len(whole)} bytes")
        texts.append(whole[last:end].decode())
        last = end
    return tuple(texts)
