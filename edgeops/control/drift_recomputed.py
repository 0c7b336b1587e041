"""What the drift watch decides, computed again from the stored reports: under the same terms, or under others.

Nothing is written. A device's own reference is learned again as it was; which devices had drifted under the parent
version is taken from the registry.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import groupby
from math import floor
from typing import Any

from sqlmodel import Session, col, select

from edgeops.control.drift_records import has_alarmed
from edgeops.control.drift_references import stored_references
from edgeops.control.drift_watch import BURN_IN_WINDOWS, cohorts_of, seen_window, slotted
from edgeops.control.plans import PlanShelf
from edgeops.control.workspace import Workspace
from edgeops.core.counters import Counters
from edgeops.drift.device_track import SeenWindow, Track
from edgeops.drift.learned import MOST_LEARNED, learn
from edgeops.drift.rounds import Finding, judge_round
from edgeops.drift.signals import References
from edgeops.drift.watch_terms import WatchTerms
from edgeops.registry.blobs import BlobStore
from edgeops.registry.names import find_model
from edgeops.registry.tables import ModelVersion, ReportWindow

BATCH = 2_000


@dataclass
class Recomputed:
    """Windows that were judged, and what each device's would have raised; an episode is told of once."""

    windows: int = 0
    alarms: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"windows": self.windows, "alarms": self.alarms}


def recompute(workspace: Workspace, model: str, terms: WatchTerms) -> Recomputed:
    """Judge every stored window of a version (``digits@2``) in its order; raises ``NotFoundError``."""
    with workspace.registry.reading() as session:
        return recomputed(session, workspace.blobs, find_model(session, model), terms)


def recomputed(session: Session, blobs: BlobStore, version: ModelVersion, terms: WatchTerms) -> Recomputed:
    """As ``recompute``, of a version in an open session; raises ``NotFoundError`` where it has no reference."""
    return _Again(blobs, session, version, terms).run()


class _Again:
    def __init__(self, blobs: BlobStore, session: Session, version: ModelVersion, terms: WatchTerms) -> None:
        self._session, self._version, self._terms = session, version, terms
        self._plan = PlanShelf(blobs).plan(version.manifest_sha256 or "")
        self._stored = stored_references(blobs, session, version, self._plan)
        self._tracks: dict[str, Track] = {}
        self._first: dict[tuple[str, int], list[Counters]] = {}
        self._learned: dict[tuple[str, int], References] = {}
        self._changed: dict[str, bool] = {}
        self._found = Recomputed()

    def run(self) -> Recomputed:
        rows = self._session.exec(
            select(ReportWindow)
            .where(ReportWindow.manifest == self._version.manifest_sha256)
            .order_by(col(ReportWindow.id))
            .execution_options(yield_per=BATCH)
        )
        for _, of_round in groupby(rows, key=lambda row: floor(row.received_at / self._terms.round_s)):
            rows_of_round = list(of_round)
            windows = [w for row in rows_of_round if (w := seen_window(row, self._plan))]
            received = {row.id or 0: row.received_at for row in rows_of_round}
            self._round(slotted(windows, received, self._terms.season))
        return self._found

    def _round(self, windows: list[SeenWindow]) -> None:
        self._found.windows += len(windows)
        for window in windows:
            known = self._tracks.get(window.device)
            if known is not None and window.boot < known.last[0]:
                self._tracks[window.device] = Track()  # its disk was wiped
        against = {window.id: self._against(window) for window in windows}
        names = {window.device: self._tracks.get(window.device, Track()) for window in windows}
        cohorts = cohorts_of(self._session, names)
        done = judge_round(names, windows, lambda w: against[w.id], cohorts, self._terms.terms)
        told = {
            (name, quality)
            for name, track in names.items()
            for quality in (False, True)
            if _in(track, quality)
        }
        for finding in done.findings:
            key = finding.window.device, finding.quality
            if key not in told:
                told.add(key)
                self._found.alarms.append(_plain(finding))
        for window in done.usable:
            if against[window.id] is None and window.counters.inferences >= self._terms.terms.min_inputs:
                self._first.setdefault((window.device, window.slot), []).append(window.counters)
        self._tracks.update(done.tracks)

    def _against(self, window: SeenWindow) -> References | None:
        if not window.counters.observed:
            return None
        wanted = max(self._terms.learn_windows, BURN_IN_WINDOWS if self._has_changed(window.device) else 0)
        if not wanted:
            return self._stored
        key = window.device, window.slot
        if key not in self._learned:
            first = self._first.get(key, [])
            if len(first) < min(wanted, MOST_LEARNED):
                return None
            self._learned[key] = learn(self._stored, first)
        return self._learned[key]

    def _has_changed(self, device: str) -> bool:
        if device not in self._changed:
            parent = self._version.parent_id
            self._changed[device] = parent is not None and has_alarmed(self._session, device, parent)
        return self._changed[device]


def _in(track: Track, quality: bool) -> bool:
    return track.faulty if quality else track.drifted


def _plain(finding: Finding) -> dict[str, Any]:
    first = finding.shifts[0]
    return {
        "device": finding.window.device,
        "boot": finding.window.boot,
        "window": finding.window.sequence,
        "kind": first.kind,
        "scope": first.scope,
        "features": [shift.signal for shift in finding.shifts],
        "evidence": first.p_value,
        "size": first.distance,
        "merged": first.merged,
        "shifts": [asdict(shift) for shift in finding.shifts],
    }
