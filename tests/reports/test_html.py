"""The page: complete, closed in itself, and safe with what devices call themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reports.fabricated import NOW, PLAN, add_device, add_labels, add_version, add_window, report
from sqlmodel import Session

from edgeops.core.observe import ObservePlan
from edgeops.registry.counts import count
from edgeops.registry.store import open_registry
from edgeops.registry.tables import Alert, AlertDevice, Deployment, Retrain, Rollout
from edgeops.reports.extras import ObservedPoint, ReportExtras, gather_extras
from edgeops.reports.health import fleet_health
from edgeops.reports.html import render_report
from edgeops.reports.pictures import observed_lines, observed_marks
from edgeops.reports.series import series

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    registry = open_registry(tmp_path / "registry.db", create=True)
    with registry.session() as session:
        yield session
    registry.close()


def load(_: str) -> ObservePlan:
    return PLAN


LEDGER = tuple(
    ObservedPoint(
        device, device == "a", window, 2 if window > 5 else 1, device == "a" and window > 2, 10, right
    )
    for device, right in (("a", 6), ("b", 9))
    for window in range(1, 9)
)


def fill(session: Session) -> None:
    """Two devices, one of which drifts, is answered by a retrain, and gets a second version."""
    first = add_version(session, 1)
    second = add_version(session, 2, parent=first.id)
    for name in ("a", "b"):
        add_device(session, name, confirmed=2, wanted=2, site=HOSTILE)
        for sequence in range(1, 9):
            add_window(session, name, report(2 if sequence > 5 else 1, sequence))
        add_labels(session, name, 8, right=30, wrong=1, version=2)
    alert = Alert(
        model_version_id=first.id, state="answered", decision="retrain", reason="why <b>", opened_at=NOW
    )
    rollout = Rollout(
        model_version_id=second.id,
        state="COMPLETED",
        plan={"stages": ["50%", "100%"]},
        created_at=NOW,
        finished_at=NOW + 9.5,
    )
    session.add(alert)
    session.add(rollout)
    session.flush()
    shifts = [{"signal": "contrast", "direction": "down", "distance": 0.61, "p_value": 0.0, "n": 50}]
    session.add(
        AlertDevice(
            alert_id=alert.id, device_id="a", boot=1, sequence=4, windows_seen=2, shifts=shifts, raised_at=NOW
        )
    )
    session.add(
        Retrain(
            alert_id=alert.id,
            state="DEPLOYED",
            seed=1,
            samples=77,
            model_version_id=second.id,
            gates=[{"name": "captured_better", "passed": True, "value": 0.95, "limit": 0.7}],
            created_at=NOW,
            finished_at=NOW + 20,
        )
    )
    for stage, name in enumerate(("a", "b")):
        session.add(
            Deployment(
                rollout_id=rollout.id,
                device_id=name,
                stage=stage,
                state="confirmed",
                offered_at=NOW + stage,
                decided_at=NOW + stage + 3,
            )
        )
    count(session, "duplicate report", "a")
    session.flush()


class Page(HTMLParser):
    """Collects tags, what they link to, and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href", "data")]
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(session: Session) -> str:
    extras = gather_extras(
        session, load, summary={"seed": 7, "seconds": {"train": 9.25}}, observed_accuracy=LEDGER
    )
    return render_report(
        fleet_health(session, load, NOW), series(session, load, "digits"), extras, generated_at=NOW
    )


def test_nothing_is_fetched_and_nothing_runs(session: Session) -> None:
    fill(session)
    text = page_of(session)
    page = Page(text)
    assert not re.search(r"https?://|url\(|@import|//cdn", text)
    assert page.links == [] and "script" not in page.tags and "iframe" not in page.tags


def test_what_a_device_says_is_escaped(session: Session) -> None:
    fill(session)
    text = page_of(session)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "why &lt;b&gt;" in text


def test_a_hostile_device_name_is_escaped_in_pictures(session: Session) -> None:
    add_version(session, 1)
    add_device(session, HOSTILE)
    add_window(session, HOSTILE, report())
    assert "<script" not in page_of(session)


def test_all_is_told(session: Session) -> None:
    fill(session)
    text = page_of(session)
    for said in (
        "digits@1",
        "digits@2",
        "contrast down 0.61",
        "contrast on a, alert 1",
        "captured_better",
        "50%: 1 confirmed in 3.0 s",
        "9.5 s",
        "duplicate report",
        "seconds · train",
        "measured",
        "estimated",
        "drift begins (3)",
        "first alarm (4)",
        "version 2 on half (6)",
    ):
        assert said in text, said


def test_pictures_have_words_and_tables_have_captions(session: Session) -> None:
    fill(session)
    text = page_of(session)
    assert text.count("<svg") == text.count("<title>") - 1 == text.count("aria-label=") == 4
    assert text.count("<table>") == text.count("<caption>")


def test_current_counts_are_of_the_windows_that_alarmed(session: Session) -> None:
    fill(session)
    (picture,) = gather_extras(session, load).alerts
    assert (picture.device, picture.signal) == ("a", "contrast")
    assert picture.reference == PLAN.features[2].reference
    assert picture.current == (0, 100, *(0,) * 10)  # two windows of fifty inputs


def test_an_empty_fleet_has_a_page(session: Session) -> None:
    text = render_report(fleet_health(session, load, NOW), [], ReportExtras(), generated_at=NOW)
    Page(text)
    assert "No devices are enrolled." in text and "<svg" not in text


def test_observed_lines_and_marks_by_hand() -> None:
    drifting, others = observed_lines(LEDGER)
    assert drifting.points[0] == (1.0, 0.6) and others.points[-1] == (8.0, 0.9)
    assert [(mark.x, mark.label) for mark in observed_marks(LEDGER, ReportExtras())] == [
        (3, "drift begins (3)"),
        (6, "version 2 on half (6)"),
    ]
