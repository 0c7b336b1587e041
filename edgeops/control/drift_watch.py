"""The drift watch: stored windows in, alerts in the registry out. The judgement itself is ``edgeops.drift.rounds``.

Windows are judged in rounds by when they came. A round is judged once it has ended, in one transaction with the cursor
that says how far was read, so that a restart goes on where it was and nothing is judged twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from math import floor

from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from edgeops.control.drift_records import (
    DRIFT,
    QUALITY,
    clear_quiet,
    has_alarmed,
    note_flags,
    record_findings,
    recorded,
)
from edgeops.control.drift_references import (
    learn_window,
    learned_windows,
    stored_references,
)
from edgeops.control.plans import PlanShelf
from edgeops.core.codec import decode
from edgeops.core.counters import Counters, empty_counters
from edgeops.core.errors import (
    DataError,
    NotFoundError,
    StorageError,
    TrustError,
    UnreachableError,
    WireError,
)
from edgeops.core.messages import Report
from edgeops.core.observe import ObservePlan
from edgeops.drift.device_track import SeenWindow, Track, faults_of, follows, overlaps, taken
from edgeops.drift.learned import MOST_LEARNED, learn
from edgeops.drift.rounds import judge_round
from edgeops.drift.seasons import slot_of
from edgeops.drift.signals import References, too_short, usual_length
from edgeops.drift.watch_terms import WatchTerms
from edgeops.fleet.membership import attributes_of
from edgeops.registry.blobs import BlobStore
from edgeops.registry.counts import count, fact, state_fact
from edgeops.registry.names import model_of_manifest
from edgeops.registry.tables import Device, ModelVersion, ReportWindow

CURSOR = "drift watch"
BURN_IN_WINDOWS = 16
"""So many windows teach a device's own reference after its world changed."""
REPLAYED_WINDOWS = 12
BATCH = 20_000
MOST_KEPT = 20_000
"""So many learned references stay in memory; the others are made again from what is stored."""

Key = tuple[str, str]  # device, manifest digest


class DriftWatch:
    """One track per device and version; rebuilt from the registry after a restart."""

    def __init__(self, blobs: BlobStore, terms: WatchTerms) -> None:
        self._blobs = blobs
        self._shelf = PlanShelf(blobs)
        self._terms = terms
        self._tracks: dict[Key, Track] = {}
        self._stored: dict[str, References | None] = {}
        self._learned: dict[tuple[Key, int], References] = {}

    def tick(self, session: Session, now: float) -> list[str]:
        """Judge every round that has ended; returns what is new, in words."""
        cursor = int(fact(session, CURSOR).get("cursor", 0))
        query = select(ReportWindow).where(col(ReportWindow.id) > cursor)
        rows = session.exec(query.order_by(col(ReportWindow.id)).limit(BATCH)).all()
        this_round = floor(now / self._terms.round_s)
        told: list[str] = []
        for number, of_round in groupby(rows, key=lambda row: floor(row.received_at / self._terms.round_s)):
            if number == this_round:
                break
            windows = list(of_round)
            by_version = sorted(windows, key=lambda row: (row.manifest, row.id or 0))
            for manifest, part in groupby(by_version, key=lambda row: row.manifest):
                told += self._judge_safely(session, manifest, list(part))
            cursor = windows[-1].id or cursor
        state_fact(session, CURSOR, {"cursor": cursor})
        return told

    def forget(self) -> None:
        """What was judged was not committed: all is rebuilt from the registry."""
        self._tracks.clear()
        self._learned.clear()

    def _judge_safely(self, session: Session, manifest: str, rows: Sequence[ReportWindow]) -> list[str]:
        """No window, whatever a device says in it, may end the control plane: its round is counted and left behind."""
        try:
            with session.begin_nested():
                return list(self._judge(session, manifest, rows))
        except (StorageError, UnreachableError, OperationalError):
            raise
        except Exception as error:  # noqa: BLE001 - counted, told, and the next round is judged
            self.forget()
            words = f"{type(error).__name__}: {error}"
            count(session, "round that could not be judged", detail=words)
            return [f"a round of {len(rows)} windows could not be judged: {words}"]

    def _judge(self, session: Session, manifest: str, rows: Sequence[ReportWindow]) -> Iterator[str]:
        version = model_of_manifest(session, manifest)
        if version is None:
            return
        try:
            plan = self._shelf.plan(manifest)
        except (NotFoundError, TrustError) as error:  # the blob store lost the plan: ingest goes on
            for row in rows:
                count(session, "report that cannot be judged", row.device_id, error.message)
            return
        received = {row.id or 0: row.received_at for row in rows}
        windows = [window for row in rows if (window := seen_window(row, plan)) is not None]
        for row in {row.id: row for row in rows if row.id not in {w.id for w in windows}}.values():
            count(session, "report with other bins", row.device_id)
        windows = slotted(windows, received, self._terms.season)
        for window in windows:
            self._remember(session, (window.device, manifest), window)
        against = {w.id: self._against(session, version, plan, w) for w in windows}
        tracks = {w.device: self._tracks[w.device, manifest] for w in windows}
        done = judge_round(
            tracks, windows, lambda w: against[w.id], cohorts_of(session, tracks), self._terms.terms
        )
        for window in done.usable:
            if against[window.id] is None:
                self._learn(session, version, window)
        self._tracks.update({(device, manifest): track for device, track in done.tracks.items()})
        for device, note in done.notes:
            count(session, note, device)
        yield from record_findings(session, version, done.findings, received)
        note_flags(session, version, done.tracks)
        at = max(received.values())
        # by what is, not by what changed: a fault may begin and end within a round
        quiet = {d for d in tracks if not done.tracks[d].drifted}
        yield from clear_quiet(session, version, DRIFT, quiet, at)
        mended = {d for d in tracks if not done.tracks[d].faulty}
        yield from clear_quiet(session, version, QUALITY, mended, at)

    def _remember(self, session: Session, key: Key, window: SeenWindow) -> None:
        """A track for the window's device; one whose disk was wiped counts its boots anew."""
        if key not in self._tracks:
            self._tracks[key] = self._replayed(session, key, window.id)
        elif window.boot < self._tracks[key].last[0] and _boot_of(session, key[0]) == window.boot:
            old = self._tracks[key]
            self._tracks[key] = Track(drifted=old.drifted, faulty=old.faulty, flags=old.flags)

    def _replayed(self, session: Session, key: Key, before: int) -> Track:
        query = (
            select(ReportWindow)
            .where(
                ReportWindow.device_id == key[0],
                ReportWindow.manifest == key[1],
                col(ReportWindow.id) < before,
            )
            .order_by(col(ReportWindow.id).desc())
            .limit(REPLAYED_WINDOWS)
        )
        track = Track()
        plan = self._shelf.plan(key[1])
        for row in reversed(session.exec(query).all()):
            window = seen_window(row, plan)
            if window is None or not follows(track, window):
                continue
            if overlaps(track, window):
                track = replace(track, last=window.position, end_ms=window.end_ms)
                continue
            track = taken(track, window)
            if faults_of(track, window):
                track = replace(track, history=())  # as it was judged
        drifted, faulty, flags = recorded(session, *key)
        return replace(track, drifted=drifted, faulty=faulty, flags=flags)

    def _against(
        self, session: Session, version: ModelVersion, plan: ObservePlan, window: SeenWindow
    ) -> References | None:
        """What to hold a window against; None where that is only being learned, or there is nothing.

        A retrain answers a changed world: a device that drifted under the parent version will look drifted against the
        training data for ever, so that its reference is what it reports first under the new version.
        """
        if not window.counters.observed:
            return None
        stored = self._stored_of(session, version, plan, window)
        changed = version.parent_id is not None and has_alarmed(session, window.device, version.parent_id)
        wanted = max(self._terms.learn_windows, BURN_IN_WINDOWS if changed else 0)
        if stored is None or not wanted:
            return stored
        key = (window.device, version.manifest_sha256 or ""), window.slot
        if key not in self._learned:
            known = learned_windows(session, window.device, version, window.slot)
            if len(known) < min(wanted, MOST_LEARNED):
                return None
            self._learned[key] = learn(stored, known)
            while len(self._learned) > MOST_KEPT:
                del self._learned[next(iter(self._learned))]
        return self._learned[key]

    def _learn(self, session: Session, version: ModelVersion, window: SeenWindow) -> None:
        """Keep a window that nothing was wrong with as part of its device's own reference."""
        if self._stored.get(version.manifest_sha256 or "") is None:
            return
        if window.counters.inferences >= self._terms.terms.min_inputs:
            known = learned_windows(session, window.device, version, window.slot)
            learn_window(session, window.device, version, window.slot, (*known, window.counters))

    def _stored_of(
        self, session: Session, version: ModelVersion, plan: ObservePlan, window: SeenWindow
    ) -> References | None:
        manifest = version.manifest_sha256 or ""
        if manifest not in self._stored:
            try:
                self._stored[manifest] = stored_references(self._blobs, session, version, plan)
            except (DataError, NotFoundError, TrustError) as error:
                self._stored[manifest] = None
                count(
                    session,
                    "version without a reference",
                    f"{version.model}@{version.version}",
                    error.message,
                )
        stored = self._stored[manifest]
        if stored is not None:
            short = too_short(stored, usual_length(window.counters.observed))
            if short is not None:
                count(session, "window that its reference is too short for", window.device, short)
        return stored


def seen_window(row: ReportWindow, plan: ObservePlan) -> SeenWindow | None:
    """A stored window; None where it was counted in other bins than the plan's: a device may say anything."""
    try:
        report = decode(Report, row.counters)
        _check_bins(plan, report.counters)
    except WireError:
        return None
    return SeenWindow(
        row.id or 0,
        row.device_id,
        report.boot,
        report.sequence,
        report.start_ms,
        report.duration_ms,
        report.trial,
        report.counters,
    )


def slotted(windows: Sequence[SeenWindow], received: Mapping[int, float], season: str) -> list[SeenWindow]:
    """The windows of a round in the slots of the season in which they were counted.

    Windows that come late came before the latest of their boot by as much as their uptime says.
    """
    if not season:
        return list(windows)
    newest: dict[tuple[str, int], int] = {}
    for window in windows:
        key = window.device, window.boot
        newest[key] = max(newest.get(key, 0), window.end_ms)
    return [
        replace(w, slot=slot_of(season, received[w.id] - (newest[w.device, w.boot] - w.end_ms) / 1000))
        for w in windows
    ]


def _check_bins(plan: ObservePlan, counters: Counters) -> None:
    counters + empty_counters(plan)  # raises


def cohorts_of(session: Session, tracks: Mapping[str, Track]) -> dict[str, frozenset[str]]:
    """``key = "value"`` to the devices of a round that have it; a device's own name makes no cohort."""
    found: dict[str, set[str]] = {}
    for device in session.exec(select(Device).where(col(Device.id).in_(list(tracks)))):
        for key, value in attributes_of(device).items():
            if key != "device":
                found.setdefault(f'{key} = "{value}"', set()).add(device.id)
    return {selector: frozenset(devices) for selector, devices in found.items()}


def _boot_of(session: Session, device_id: str) -> int | None:
    device = session.get(Device, device_id)
    return device.boot if device is not None else None
