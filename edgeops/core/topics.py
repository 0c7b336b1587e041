"""MQTT topics: how they are built and taken apart. The table in ``docs/protocol.md`` comes from ``TOPICS``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from edgeops.core.errors import UsageError, WireError

ROOT = "edgeops/v1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Kind(Enum):
    """The last level of a device topic."""

    DESIRED = "desired"
    PRESENCE = "presence"
    STATE = "state"
    EVENT = "event"
    REPORT = "report"
    RECEIPT = "receipt"
    LABEL = "label"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class TopicRule:
    """One row of the wire's table: who writes a topic, and whether the broker keeps it."""

    pattern: str
    retained: bool
    writer: str
    content: str


TOPICS: tuple[TopicRule, ...] = (
    TopicRule("trust", True, "control", "trust root: keys, roles, threshold, version"),
    TopicRule("device/<id>/desired", True, "control", "signed desired state of the device"),
    TopicRule("device/<id>/presence", True, "device, last will", "session number, online or not"),
    TopicRule("device/<id>/state", True, "device", "what runs in which slot; capabilities and limits"),
    TopicRule("device/<id>/event", False, "device", "a lifecycle transition, with its reason"),
    TopicRule("device/<id>/report", False, "device", "one window of counters for one model"),
    TopicRule("device/<id>/receipt", True, "control", "per boot, the highest contiguous sequence committed"),
    TopicRule("device/<id>/label", False, "device", "truths that came later"),
    TopicRule("device/<id>/sample", False, "device", "captured inputs, only under a capture policy"),
    TopicRule("blob/<sha256>/<index>", True, "control", "one chunk of a blob"),
    TopicRule(
        "published", True, "control", "how far publishing came: a broker that lost something is noticed"
    ),
)

RETAINED_BY_DEVICE = frozenset({Kind.PRESENCE, Kind.STATE})


@dataclass(frozen=True, slots=True)
class DeviceTopic:
    """A parsed ``device/<id>/<kind>`` topic."""

    fleet: str
    device: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class ChunkTopic:
    """A parsed ``blob/<sha256>/<index>`` topic."""

    fleet: str
    sha256: str
    index: int


def check_name(text: str, what: str) -> str:
    """Return ``text`` if it may be a topic level (fleet, device, model); raises ``UsageError``."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{what} {text!r} is not a name: 1 to 64 letters, digits, '_', '.' or '-', "
            "beginning with a letter or digit",
            fix=f"such as {_like_name(text)}",
            value=text,
        )
    return text


def _like_name(text: str) -> str:
    """The nearest name to a text that is none."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip("_.-")[:64].rstrip("-") or "cam-01"


def trust(fleet: str) -> str:
    """The topic of the trust root."""
    return f"{ROOT}/{fleet}/trust"


def published(fleet: str) -> str:
    """The topic by which the control side sees whether the broker kept what was published."""
    return f"{ROOT}/{fleet}/published"


def device(fleet: str, device_id: str, kind: Kind) -> str:
    """The topic of one device and kind."""
    return f"{ROOT}/{fleet}/device/{device_id}/{kind.value}"


def every_device(fleet: str, kind: Kind) -> str:
    """The filter that matches one kind of every device."""
    return f"{ROOT}/{fleet}/device/+/{kind.value}"


def chunk(fleet: str, sha256: str, index: int) -> str:
    """The topic of one chunk of a blob."""
    return f"{ROOT}/{fleet}/blob/{sha256}/{index}"


def parse(topic: str) -> DeviceTopic | ChunkTopic:
    """Take a device or chunk topic apart; raises ``WireError`` for anything else."""
    parts = topic.split("/")
    if parts[:2] == ROOT.split("/") and len(parts) == 6 and _NAME.fullmatch(parts[2]):
        fleet, branch, name, leaf = parts[2:]
        if branch == "device" and _NAME.fullmatch(name):
            try:
                return DeviceTopic(fleet, name, Kind(leaf))
            except ValueError:
                pass  # falls through to the one error below
        if branch == "blob" and _DIGEST.fullmatch(name) and leaf.isdecimal() and len(leaf) <= 6:
            return ChunkTopic(fleet, name, int(leaf))
    raise WireError(f"not a topic of this protocol: {topic[:120]!r}", topic=topic[:120])
