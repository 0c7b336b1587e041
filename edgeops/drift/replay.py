"""The detectors over anybody's arrays: what would have been said, window by window, under this allowance?

Pure: arrays in, alarms out. Rows are counted as a device counts them and judged as a fleet's windows are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edgeops.core.errors import DataError
from edgeops.drift.alarm import Alarm
from edgeops.drift.arrays import Arrays, scale_of
from edgeops.drift.concept import RUN_LENGTH, base_rate_of, first_alarms, labels_needed
from edgeops.drift.detectors import Detector, FeatureDetector, MultivariateDetector, PredictionDetector
from edgeops.drift.quality import QualityDetector
from edgeops.drift.reference import references
from edgeops.drift.size import DEFAULT_SIZE
from edgeops.drift.windows import count_windows

SPANS = ((1, 0.85), (4, 0.15))
"""How many windows are merged for a look, and what part of the allowance it may use up."""
SHARES = {"data": 0.75, "confidence": 0.1, "multivariate": 0.05, "prediction": 0.05, "quality": 0.05}
"""The same by the kind of detector; kinds that have no input leave theirs to the others."""


@dataclass
class Replay:
    """What a replay found. ``notes`` say which looks could not be taken, and why."""

    windows: int
    alarms: list[Alarm] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        alarms = [{**asdict(alarm), "features": list(alarm.features)} for alarm in self.alarms]
        return {"windows": self.windows, "alarms": alarms, "notes": self.notes}


def replay(
    reference: Arrays,
    stream: Arrays,
    window: int,
    per_window: float,
    size: float = DEFAULT_SIZE,
    run_length: float = RUN_LENGTH,
) -> Replay:
    """Watch ``stream`` in windows of ``window`` rows.

    ``per_window`` is the probability of a false alarm that each window may have, over all features and tests;
    ``size`` the Jensen-Shannon distance from which a shift matters; ``run_length`` the labels between two false alarms
    about the error rate. Raises ``DataError`` where the arrays do not fit each other or the reference is too small.
    """
    if reference.features != stream.features:
        raise DataError(
            f"the reference has {', '.join(reference.features)}, the stream {', '.join(stream.features)}",
            fix="give both the same columns in the same order",
        )
    if len(stream.x) < window:
        raise DataError(
            f"the stream has {len(stream.x)} rows, less than one window of {window}",
            fix="give a smaller --window",
        )
    detectors = _detectors(reference, stream, window)
    notes = _left_out(reference, stream)
    total = sum(SHARES[detector.kind] for detector in detectors)
    found = Replay(len(stream.x) // window, notes=notes)
    for span, part in SPANS:
        if span > found.windows:
            continue
        try:
            for detector in detectors:
                allowed = per_window * part * SHARES[detector.kind] / total
                found.alarms += detector.look(span, allowed, size)
        except DataError as error:
            if span == 1:
                raise
            found.notes.append(f"{span} windows are not merged: {error.message}")
    found.alarms += _concept(reference, stream, window, run_length, found.notes)
    found.alarms = _each_once(found.alarms)
    return found


def _left_out(reference: Arrays, stream: Arrays) -> list[str]:
    """Which looks are not taken for want of something in the arrays."""
    notes = []
    holes = sum(int((~np.isfinite(arrays.x)).any(axis=1).sum()) for arrays in (reference, stream))
    if holes and stream.x.shape[1] > 1 and not np.isfinite(stream.x).all():
        notes.append(
            f"{holes} rows have missing values: how features depend on each other (multivariate) is not judged"
        )
    if (stream.y_true is None) != (stream.y_pred is None) and stream.y_true is not None:
        notes.append("labels (y_true) without predictions (y_pred) are not judged")
    if reference.y_true is not None and stream.y_true is None:
        notes.append("the stream has no labels (y_true): errors are not judged")
    return notes


def _detectors(reference: Arrays, stream: Arrays, window: int) -> list[Detector]:
    scale = scale_of(reference.x)
    known, known_seen = scale.integers(reference.x)
    values, seen = scale.integers(stream.x)
    features = references(stream.features, known, known_seen)
    counted = [count_windows(f, values[:, c], seen[:, c], window) for c, f in enumerate(features)]
    detectors: list[Detector] = [
        FeatureDetector("data", features, counted, window),
        QualityDetector(stream.features, (known, known_seen), (values, seen), window),
    ]
    whole = known_seen.all(axis=1)
    if len(features) > 1 and seen.all() and whole.any():
        detectors.append(MultivariateDetector(features, known[whole], values, window))
    if reference.confidence is not None and stream.confidence is not None:
        detectors.append(_confidence(reference.confidence, stream.confidence, window))
    if reference.y_pred is not None and stream.y_pred is not None and (reference.y_pred >= 0).any():
        detectors.append(PredictionDetector(reference.y_pred, stream.y_pred, window))
    return detectors


def _confidence(known: np.ndarray[Any, Any], stream: np.ndarray[Any, Any], window: int) -> Detector:
    scale = scale_of(known[:, np.newaxis])
    integers, known_seen = scale.integers(known[:, np.newaxis])
    values, seen = scale.integers(stream[:, np.newaxis])
    (reference,) = references(["confidence"], integers, known_seen)
    counted = count_windows(reference, values[:, 0], seen[:, 0], window)
    return FeatureDetector("confidence", [reference], [counted], window)


def _concept(
    reference: Arrays, stream: Arrays, window: int, run_length: float, notes: list[str]
) -> list[Alarm]:
    """Alarms of the error stream; a label stands where its row does, however late it came."""
    if stream.y_true is None or stream.y_pred is None:
        return []
    if reference.y_true is None or reference.y_pred is None:
        notes.append(
            "the reference has no labels: what error rate is usual is not known, so labels are not judged"
        )
        return []
    known = (reference.y_true >= 0) & (reference.y_pred >= 0)
    wrong = reference.y_true[known] != reference.y_pred[known]
    if not len(wrong):
        notes.append("the reference has no row with both a label and a prediction: labels are not judged")
        return []
    rate, error = base_rate_of(int(wrong.sum()), len(wrong))
    if len(wrong) < labels_needed(rate):
        notes.append(
            f"the usual error rate, {rate:.1%}, is known to {error:.1%} from {len(wrong)} labels; the promised rate of "
            f"false alarms about it needs {labels_needed(rate)}"
        )
    judged = np.nonzero((stream.y_true >= 0) & (stream.y_pred >= 0))[0]
    alarms = []
    for index, state in first_alarms(rate, stream.y_true[judged] != stream.y_pred[judged], run_length):
        at = int(judged[index]) // window
        if at < len(stream.x) // window:
            alarms.append(Alarm(at, "concept", (), state.evidence, state.rate - rate))
    return alarms


def _each_once(alarms: list[Alarm]) -> list[Alarm]:
    """One alarm a window and kind, the one with the fewest merged windows; in order."""
    best: dict[tuple[int, str, tuple[str, ...]], Alarm] = {}
    for alarm in sorted(alarms, key=lambda a: a.merged):
        # quality speaks of each feature by itself
        names = alarm.features if alarm.kind == "quality" else ()
        best.setdefault((alarm.window, alarm.kind, names), alarm)
    return sorted(best.values(), key=lambda a: (a.window, a.kind, a.features))
