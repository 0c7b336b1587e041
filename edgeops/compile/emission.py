"""The bytes of a plan: header, records, constants, each constant once."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeops.compile import plan_format as form
from edgeops.compile.placement import ALIGNMENT, aligned
from edgeops.compile.refusals import SMALLER, not_compilable
from edgeops.compile.steps import Buffer, Step


@dataclass
class Constants:
    """What records point at; equal bytes are stored once."""

    at: int
    data: bytearray = field(default_factory=bytearray)
    places: dict[bytes, int] = field(default_factory=dict)

    def place(self, content: bytes) -> int:
        """Where ``content`` lies in the plan."""
        if content not in self.places:
            self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            self.places[content] = self.at + len(self.data)
            self.data.extend(content)
        return self.places[content]


def emit(
    steps: Sequence[Step],
    places: Mapping[Buffer, int],
    header: Mapping[str, object],
    resets: Sequence[tuple[int, int, int]],
) -> bytes:
    """The plan: ``header`` gives the fields that are known before the sizes of its parts are."""
    head = form.form_of(form.HEADER).size
    records_bytes = sum(form.form_of(form.RECORDS[step.code]).size for step in steps)
    resets_at = head + records_bytes
    constants = Constants(resets_at + len(resets) * form.form_of(form.RESET).size)
    records = bytearray()
    for step in steps:
        records += _record(step, places, constants)
    size = constants.at + aligned(len(constants.data))
    if size > form.MOST_BYTES:
        raise not_compilable(f"its plan has {size:,} bytes", SMALLER)
    values = {
        **header,
        "magic": form.MAGIC,
        "format": form.FORMAT,
        "rounding": form.ROUNDING_TWICE,
        "plan_bytes": size,
        "ops_at": head,
        "ops_bytes": len(records),
        "op_count": len(steps),
        "reset_count": len(resets),
        "resets_at": resets_at if resets else 0,
    }
    start = _packed(form.HEADER, values, "the model")
    kept = b"".join(
        form.packed(form.RESET, {"at": at, "bytes": count, "value": value}) for at, count, value in resets
    )
    return (start + bytes(records) + kept + bytes(constants.data)).ljust(size, b"\0")


def _record(step: Step, places: Mapping[Buffer, int], constants: Constants) -> bytes:
    fields = form.RECORDS[step.code]
    named = {"input": step.input, "other": step.other, "output": step.output, **step.buffers}
    values: dict[str, object] = {
        **step.fields,
        "code": int(step.code),
        "flags": int(step.flags),
        "record_bytes": form.form_of(fields).size,
    }
    for name, buffer in named.items():
        if buffer is not None:
            values[name] = places[buffer] + step.skip.get(name, 0)
    for name, content in step.constants.items():
        values[name] = constants.place(content) + step.skip.get(name, 0)
    unknown = values.keys() - {name for name, _ in fields}
    if unknown:
        raise AssertionError(f"{step.code.name} has no field {sorted(unknown)}")
    return _packed(fields, values, step.code.name)


def _packed(fields: form.Fields, values: Mapping[str, object], what: str) -> bytes:
    try:
        return form.packed(fields, values)
    except struct.error as error:
        wide = [name for name, f in fields if name in values and not _fits(f, values[name])]
        shown = ", ".join(f"{name} {values[name]}" for name in wide) or str(error)
        raise not_compilable(f"{what} has a size that does not fit a plan: {shown}", SMALLER) from None


def _fits(kind: str, value: object) -> bool:
    try:
        struct.pack(f"<{kind}", *(value if isinstance(value, tuple) else (value,)))
    except struct.error:
        return False
    return True
