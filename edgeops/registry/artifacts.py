"""The forms of a model version that devices take, and which of them a device takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from edgeops.core.manifest import Artifact
from edgeops.registry.tables import Device, ModelVersion

TFLITE, PLAN = "tflite", "plan"
USUAL_RUNTIME = TFLITE  # of a device that has not said what it takes
ANY_TARGET = "any"


@dataclass(frozen=True, slots=True)
class Form:
    """One artifact of a version: for which runtime and class of targets, which blob, how long it is.

    ``arena_bytes`` is the working memory that it needs, 0 where that is not known.
    """

    runtime: str
    target: str
    sha256: str
    bytes: int
    arena_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, as it stands in the registry and in documents."""
        return asdict(self)


class _Artifact(Protocol):
    @property
    def runtime(self) -> str: ...

    @property
    def target(self) -> str: ...


A = TypeVar("A", bound=_Artifact)


def forms_of(version: ModelVersion) -> tuple[Form, ...]:
    """The artifacts of a version; none of one that is not packaged, the ``.tflite`` alone of one that is older than
    other forms.
    """
    if version.manifest_sha256 is None:
        return ()
    if not version.artifacts:
        return (Form(TFLITE, ANY_TARGET, version.artifact_sha256, version.artifact_bytes),)
    return tuple(Form(**row) for row in version.artifacts)


def as_rows(artifacts: Iterable[Artifact]) -> list[dict[str, Any]]:
    """A manifest's artifacts as the registry keeps them."""
    return [Form(a.runtime, a.target, a.blob.hex, a.blob.size, a.arena_bytes).as_dict() for a in artifacts]


def takes_of(device: Device | None) -> list[str]:
    """The runtimes that a device can run, the usual one where it has not said so."""
    return (device.takes if device is not None else None) or [USUAL_RUNTIME]


def choose(artifacts: Sequence[A], device: Device | None) -> A | None:
    """The artifact that a device takes, by the order of what it takes; None where none suits it.

    Of a device whose class of targets is not known yet, its runtime decides.
    """
    target = device.target if device is not None else ""
    for runtime in takes_of(device):
        for artifact in artifacts:
            if artifact.runtime == runtime and (not target or artifact.target in (target, ANY_TARGET)):
                return artifact
    return None


def bytes_for(version: ModelVersion, device: Device | None) -> int:
    """What the version costs a device that has nothing of it: the length of the artifact that it takes, in bytes.

    Of a device that none suits, that of the ``.tflite``.
    """
    form = choose(forms_of(version), device)
    return form.bytes if form is not None else version.artifact_bytes


def costs_of(version: ModelVersion, devices: Iterable[Device]) -> dict[str, int]:
    """What the version costs each device, by id; those that it costs as much as its ``.tflite`` are left out."""
    if len(forms_of(version)) < 2:
        return {}
    costs = {device.id: bytes_for(version, device) for device in devices}
    return {name: cost for name, cost in costs.items() if cost != version.artifact_bytes}
