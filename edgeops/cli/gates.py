"""Gates as a person reads them: one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeops.cli.output import cell

# what a recipe says where it sets no limit in bytes
_NO_LIMIT = 2**31 - 1


def gate_lines(gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """``min_int8_accuracy OK (0.98, limit 0.95)``, ``fits_rp2040 OK (takes 4.5% of it)``; its note where it has one."""
    return [
        f"{gate['name']} {'OK' if gate['passed'] else 'FAIL'} ({_figures(gate)})"
        + (f" {gate['note']}" if gate.get("note") else "")
        for gate in gates
    ]


def _figures(gate: Mapping[str, Any]) -> str:
    if gate["name"].startswith("fits_"):
        return f"takes {gate['value']:.1%} of it"
    limit = "no limit" if gate["limit"] == _NO_LIMIT else f"limit {cell(gate['limit'])}"
    return f"{cell(gate['value'])}, {limit}"
