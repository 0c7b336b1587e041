"""The fit check: arenas of the MLPerf Tiny reference models against published figures, and latency errors."""

from __future__ import annotations

import math
import time
from typing import Any

from mlperf_tiny import PUBLISHED, reference_model

TARGET = "stm32l4r5"


def rows() -> list[dict[str, Any]]:
    """A ratio to the published arena for each model, the lowest of them, MACs, time taken, and latency errors."""
    from edgeops.targets import check_fit, find_target
    from edgeops.targets.latency import errors_by_kernels, leave_one_out

    found, ratios, seconds = [], [], []
    for name, (published, macs) in PUBLISHED.items():
        model = reference_model(name)
        started = time.perf_counter()
        report = check_fit(model, find_target(TARGET))
        seconds.append(time.perf_counter() - started)
        if report.arena is None or report.arena_bytes is None:
            raise RuntimeError(f"{name}: {'; '.join(report.reasons)}")
        ratios.append(report.arena_bytes / published)
        note = (
            f"{report.arena_bytes} bytes, {report.arena_source}; published {published}; "
            f"64-bit build {report.arena.measured.total}"
        )
        found.append(_row(f"arena_{name}", ratios[-1], "x published", "lower", note))
        off = abs(report.macs / macs - 1)
        found.append(
            _row(f"macs_{name}_off", off, "share", "lower", f"{report.macs} MACs, {macs:.4g} published")
        )
    found.append(
        _row("arena_lowest", min(ratios), "x published", "higher", "never below the published figure")
    )
    found.append(_row("check_seconds", max(seconds), "s", "lower", f"{TARGET}; the slowest of four models"))
    errors = sorted(abs(math.log(estimated / result.ms)) for result, estimated in leave_one_out())
    middle = math.exp((errors[len(errors) // 2] + errors[(len(errors) - 1) // 2]) / 2) - 1
    by_kernels = ", ".join(f"{k or 'all'} x/÷ {math.exp(e):.2f}" for k, e in errors_by_kernels().items())
    note = f"{len(errors)} published results, each estimated without it; rms: {by_kernels}"
    found.append(_row("latency_leave_one_out", middle, "median error", "lower", note))
    return found


def _row(name: str, value: float, unit: str, better: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": better, "peer": None, "note": note}


if __name__ == "__main__":
    for measured in rows():
        print(f"{measured['name']:24} {measured['value']:.4f}  {measured['note']}")
