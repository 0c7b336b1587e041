"""Gives every field of ``wire.cddl`` a rule of its own, for zcbor, which names C members after rules.

The rules say the same as before. zcbor 0.9.1 wants it so: two fields of one message that are lists of the same type get
one name, and a list's member whose label is also a rule is taken for that rule.
"""

from __future__ import annotations

import re
import sys

_FIELD = re.compile(r"^  (\? )?(\d+) => (.*), ; (.*)$")
_MEMBER = re.compile(r"^  (\? )?([a-z-]+): (.*),$")


def named(cddl: str) -> str:
    """The CDDL with one rule for each field."""
    lines: list[str] = []
    rules: list[str] = []
    rule = ""
    for line in cddl.splitlines():
        if begins := re.match(r"^([a-z-]+) = [\[{]$", line):
            rule = begins[1]
        if found := _FIELD.match(line):
            optional, key, kind, name = found.groups()
        elif found := _MEMBER.match(line):
            optional, name, kind = found.groups()
            key = ""
        else:
            lines.append(line)
            continue
        own = f"{rule}-{name}-field"
        rules.append(f"{own} = {kind}")
        lines.append(f"  {optional or ''}{f'{key} => ' if key else ''}{own},")
    return "\n".join([*lines, "", *rules]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(named(sys.stdin.read()))
