"""Made streams on which detectors are compared: null ones, shifts of known size, and rules that change.

Each is a ``Run``: a reference, what follows it, and at which window it changes, if it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from drift_worlds import ALLOWED, FEATURES, NULL, REFERENCE, WINDOW
from numpy.typing import NDArray

from edgeops.drift.arrays import Arrays
from edgeops.drift.replay import replay

NULL_REFERENCES, NULL_WINDOWS = 4, 500
TUNING = 1_000  # windows
SEEDS, BEFORE, AFTER = 6, 4, 10
LABELS, LABEL_WINDOW, LABEL_SEEDS = 3_000, 50, 12

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass
class Run:
    """A reference and the rows after it; ``change`` is the first changed window. With ``labels``, (reference, stream)
    pairs of truth and prediction, the peers see whether each was wrong.
    """

    group: str
    reference: Matrix
    stream: Matrix
    window: int
    change: int | None
    labels: tuple[tuple[Labels, Labels], tuple[Labels, Labels]] | None = None

    @property
    def windows(self) -> int:
        """Whole ones."""
        return len(self.stream) // self.window

    def alarmed(self) -> list[int]:
        """The windows EdgeOps alarms in; of labels, those about the error rate."""
        names = tuple(f"x{column}" for column in range(self.reference.shape[1]))
        (known, stream) = self.labels or ((None, None), (None, None))
        found = replay(
            Arrays(self.reference, names, *known), Arrays(self.stream, names, *stream), self.window, ALLOWED
        )
        kinds = {"concept"} if self.labels else {alarm.kind for alarm in found.alarms}
        return sorted({alarm.window for alarm in found.alarms if alarm.kind in kinds})

    def for_peers(self) -> tuple[Matrix, Matrix]:
        """(reference, stream) of columns."""
        if self.labels is None:
            return self.reference, self.stream
        known, stream = ((truth != said).astype(np.float64)[:, np.newaxis] for truth, said in self.labels)
        return known, stream


def made_streams() -> dict[str, list[Run]]:
    """{name: runs}: the name begins with ``null_``, ``shift_`` or ``labels_``."""
    streams = {f"null_{name.replace(' ', '_')}": list(_null(name)) for name in NULL}
    streams["null_labels"] = [_null_labels(seed) for seed in range(NULL_REFERENCES)]
    streams |= {f"shift_{name}": list(_shifts(name)) for name in ("mean_0.5", "variance_1.5", "shape")}
    return streams | {f"labels_{name}": list(_concepts(name)) for name in ("sea", "sine", "agrawal")}


def tuning_stream(run: Run, seed: int) -> Run:
    """An independent null stream of a run's shape, on which thresholds are tuned."""
    rng = np.random.default_rng([17, seed])
    known, rows = len(run.reference), TUNING * run.window
    if run.labels is not None:
        truth = np.zeros(known + rows, np.int64)
        said = (rng.random(known + rows) < 0.1).astype(np.int64)
        labels = ((truth[:known], said[:known]), (truth[known:], said[known:]))
        return Run(run.group, np.zeros((known, 1)), np.zeros((rows, 1)), run.window, None, labels)
    x = rng.standard_normal((known + rows, run.reference.shape[1]))
    return Run(run.group, x[:known], x[known:], run.window, None)


def _null(name: str) -> Iterator[Run]:
    rng = np.random.default_rng(11)
    for _ in range(NULL_REFERENCES):
        known, rows = NULL[name](rng, REFERENCE), NULL[name](rng, WINDOW * NULL_WINDOWS)
        yield Run("features", known, rows, WINDOW, None)


def _null_labels(seed: int) -> Run:
    rng = np.random.default_rng([12, seed])
    truth = np.zeros(LABELS + NULL_WINDOWS * LABEL_WINDOW, np.int64)
    said = (rng.random(len(truth)) < 0.1).astype(np.int64)
    labels = ((truth[:LABELS], said[:LABELS]), (truth[LABELS:], said[LABELS:]))
    x = np.zeros((len(truth), 1))
    return Run("labels", x[:LABELS], x[LABELS:], LABEL_WINDOW, None, labels)


def _shifts(name: str) -> Iterator[Run]:
    """One of the features moves: its mean by half a deviation, its variance, or its shape with neither of them."""
    for seed in range(SEEDS):
        rng = np.random.default_rng([13, seed])
        known = rng.standard_normal((REFERENCE, FEATURES))
        rows = rng.standard_normal(((BEFORE + AFTER) * WINDOW, FEATURES))
        moved = rows[BEFORE * WINDOW :, 0]  # a view
        if name == "mean_0.5":
            moved += 0.5
        elif name == "variance_1.5":
            moved *= np.sqrt(1.5)
        else:  # two normal halves at ±0.9
            moved *= np.sqrt(1 - 0.9**2)
            moved += 0.9 * rng.choice([-1.0, 1.0], len(moved))
        yield Run("features", known, rows, WINDOW, BEFORE)


def _concepts(name: str, before: int = 20, after: int = 40) -> Iterator[Run]:
    """Labels whose rule changes under a logistic model that was trained before."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rule = {"sea": _sea, "sine": _sine, "agrawal": _agrawal}[name]
    trained = 2_000
    for seed in range(LABEL_SEEDS):
        rng = np.random.default_rng([14, seed])
        old_x, old_y = rule(rng, trained + LABELS + before * LABEL_WINDOW, False)
        new_x, new_y = rule(rng, after * LABEL_WINDOW, True)
        x, y = np.concatenate([old_x, new_x]), np.concatenate([old_y, new_y])
        x = StandardScaler().fit(x[:trained]).transform(x)
        said = LogisticRegression().fit(x[:trained], y[:trained]).predict(x).astype(np.int64)
        known, rest = slice(trained, trained + LABELS), slice(trained + LABELS, None)
        labels = ((y[known], said[known]), (y[rest], said[rest]))
        yield Run("labels", x[known], x[rest], LABEL_WINDOW, before, labels)


def _sea(rng: np.random.Generator, rows: int, changed: bool) -> tuple[Matrix, Labels]:
    """Street & Kim 2001: a threshold on the sum of two of three features, 8, then 9; 10 % of labels are wrong."""
    x = rng.uniform(0, 10, (rows, 3))
    return x, ((x[:, 0] + x[:, 1] > (9 if changed else 8)) ^ (rng.random(rows) < 0.1)).astype(np.int64)


def _sine(rng: np.random.Generator, rows: int, changed: bool) -> tuple[Matrix, Labels]:
    """Gama et al. 2004: above sin(x), then above 0.5 + 0.3 sin(3 pi x)."""
    x = rng.random((rows, 2))
    curve = 0.5 + 0.3 * np.sin(3 * np.pi * x[:, 0]) if changed else np.sin(x[:, 0])
    return x, (x[:, 1] >= curve).astype(np.int64)


def _agrawal(rng: np.random.Generator, rows: int, changed: bool) -> tuple[Matrix, Labels]:
    """Agrawal et al. 1993, function 7, then 9: disposable income after a loan, then after education too."""
    salary, loan = rng.uniform(20_000, 150_000, rows), rng.uniform(0, 500_000, rows)
    commission = np.where(salary >= 75_000, 0.0, rng.uniform(10_000, 75_000, rows))
    education, age = rng.integers(0, 5, rows), rng.integers(20, 81, rows)
    income = 2 * (salary + commission) / 3 - loan / 5
    left = income - 5_000 * education - 10_000 if changed else income - 20_000
    return np.column_stack([salary, commission, age, education, loan]), (left > 0).astype(np.int64)
