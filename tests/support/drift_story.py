"""Windows of the tiny model's devices, told to the drift watch round by round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from sqlmodel import Session, select

from edgeops.control.drift_watch import DriftWatch
from edgeops.core import topics
from edgeops.core.codec import encode
from edgeops.core.counters import Counters
from edgeops.core.messages import Report
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.core.window import Window
from edgeops.drift.budget import parse_false_alarms
from edgeops.drift.rounds import Terms
from edgeops.drift.watch_terms import WatchTerms
from edgeops.fleet.ingest import take_batch
from edgeops.registry.blobs import BlobStore
from edgeops.registry.store import open_registry
from edgeops.registry.tables import AlertDevice
from support.drift_reference import give_reference, quantized
from support.packages import FLEET, build, observe_plan
from support.registry import NOW, add_devices, add_version, report

PACKAGE, NEXT = build(), build(2)
PLAN = observe_plan()
ROUND = 60.0
TERMS = WatchTerms(Terms(parse_false_alarms("1 per 3000 windows").of_window), ROUND)
INPUTS = 60


@cache
def counted(sequence: int, brighter: float = 0.0, faulty: bool = False) -> Counters:
    window = Window(PLAN)
    for number in range(INPUTS):
        seed = 1000 + INPUTS * sequence + (0 if faulty else number)
        window.count_input(quantized(PACKAGE, seed, brighter))
        scores = np.full(5, -128, np.int8)
        scores[number % 5] = 127
        window.count_prediction(number % 5, 15, 100, scores)
    return window.counters()


def said(sequence: int, brighter: float = 0.0, package=PACKAGE, faulty: bool = False, **other) -> Report:
    made = report(sequence, package=package, start_ms=sequence * 1000, **other)
    return replace(made, counters=counted(sequence, brighter, faulty))


def story_blobs(folder: Path) -> BlobStore:
    """A blob store with both packages."""
    store = BlobStore(folder / "blobs")
    for package in (PACKAGE, NEXT):
        for blob in [*package.blobs.values(), package.envelope]:
            store.put(blob)
    return store


@contextmanager
def story_session(folder: Path, blobs: BlobStore) -> Iterator[Session]:
    """A registry with both versions, their references, and three devices."""
    registry = open_registry(folder / "registry.db", create=True)
    with registry.session() as opened:
        for package in (PACKAGE, NEXT):
            version = add_version(opened, package, parent=1 if package is NEXT else None)
            give_reference(opened, blobs, version)
        add_devices(opened, "a", "b", "c")
        yield opened
    registry.close()


def hear(session: Session, device: str, one: Report, at: float) -> None:
    take_batch(session, FLEET, [Received(topics.device(FLEET, device, Kind.REPORT), encode(one))], at)


def play(session: Session, watch: DriftWatch, reports: list[Report], device: str = "a") -> list[str]:
    """A report a round; what was told."""
    told = []
    for number, one in enumerate(reports):
        hear(session, device, one, NOW + number * ROUND)
        told += watch.tick(session, NOW + (number + 1) * ROUND)
    return told


def rows(session: Session) -> list[AlertDevice]:
    return list(session.exec(select(AlertDevice).order_by("raised_at", "device_id")))
