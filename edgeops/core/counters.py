"""From a report as it came to the counters that it carries."""

from __future__ import annotations

from edgeops.core.messages import Report
from edgeops.core.observe import Counters


def counters_of(report: Report) -> Counters:
    """The counters of one reported window; nothing is checked beyond what decoding checked."""
    return Counters(
        report.bins,
        report.inferences,
        report.errors,
        report.rejected_inputs,
        report.classes,
        report.confidence,
        report.latency,
        report.observed,
        report.features,
    )
