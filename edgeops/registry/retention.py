"""What the registry gives up when it is old, and what it keeps however old it is.

Windows, labels, samples and events of devices are all that grows without end. Kept are the newest windows of each
device and model, which are the device's own past in a rollout and in the drift watch; what an alert that is not closed
counts; the first windows under a version that a device drifted before, which are its reference; and the samples with
their labels that a retrain may still learn from. A label goes with its window, a receipt with the last of its boot.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel import Session, select

from edgeops.registry.tables import Device, ReceiptState

DAY_S = 86_400
KEPT_WINDOWS = 20
KEPT_EVENTS = 20
MOST = 10_000
"""So many rows of a table are deleted at a time: the write lock is held meanwhile."""

_WINDOWS = """
SELECT w.id, w.device_id, w.model, w.boot FROM report_window AS w
WHERE w.received_at < :before
AND w.id < (
    SELECT n.id FROM report_window AS n WHERE n.device_id = w.device_id AND n.model = w.model
    ORDER BY n.id DESC LIMIT 1 OFFSET :newest
)
AND NOT EXISTS (
    SELECT 1 FROM model_version AS v JOIN alert AS a ON a.model_version_id = v.id
    JOIN alert_device AS d ON d.alert_id = a.id AND d.device_id = w.device_id
    WHERE v.manifest_sha256 = w.manifest AND a.state != 'closed'
)
AND NOT EXISTS (
    SELECT 1 FROM model_version AS v JOIN alert AS a ON a.model_version_id = v.parent_id
    JOIN alert_device AS d ON d.alert_id = a.id AND d.device_id = w.device_id
    WHERE v.manifest_sha256 = w.manifest AND w.id <= (
        SELECT max(id) FROM (
            SELECT f.id FROM report_window AS f
            WHERE f.device_id = w.device_id AND f.model = w.model AND f.manifest = w.manifest
            ORDER BY f.id LIMIT :first
        )
    )
)
LIMIT :most
"""
_SAMPLES = """
DELETE FROM captured_sample WHERE (prediction, device_id) IN (
    SELECT s.prediction, s.device_id FROM captured_sample AS s
    WHERE s.received_at < :before AND NOT EXISTS (
        SELECT 1 FROM model_version AS v JOIN alert AS a ON a.model_version_id = v.id
        WHERE v.manifest_sha256 = s.manifest AND (
            a.state != 'closed'
            OR EXISTS (
                SELECT 1 FROM retrain AS r WHERE r.alert_id = a.id AND r.state IN ('WANTED', 'READY', 'TRAINING')
            )
        )
    )
    LIMIT :most
)
"""
_LABELS = """
DELETE FROM label_truth WHERE id IN (
    SELECT l.id FROM label_truth AS l
    WHERE l.received_at < :before
    AND NOT EXISTS (
        SELECT 1 FROM report_window AS w
        WHERE w.device_id = l.device_id AND w.model = l.model AND w.boot = l.boot AND w.sequence = l.sequence
        AND substr(w.manifest, 1, length(l.manifest_prefix)) = l.manifest_prefix
    )
    AND NOT EXISTS (
        SELECT 1 FROM captured_sample AS s WHERE s.prediction = l.prediction AND s.device_id = l.device_id
    )
    LIMIT :most
)
"""
_EVENTS = """
DELETE FROM device_event WHERE id IN (
    SELECT e.id FROM device_event AS e
    WHERE e.received_at < :before AND e.id < (
        SELECT n.id FROM device_event AS n WHERE n.device_id = e.device_id
        ORDER BY n.id DESC LIMIT 1 OFFSET :newest
    )
    LIMIT :most
)
"""
_HEARD = """
SELECT EXISTS (SELECT 1 FROM report_window WHERE device_id = :device AND model = :model AND boot = :boot)
    OR EXISTS (SELECT 1 FROM device_event WHERE device_id = :device AND boot = :boot)
"""


def delete_old(session: Session, keep_days: int, now: float, most: int = MOST) -> int:
    """Delete rows that came more than ``keep_days`` ago and that nothing needs; how many. 0 keeps all.

    At most so many of each table go, and the rest at a later call: there is a rest only where so many went.
    """
    if not keep_days:
        return 0
    before = now - keep_days * DAY_S
    session.flush()
    connection = session.connection()
    windows = {"before": before, "newest": KEPT_WINDOWS - 1, "first": KEPT_WINDOWS, "most": most}
    old = connection.execute(text(_WINDOWS), windows).all()
    if old:
        connection.execute(text("DELETE FROM report_window WHERE id = :id"), [{"id": row.id} for row in old])
    found = len(old)
    limits = {"before": before, "most": most}
    found += connection.execute(text(_SAMPLES), limits).rowcount
    found += connection.execute(text(_LABELS), limits).rowcount
    found += connection.execute(text(_EVENTS), {**limits, "newest": KEPT_EVENTS - 1}).rowcount
    return found + _forget_boots(session, {(row.device_id, row.model, row.boot) for row in old})


def _forget_boots(session: Session, boots: set[tuple[str, str, int]]) -> int:
    """Delete the receipts of boots that are over, and of which nothing is left; how many."""
    present = set(session.exec(select(Device.id, Device.boot)))
    gone = 0
    for device, model, boot in boots:
        key = {"device": device, "model": model, "boot": boot}
        if (device, boot) in present or session.connection().execute(text(_HEARD), key).scalar():
            continue
        receipt = session.get(ReceiptState, (device, model, boot))
        if receipt is not None:
            session.delete(receipt)
            gone += 1
    session.flush()
    return gone
