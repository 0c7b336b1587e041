"""``digits@2``: names with a version, and finding what they name."""

from __future__ import annotations

from sqlmodel import Session, select

from edgeops.core.errors import NotFoundError, UsageError
from edgeops.registry.tables import DatasetVersion, Device, ModelVersion


def split_version(text: str) -> tuple[str, int | None]:
    """``digits@2`` to ("digits", 2), ``digits`` to ("digits", None); raises ``UsageError``."""
    name, at, version = text.partition("@")
    if not at:
        return name, None
    if not version.isdecimal():
        raise UsageError(f"{text!r}: the version after '@' must be a number", value=text)
    return name, int(version)


def find_dataset(session: Session, text: str) -> DatasetVersion:
    """A dataset version, the latest one without ``@``; raises ``NotFoundError``."""
    name, version = split_version(text)
    query = select(DatasetVersion).where(DatasetVersion.name == name)
    if version is not None:
        query = query.where(DatasetVersion.version == version)
    found = session.exec(query.order_by(DatasetVersion.version.desc())).first()  # type: ignore[attr-defined]
    if found is None:
        raise NotFoundError(f"no dataset {text!r}", fix="edgeops data list shows what there is", name=text)
    return found


def find_model(session: Session, text: str, *, registered: bool = False) -> ModelVersion:
    """A model version, the latest one without ``@``; ``registered`` leaves rejected ones out."""
    name, version = split_version(text)
    query = select(ModelVersion).where(ModelVersion.model == name)
    if version is not None:
        query = query.where(ModelVersion.version == version)
    elif registered:
        query = query.where(ModelVersion.state == "registered")
    found = session.exec(query.order_by(ModelVersion.version.desc())).first()  # type: ignore[attr-defined]
    if found is None:
        raise NotFoundError(f"no model {text!r}", fix="edgeops model list shows what there is", name=text)
    return found


def find_device(session: Session, device_id: str) -> Device:
    """A device; raises ``NotFoundError``."""
    found = session.get(Device, device_id)
    if found is None:
        raise NotFoundError(
            f"no device {device_id!r}", fix="edgeops device enroll NAME adds one", name=device_id
        )
    return found


def model_of_manifest(session: Session, manifest_sha256: str) -> ModelVersion | None:
    """The model version whose manifest has this digest."""
    return session.exec(select(ModelVersion).where(ModelVersion.manifest_sha256 == manifest_sha256)).first()
