"""Whether a device can take a model version: each limit is named, with both numbers."""

from __future__ import annotations

from collections.abc import Iterable

from device_agent.config import AgentConfig
from device_agent.running_model import RUNTIME
from edgeops.core.errors import DoesNotFit
from edgeops.core.manifest import Artifact, Manifest

AGENT_VERSION = (0, 1, 0)
TAKES = (RUNTIME,)
"""The runtimes of artifacts that this agent can run."""


def check_fit(manifest: Manifest, model: str, config: AgentConfig, security_counter: int) -> Artifact:
    """The artifact for this device; raises ``DoesNotFit`` for the first limit that is not kept."""
    if manifest.model != model:
        raise DoesNotFit(f"the manifest is of model {manifest.model!r}, not {model!r}", limit="model")
    if manifest.security_counter < security_counter:
        raise DoesNotFit(
            f"security counter {manifest.security_counter} is below {security_counter}",
            limit="security counter",
            needed=security_counter,
            available=manifest.security_counter,
        )
    if manifest.min_agent > AGENT_VERSION:
        raise DoesNotFit(
            f"agent version {dotted(manifest.min_agent)} is needed, this is {dotted(AGENT_VERSION)}",
            limit="agent version",
            needed=dotted(manifest.min_agent),
            available=dotted(AGENT_VERSION),
        )
    artifact = manifest.artifact(RUNTIME, config.target)
    if artifact is None:
        takes = f"{RUNTIME} for {config.target}"
        has = ", ".join(f"{one.runtime} for {one.target}" for one in manifest.artifacts) or "nothing"
        raise DoesNotFit(
            f"this device takes {takes}; the version has {has}", limit="target", needed=takes, available=has
        )
    if 0 < config.arena_bytes < artifact.arena_bytes:
        raise DoesNotFit(
            f"{artifact.arena_bytes} bytes of arena are needed, {config.arena_bytes} are there",
            limit="arena",
            needed=artifact.arena_bytes,
            available=config.arena_bytes,
        )
    return artifact


def check_disk(needed: int, free: int) -> None:
    """Whether so many bytes have room; raises ``DoesNotFit``."""
    if needed > free:
        raise DoesNotFit(
            f"{needed} bytes of disk are needed, {free} are free",
            limit="disk",
            needed=needed,
            available=free,
        )


def dotted(version: Iterable[int]) -> str:
    """A version as people write it."""
    return ".".join(str(part) for part in version)
