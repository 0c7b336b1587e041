"""``digits@2``: names with a version, and finding what they name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from edgeops.core.errors import NotFoundError, UsageError
from edgeops.registry.tables import DatasetVersion, Device, ModelVersion

_SHOWN = 8


def split_version(text: str) -> tuple[str, int | None]:
    """``digits@2`` to ("digits", 2), ``digits`` to ("digits", None); raises ``UsageError``."""
    name, at, version = text.partition("@")
    if not at:
        return name, None
    if not version.isdecimal():
        raise UsageError(
            f"{text!r}: the version after '@' must be a number",
            fix=f"{name}, or such as {name}@1",
            value=text,
        )
    return name, int(version)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` is most likely a slip for; empty where none is near."""
    return next(iter(difflib.get_close_matches(name, sorted(set(known)), 1)), "")


def _unknown(noun: str, text: str, known: Sequence[tuple[str, int]], fix: str) -> NotFoundError:
    """Says which versions a known name has, and which name is near an unknown one."""
    name, _, _ = text.partition("@")
    versions = sorted(version for there, version in known if there == name)
    if versions:
        shown = ", ".join(f"{name}@{version}" for version in versions[-_SHOWN:])
        return NotFoundError(f"no {noun} {text!r}: there is {shown}", fix=fix, name=text)
    near = nearest(name, (there for there, _ in known))
    return NotFoundError(
        f"no {noun} {text!r}{f': did you mean {near!r}?' if near else ''}", fix=fix, name=text
    )


def find_dataset(session: Session, text: str) -> DatasetVersion:
    """A dataset version, the latest one without ``@``; raises ``NotFoundError``."""
    name, version = split_version(text)
    query = select(DatasetVersion).where(DatasetVersion.name == name)
    if version is not None:
        query = query.where(DatasetVersion.version == version)
    found = session.exec(query.order_by(DatasetVersion.version.desc())).first()  # type: ignore[attr-defined]
    if found is None:
        known: list[tuple[str, int]] = [*session.exec(select(DatasetVersion.name, DatasetVersion.version))]
        raise _unknown("dataset", text, known, "edgeops data list shows what there is")
    return found


def find_model(session: Session, text: str, *, registered: bool = False) -> ModelVersion:
    """A model version; without ``@`` the newest registered one.

    Where none is registered it is the newest there is, unless only ``registered`` ones will do. Raises
    ``NotFoundError``, naming the versions that there are.
    """
    name, version = split_version(text)
    rows = session.exec(
        select(ModelVersion).where(ModelVersion.model == name).order_by(col(ModelVersion.version).desc())
    ).all()
    if version is not None:
        fitting = [row for row in rows if row.version == version]
    else:
        fitting = [row for row in rows if row.state == "registered"] or ([] if registered else list(rows))
    if fitting:
        return fitting[0]
    if version is None and rows:
        there = ", ".join(f"{row.model}@{row.version} ({row.state})" for row in rows[:_SHOWN])
        raise NotFoundError(
            f"no version of {text!r} is registered: there is {there}",
            fix=f"edgeops model show {name}@{rows[0].version} says why",
            name=text,
        )
    known: list[tuple[str, int]] = [*session.exec(select(ModelVersion.model, ModelVersion.version))]
    raise _unknown("model", text, known, "edgeops model list shows what there is")


def find_device(session: Session, device_id: str) -> Device:
    """A device; raises ``NotFoundError``."""
    found = session.get(Device, device_id)
    if found is None:
        raise NotFoundError(
            f"no device {device_id!r}", fix="edgeops device enroll NAME adds one", name=device_id
        )
    return found


def model_of_manifest(session: Session, manifest_sha256: str) -> ModelVersion | None:
    """The model version whose manifest has this digest, or a digest that begins so (16 hexadecimal digits)."""
    named = col(ModelVersion.manifest_sha256)
    # a range finds the prefix in the index
    query = select(ModelVersion).where(named >= manifest_sha256, named < manifest_sha256 + "g")
    return session.exec(query).first()
