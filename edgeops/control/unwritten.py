"""Which messages wait for a registry that cannot be written, and which will come again by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from edgeops.core.errors import WireError
from edgeops.core.topics import RETAINED_BY_DEVICE, DeviceTopic, Kind, parse
from edgeops.core.transport import Received


def worth_keeping(messages: Sequence[Received], first: int, most: int) -> list[Received]:
    """At most ``most`` of the messages, in their order: the ``first`` ones, and of the others what nobody sends twice.

    Reports come again until they are receipted. Of what a device retains, the newest is enough, and where there is no
    room for it, the broker has it.
    """
    kinds = [_kind(message.topic) for message in messages]
    newest = {message.topic: place for place, message in enumerate(messages)}
    once, retained = [], []
    for place, (message, kind) in enumerate(zip(messages, kinds, strict=True)):
        if kind in RETAINED_BY_DEVICE:
            if newest[message.topic] == place:
                retained.append(place)
        elif place < first or kind is not Kind.REPORT:
            once.append(place)
    once = once[:most]
    return [messages[place] for place in sorted(once + retained[: most - len(once)])]


def _kind(topic: str) -> Kind | None:
    try:
        parsed = parse(topic)
    except WireError:
        return None
    return parsed.kind if isinstance(parsed, DeviceTopic) else None
