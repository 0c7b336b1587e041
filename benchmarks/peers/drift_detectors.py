"""Drift detectors of others over prepared streams: River, Evidently and NannyML, in an environment of their own.

    python drift_detectors.py FOLDER NAME [NAME ...]

``FOLDER/jobs.json`` has ``groups`` and ``jobs``. A group has a null stream and how many false alarms a window each
peer is tuned to; its one parameter is chosen so that the peer raises no more over as many windows as are named for it.
A job is a stream to watch at the defaults and as tuned for its group; watching ends with the first alarm after a
change. The answer, one JSON document on stdout, has the alarmed windows of each.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Found = tuple[list[int], list[int]]
STEPS = 7  # bisections of a parameter's logarithm
SIDE = 30  # values on each side of a test of KSWIN


class Stream:
    """A reference (m, columns), what follows it in windows, and at which window it changes, if it does."""

    def __init__(self, folder: Path, entry: dict[str, Any], windows: int | None) -> None:
        with np.load(folder / entry["file"]) as arrays:
            self.reference: Matrix = arrays["reference"].astype(np.float64)
            rows: Matrix = arrays["stream"].astype(np.float64)
        self.window: int = entry["window"]
        self.binary: bool = entry["binary"]
        self.change: int | None = entry.get("change")
        self.windows = min(len(rows) // self.window, windows or len(rows))
        self.rows = rows[: self.windows * self.window]


class River:
    """A detector of single values on each column by itself: a window is alarmed when any of them fires in it.

    Columns are in deviations of the reference, for Hoeffding bounds in its range, 0 to 1. ``least`` and ``most`` bound
    the parameter; ``warm_up`` is how many of the reference's last rows are fed first.
    """

    def __init__(
        self,
        make: Callable[[float | None, bool], Any],
        limits: tuple[float, float],
        warm_up: int | None = None,
        unit_range: bool = False,
    ) -> None:
        self._make = make
        self._quiet, self._loud = limits
        self._warm_up = warm_up
        self._unit_range = unit_range

    def tune(self, stream: Stream, allowed: int) -> float:
        """The most sensitive parameter with no more than so many alarmed windows."""
        quiet, loud = math.log(self._quiet), math.log(self._loud)
        for _ in range(STEPS):
            middle = (quiet + loud) / 2
            if len(self._watch(stream, math.exp(middle), allowed)) > allowed:
                loud = middle
            else:
                quiet = middle
        return math.exp(quiet)

    def watch(self, stream: Stream, tuned: float) -> Found:
        """Alarmed windows at the default and as tuned."""
        return sorted(self._watch(stream, None)), sorted(self._watch(stream, tuned))

    def columns(self, stream: Stream) -> list[tuple[list[float], list[float]]]:
        """(reference, stream) of each column, as the detectors take them."""
        known, rows = stream.reference, stream.rows
        if not stream.binary:
            low, unit = known.mean(axis=0), known.std(axis=0)
            if self._unit_range:
                low, unit = known.min(axis=0), np.ptp(known, axis=0)
            unit = np.where(unit > 0, unit, 1.0)
            known, rows = (known - low) / unit, (rows - low) / unit
            if self._unit_range:
                rows = np.clip(rows, 0.0, 1.0)
        known = known[-self._warm_up :] if self._warm_up else known
        return list(zip(known.T.tolist(), rows.T.tolist(), strict=True))

    def _watch(self, stream: Stream, parameter: float | None, most: int | None = None) -> set[int]:
        alarmed: set[int] = set()
        last = stream.windows
        for known, values in self.columns(stream):
            detector = self._make(parameter, stream.binary)
            for value in known:
                detector.update(value)
            for window in range(last):
                fired = False
                for value in values[window * stream.window : (window + 1) * stream.window]:
                    detector.update(value)
                    fired = fired or detector.drift_detected
                if not fired:
                    continue
                alarmed.add(window)
                if most is not None and len(alarmed) > most:
                    return alarmed
                if stream.change is not None and window >= stream.change:
                    last = window + 1  # no other column can be earlier than now, except before here
                    break
        return alarmed


class Kswin(River):
    """As the others, but tuned in one pass over its p-values."""

    def tune(self, stream: Stream, allowed: int) -> float:
        """The largest alpha with no more than so many alarmed windows."""
        least = np.ones(stream.windows)
        for known, values in self.columns(stream):
            detector = self._make(0.0, stream.binary)
            for value in known:
                detector.update(value)
            for index, value in enumerate(values):
                detector.update(value)
                window = index // stream.window
                least[window] = min(least[window], detector.p_value)
        return float(np.sort(least)[allowed] * 0.999)


class Scored:
    """A peer that gives each window a score, more for more drift, and a verdict at its default."""

    def __init__(self, score: Callable[[Stream], tuple[Matrix, NDArray[np.bool_]]]) -> None:
        self._score = score

    def tune(self, stream: Stream, allowed: int) -> float:
        """The lowest threshold with no more than so many windows above it."""
        scores, _ = self._score(stream)
        return float(np.sort(scores)[::-1][allowed])

    def watch(self, stream: Stream, tuned: float) -> Found:
        """Alarmed windows at the default and as tuned."""
        scores, drifted = self._score(stream)
        return np.nonzero(drifted)[0].tolist(), np.nonzero(scores > tuned)[0].tolist()


def river() -> dict[str, tuple[str, Any]]:
    """Every detector of River that is compared, by name: (parameter, peer)."""
    drift = import_module("river.drift")
    binary = import_module("river.drift.binary")
    _quick_kswin()

    def adwin(delta: float | None, _: bool) -> Any:
        return drift.ADWIN() if delta is None else drift.ADWIN(delta=delta)

    def page_hinkley(threshold: float | None, _: bool) -> Any:
        return drift.PageHinkley() if threshold is None else drift.PageHinkley(threshold=threshold)

    def kswin(alpha: float | None, _: bool) -> Any:
        return drift.KSWIN(seed=1) if alpha is None else drift.KSWIN(alpha=alpha, seed=1)

    def hddm(kind: Any) -> Callable[[float | None, bool], Any]:
        def make(confidence: float | None, errors: bool) -> Any:
            options = {} if confidence is None else {"drift_confidence": confidence}
            return kind(two_sided_test=not errors, **options)  # of errors, as by default, only a rise

        return make

    return {
        "ADWIN": ("delta", River(adwin, (1e-30, 0.5))),
        "PageHinkley": ("threshold", River(page_hinkley, (1e5, 1.0))),
        "HDDM_A": ("drift_confidence", River(hddm(binary.HDDMA), (1e-30, 0.5), 1_000, True)),
        "HDDM_W": ("drift_confidence", River(hddm(binary.HDDMW), (1e-30, 0.5), 1_000, True)),
        "KSWIN": ("alpha", Kswin(kswin, (1e-17, 0.5), 200)),
    }


def _quick_kswin() -> None:
    """KSWIN asks SciPy for a p-value with each value; of 30 against 30 there are only 31, which are asked for once."""
    module: Any = import_module("river.drift.kswin")
    of_scipy = module.stats.ks_2samp
    ladder = np.arange(SIDE)
    table = [of_scipy(ladder, ladder + k - 0.5 * (k > 0), method="auto").pvalue for k in range(SIDE + 1)]

    def ks_2samp(one: Any, other: Any, method: str) -> tuple[float, float]:
        del method
        a, b = np.sort(one), np.sort(other)
        both = np.concatenate([a, b])
        steps = int(np.abs(np.searchsorted(a, both, "right") - np.searchsorted(b, both, "right")).max())
        return steps / SIDE, table[steps]

    rng = np.random.default_rng(1)
    for shift in (0.0, 0.3, 2.0):
        one, other = np.round(rng.normal(0, 1, SIDE), 1), np.round(rng.normal(shift, 1, SIDE), 1)
        if not np.allclose(ks_2samp(one, other, "auto"), of_scipy(one, other, method="auto")):
            raise RuntimeError("the table of p-values differs from SciPy's")
    module.stats = SimpleNamespace(ks_2samp=ks_2samp)


def evidently() -> dict[str, tuple[str, Any]]:
    """Evidently: the test it chooses for a column, on each; any that drifts alarms the window."""
    pandas = import_module("pandas")
    kinds = import_module("evidently.legacy.core").ColumnType
    get_stattest = import_module("evidently.legacy.calculations.stattests").get_stattest
    report_of: Any = import_module("evidently").Report
    value_drift: Any = import_module("evidently.metrics").ValueDrift
    checked: set[tuple[int, bool]] = set()

    def score(stream: Stream) -> tuple[Matrix, NDArray[np.bool_]]:
        kind = kinds.Categorical if stream.binary else kinds.Numerical
        dtype = np.int64 if stream.binary else np.float64
        names = [f"x{column}" for column in range(stream.reference.shape[1])]
        known = pandas.DataFrame(stream.reference.astype(dtype), columns=names)
        scores = np.full(stream.windows, -np.inf)
        drifted: NDArray[np.bool_] = np.zeros(stream.windows, np.bool_)
        for window, rows in enumerate(stream.rows.reshape(stream.windows, stream.window, -1)):
            current = pandas.DataFrame(rows.astype(dtype), columns=names)
            for name in names:
                test = get_stattest(known[name], current[name], kind, None)
                result = test(known[name], current[name], kind, None)
                is_p = test.name in ("ks", "z", "chisquare")
                more = -float(result.drift_score) if is_p else float(result.drift_score)
                scores[window] = max(scores[window], more)
                drifted[window] |= bool(result.drifted)
                if (len(known), stream.binary) not in checked:
                    checked.add((len(known), stream.binary))
                    said = report_of([value_drift(column=name)]).run(current, known).dict()
                    if not math.isclose(float(said["metrics"][0]["value"]), float(result.drift_score)):
                        raise RuntimeError(f"a report of Evidently says otherwise than {test.name}")
        return scores, drifted

    return {"Evidently": ("threshold", Scored(score))}


def nannyml() -> dict[str, tuple[str, Any]]:
    """NannyML: its univariate drift of each column, a window a chunk; any that alerts alarms the window."""
    pandas = import_module("pandas")
    calculator: Any = import_module("nannyml").UnivariateDriftCalculator

    def score(stream: Stream) -> tuple[Matrix, NDArray[np.bool_]]:
        names = [f"x{column}" for column in range(stream.reference.shape[1])]
        known = pandas.DataFrame(stream.reference, columns=names)
        rows = pandas.DataFrame(stream.rows, columns=names)
        if stream.binary:
            known, rows = known.astype("category"), rows.astype("category")
        fitted = calculator(column_names=names, chunk_size=stream.window).fit(known)
        table = fitted.calculate(rows).filter(period="analysis").to_df()
        values = np.stack([table[name].xs("value", axis=1, level=1).to_numpy() for name in names])
        alerts = np.stack([table[name].xs("alert", axis=1, level=1).to_numpy() for name in names])
        alarmed: NDArray[np.bool_] = np.asarray(alerts.astype(bool).any(axis=(0, 2)))
        return values.astype(np.float64).max(axis=(0, 2)), alarmed

    return {"NannyML": ("threshold", Scored(score))}


PROJECTS = {"river": river, "evidently": evidently, "nannyml": nannyml}


def main(folder: Path, wanted: Sequence[str]) -> None:
    """Tune and watch; see above."""
    warnings.simplefilter("ignore")
    asked = json.loads((folder / "jobs.json").read_text())
    answer: dict[str, Any] = {"versions": {}, "missing": {}, "tuned": {}, "windows": {}, "alarms": {}}
    peers: dict[str, tuple[str, Any]] = {}
    for project, load in PROJECTS.items():
        if project not in wanted and not set(wanted) & set(asked["peers"][project]):
            continue
        try:
            loaded = load()
        except ImportError as error:
            answer["missing"][project] = str(error)
            continue
        answer["versions"][project] = metadata.version(project)
        peers |= {name: peer for name, peer in loaded.items() if name in wanted}
    for name, (parameter, peer) in peers.items():
        tuned: dict[str, float] = {}
        for group, entry in asked["groups"].items():
            stream = Stream(folder, entry, entry["windows"][name])
            tuned[group] = peer.tune(stream, round(entry["rate"] * stream.windows))
            answer["windows"].setdefault(name, {})[group] = stream.windows
        answer["tuned"][name] = {"parameter": parameter, **tuned}
        for job, entry in asked["jobs"].items():
            stream = Stream(folder, entry, entry.get("windows", {}).get(name))
            default, better = peer.watch(stream, tuned[entry["group"]])
            answer["alarms"].setdefault(job, {})[name] = [stream.windows, default, better]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
