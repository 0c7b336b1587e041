"""EdgeOps' drift detectors beside River, Evidently and NannyML, on the same streams in one run.

``make bench-peers`` makes the environment of the peers; without it the rows are EdgeOps' own and say so. Each peer runs
at its defaults and with one parameter tuned to EdgeOps' rate of false alarms, on independent null streams of the
same shape (rows of reference, window, columns). The real streams need ``EDGEOPS_DATA``, the digits do not.

A delay counts windows from the change on, 1 for the first; a change that was missed counts one more than was watched.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench_drift import ALLOWED, FEATURES, NULL, REFERENCE, WINDOW
from numpy.typing import NDArray

from edgeops.core.input_features import FEATURES as EXTRACTED
from edgeops.core.input_features import extract
from edgeops.drift.arrays import Arrays
from edgeops.drift.replay import replay

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
SCRIPT = HERE / "peers" / "drift_detectors.py"
DATA = "EDGEOPS_DATA"
BY_PROJECT = {
    "river": ("ADWIN", "PageHinkley", "HDDM_A", "HDDM_W", "KSWIN"),
    "evidently": ("Evidently",),
    "nannyml": ("NannyML",),
}
PROJECT = {name: project for project, names in BY_PROJECT.items() for name in names}
PROCESSES = (("ADWIN", "PageHinkley", "HDDM_A", "HDDM_W"), ("KSWIN", "Evidently", "NannyML"))
OURS, ALWAYS = "EdgeOps", "always fires"
SECONDS = 900

NULL_REFERENCES, NULL_WINDOWS = 4, 500
PEER_NULL_REFERENCES, PEER_NULL_WINDOWS = 2, 250
FEW = {"HDDM_A": 25, "HDDM_W": 25, "KSWIN": 12, "Evidently": 60}
"""Windows of each null stream for the peers that take 10 ms a window and more."""
TUNING = 1_000
TUNING_FEW = {"HDDM_A": 60, "HDDM_W": 60, "KSWIN": 40, "Evidently": 100}
SEEDS, BEFORE, AFTER = 6, 4, 10
LABELS, LABEL_WINDOW, LABEL_SEEDS = 3_000, 50, 12
DIGITS_SEEDS, SPEAKER_SEEDS, TURNS = 16, 16, 4
FRAME, CLIP = 256, 4_096  # samples
BANDS = ((2, 16), (16, 48), (48, 80), (80, 129))  # of 256 samples' spectrum

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


@dataclass
class Score:
    """What a detector did on one stream."""

    false: int = 0
    null: int = 0
    delays: list[int] = field(default_factory=list)
    missed: int = 0

    def add(self, windows: int, change: int | None, alarmed: Sequence[int]) -> None:
        """One run."""
        before = windows if change is None else change
        self.null += before
        self.false += sum(window < before for window in alarmed)
        if change is not None:
            after = [window for window in alarmed if window >= change]
            self.missed += not after
            self.delays.append(min(after, default=windows) - change + 1)

    @property
    def rate(self) -> float:
        """False alarms per 1,000 windows without drift."""
        return 1000 * self.false / max(1, self.null)

    @property
    def delay(self) -> float:
        """Windows, the median."""
        return float(np.median(self.delays))

    @property
    def misses(self) -> float:
        """The share of the runs without an alarm after the change."""
        return self.missed / len(self.delays)

    def __str__(self) -> str:
        false = f"{self.rate:.1f}/1000 of {self.null}"
        if not self.delays:
            return false
        return f"{false}, delay {self.delay:g} (mean {np.mean(self.delays):.1f}), missed {self.misses:.0%}"


def rows() -> list[dict[str, Any]]:
    """Three rows a stream with a change, one a null stream, and the comparison on the real ones."""
    streams, notes = _streams()
    scores, peer_notes, versions = _measure(streams)
    _print(scores, [*notes, *peer_notes])
    found: list[dict[str, Any]] = []
    for name, of in scores.items():
        found += _rows_of(name, of, versions, peer_notes)
    found += _comparison(scores, versions, peer_notes)
    return found + [_row(f"{n.split(':')[0]}_delay", None, "windows", None, n) for n in notes]


def _row(name: str, value: float | None, unit: str, peer: dict[str, Any] | None, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": "lower", "peer": peer, "note": note}


def _rows_of(
    stream: str, scores: dict[str, Score], versions: dict[str, str], peer_notes: list[str]
) -> list[dict[str, Any]]:
    ours = scores[OURS]
    note = "; ".join([*(f"{name}: {score}" for name, score in scores.items()), *peer_notes])
    tuned = [name for name in scores if name.endswith(" tuned")]
    quietest = min(tuned, key=lambda n: scores[n].rate, default=None)
    if not ours.delays:
        peer = _peer(quietest, scores[quietest].rate, versions) if quietest else None
        return [_row(f"{stream}_false", ours.rate, "per 1000", peer, note)]
    best = _earliest(scores, tuned)
    figures = (("delay", "windows"), ("rate", "per 1000"), ("misses", "share"))
    return [
        _row(
            f"{stream}_{'false' if figure == 'rate' else figure}",
            getattr(ours, figure),
            unit,
            _peer(best, getattr(scores[best], figure), versions) if best else None,
            note if figure == "delay" else f"see {stream}_delay",
        )
        for figure, unit in figures
    ]


def _comparison(
    scores: dict[str, dict[str, Score]], versions: dict[str, str], peer_notes: list[str]
) -> list[dict[str, Any]]:
    """Three rows a real stream. The best peer is the earliest of all settings, by the median, and of equally early ones
    the quietest: how much later EdgeOps is, and how many more false alarms it raises. And how many settings of
    peers are ahead: in no figure worse than EdgeOps, and better in one.
    """
    found = []
    for name, of in scores.items():
        peers = [n for n in of if n not in (OURS, ALWAYS)]
        if not name.startswith("real_") or not peers:
            continue
        ours = of[OURS]
        best = min(peers, key=lambda n: (of[n].delay, of[n].rate, of[n].misses))
        figures = (ours.delay, ours.rate, ours.misses)
        ahead = [n for n in peers if _ahead((of[n].delay, of[n].rate, of[n].misses), figures)]
        note = "; ".join([f"EdgeOps: {ours}", f"{best}: {of[best]}", *peer_notes])
        later, over = ours.delay - of[best].delay, ours.rate - of[best].rate
        found += [
            _row(f"{name}_later", later, "windows", _peer(best, of[best].delay, versions), note),
            _row(f"{name}_false_over", over, "per 1000", _peer(best, of[best].rate, versions), note),
            _row(
                f"{name}_ahead",
                len(ahead),
                "settings",
                None,
                f"of {len(peers)}: {', '.join(ahead) or 'none'}",
            ),
        ]
    return found


def _ahead(theirs: tuple[float, ...], ours: tuple[float, ...]) -> bool:
    return theirs != ours and all(a <= b for a, b in zip(theirs, ours, strict=True))


def _earliest(scores: dict[str, Score], names: Sequence[str]) -> str | None:
    return min(
        names,
        key=lambda n: (scores[n].delay, float(np.mean(scores[n].delays)), scores[n].rate),
        default=None,
    )


def _peer(name: str, value: float, versions: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "version": versions[PROJECT[name.split(" ")[0]]], "value": value}


def _print(scores: dict[str, dict[str, Score]], notes: Sequence[str]) -> None:
    """The table, to stderr: stdout belongs to whoever asked for the rows."""
    line = "{:20} {:20} {:>9} {:>7} {:>7} {:>6} {:>7}"
    print(line.format("STREAM", "DETECTOR", "FALSE/1k", "OF", "DELAY", "MEAN", "MISSED"), file=sys.stderr)
    for stream, of in scores.items():
        for name, score in of.items():
            delay = ("-", "-", "-")
            if score.delays:
                delay = (f"{score.delay:g}", f"{np.mean(score.delays):.1f}", f"{score.misses:.0%}")
            print(line.format(stream, name, f"{score.rate:.1f}", score.null, *delay), file=sys.stderr)
    for note in notes:
        print(f"Note: {note}", file=sys.stderr)


# ---- measuring


def _measure(
    streams: dict[str, list[Run]],
) -> tuple[dict[str, dict[str, Score]], list[str], dict[str, str]]:
    """({stream: {detector: score}}, notes about the peers, {project: version})."""
    shapes = {run.group: run for runs in streams.values() for run in runs}
    tuning = {group: _tuning(run, seed) for seed, (group, run) in enumerate(sorted(shapes.items()))}
    rates = {group: len(run.alarmed()) / run.windows for group, run in tuning.items()}
    with tempfile.TemporaryDirectory(prefix="edgeops-bench-") as temporary, ThreadPoolExecutor() as pool:
        folder = Path(temporary)
        waiting = []
        if PEERS.exists():
            _write_jobs(folder, streams, tuning, rates)
            waiting = [pool.submit(_peers, folder, names) for names in PROCESSES]
        scores: dict[str, dict[str, Score]] = {}
        for stream, runs in streams.items():
            scores[stream] = {OURS: Score(), ALWAYS: Score()}
            for run in runs:
                scores[stream][OURS].add(run.windows, run.change, run.alarmed())
                scores[stream][ALWAYS].add(run.windows, run.change, range(run.windows))
        answers = [future.result() for future in waiting]
    if not waiting:
        return scores, ["peers not measured: no environment for them; make bench-peers"], {}
    versions: dict[str, str] = {}
    notes: list[str] = []
    for answer in answers:
        versions |= answer["versions"]
        notes += [f"{project} not measured: {why}" for project, why in answer["missing"].items()]
        _add_peers(scores, streams, answer)
        for name, tuned in answer["tuned"].items():
            values = ", ".join(
                f"{group} {value:.3g} ({answer['windows'][name][group]} windows)"
                for group, value in tuned.items()
                if group != "parameter"
            )
            print(f"Tuned: {name} {tuned['parameter']}: {values}", file=sys.stderr)
    said = ", ".join(f"{group} {1000 * rate:.2f}" for group, rate in rates.items())
    print(f"Tuned to EdgeOps' false alarms per 1,000 windows: {said}", file=sys.stderr)
    return scores, notes, versions


def _add_peers(
    scores: dict[str, dict[str, Score]], streams: dict[str, list[Run]], answer: dict[str, Any]
) -> None:
    for stream, runs in streams.items():
        for index, run in enumerate(runs):
            for name, (windows, default, tuned) in answer["alarms"].get(f"{stream}-{index}", {}).items():
                for setting, alarmed in ((name, default), (f"{name} tuned", tuned)):
                    scores[stream].setdefault(setting, Score()).add(windows, run.change, alarmed)


def _tuning(run: Run, seed: int) -> Run:
    """An independent null stream of a run's shape."""
    rng = np.random.default_rng([17, seed])
    known, rows = len(run.reference), TUNING * run.window
    if run.labels is not None:
        truth = np.zeros(known + rows, np.int64)
        said = (rng.random(known + rows) < 0.1).astype(np.int64)
        labels = ((truth[:known], said[:known]), (truth[known:], said[known:]))
        return Run(run.group, np.zeros((known, 1)), np.zeros((rows, 1)), run.window, None, labels)
    x = rng.standard_normal((known + rows, run.reference.shape[1]))
    return Run(run.group, x[:known], x[known:], run.window, None)


def _write_jobs(
    folder: Path, streams: dict[str, list[Run]], tuning: dict[str, Run], rates: dict[str, float]
) -> None:
    def entry(name: str, run: Run, windows: int | None = None) -> dict[str, Any]:
        known, rows = run.for_peers()
        rows = rows[: windows * run.window] if windows else rows
        np.savez(folder / f"{name}.npz", reference=known.astype(np.float32), stream=rows.astype(np.float32))
        return {
            "file": f"{name}.npz",
            "window": run.window,
            "binary": run.labels is not None,
            "change": run.change,
            "group": run.group,
        }

    groups = {
        group: entry(f"tuning-{group}", run)
        | {
            "rate": rates[group],
            "windows": {name: _few(name, run, TUNING_FEW, TUNING) for name in PROJECT},
        }
        for group, run in tuning.items()
    }
    jobs = {}
    for stream, runs in streams.items():
        for index, run in enumerate(runs):
            if run.change is not None:
                jobs[f"{stream}-{index}"] = entry(f"{stream}-{index}", run)
            elif index < PEER_NULL_REFERENCES:
                most = {name: _few(name, run, FEW, PEER_NULL_WINDOWS) for name in PROJECT}
                jobs[f"{stream}-{index}"] = entry(f"{stream}-{index}", run, max(most.values())) | {
                    "windows": most
                }
    document = {"peers": BY_PROJECT, "groups": groups, "jobs": jobs}
    (folder / "jobs.json").write_text(json.dumps(document))


def _few(name: str, run: Run, few: dict[str, int], most: int) -> int:
    """How many windows a slow peer gets: more where windows hold fewer values."""
    values: int = run.for_peers()[0].shape[1] * run.window
    return min(
        TUNING if few is TUNING_FEW else NULL_WINDOWS, few.get(name, most) * (FEATURES * WINDOW) // values
    )


def _peers(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    quiet = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(PEERS), str(SCRIPT), str(folder), *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **quiet},
    )
    if done.returncode:
        raise RuntimeError(f"{', '.join(names)} ended with {done.returncode}: {done.stderr[-800:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# ---- streams


def _streams() -> tuple[dict[str, list[Run]], list[str]]:
    """({name: runs}, what is missing)."""
    streams = {f"null_{name.replace(' ', '_')}": list(_null(name)) for name in NULL}
    streams["null_labels"] = [_null_labels(seed) for seed in range(NULL_REFERENCES)]
    streams |= {f"shift_{name}": list(_shifts(name)) for name in ("mean_0.5", "variance_1.5", "shape")}
    streams |= {f"labels_{name}": list(_concepts(name)) for name in ("sea", "sine", "agrawal")}
    streams |= {f"real_digits_{how}": list(_digits(how)) for how in ("blurred", "dimmed")}
    folder, notes = os.environ.get(DATA), []
    for name, file, make in (
        ("real_bearing_load", "cwru_bearing.tar.gz", _bearing),
        ("real_new_speaker", "fsdd_speech.tar.gz", _speakers),
    ):
        if folder and (Path(folder) / file).exists():
            streams[name] = list(make(Path(folder) / file))
        else:
            notes.append(f"{name}: set {DATA} to a folder with {file}")
    return streams, notes


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


def _digits(how: str, window: int = 50, known: int = 897, before: int = 9) -> Iterator[Run]:
    """scikit-learn's digits in a random order; blurred by 0.4 pixels, or nine tenths as bright."""
    from scipy.ndimage import gaussian_filter
    from sklearn.datasets import load_digits

    images = load_digits().images / 16
    worse = gaussian_filter(images, (0, 0.4, 0.4), mode="constant") if how == "blurred" else images * 0.9
    for seed in range(DIGITS_SEEDS):
        order = np.random.default_rng([15, seed]).permutation(len(images))
        cut = known + before * window
        seen = np.concatenate([images[order[:cut]], worse[order[cut:]]])
        x = _extracted(np.round(seen * 255) - 128)
        yield Run("digits", x[:known], x[known:], window, before)


def _bearing(path: Path, window: int = 25) -> Iterator[Run]:
    """One machine: 60 % of a recording at no load, the rest of it, then one at 1 or 2 hp; from several beginnings."""
    signals = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                signals[Path(member.name).stem] = np.load(io.BytesIO(content.read()))["signal"]
    for name in sorted(signals):
        if not name.endswith("load0") or f"{name[:-1]}1" not in signals:
            continue
        unit = float(np.abs(signals[name]).max()) / 127
        for turn in range(TURNS):
            old = np.roll(_framed(signals[name], unit), -turn * len(signals[name]) // FRAME // TURNS, axis=0)
            new = _framed(signals[f"{name[:-1]}{1 + turn % 2}"], unit)
            known = 284
            before = (len(old) - known) // window
            x = np.concatenate([old[: known + before * window], new])
            yield Run("bearing", x[:known], x[known:], window, before)


def _framed(signal: NDArray[np.float32], unit: float) -> Matrix:
    frames = signal[: len(signal) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    inputs = np.clip(np.round(frames / unit), -128, 127)
    return np.concatenate([_extracted(inputs[..., np.newaxis]), _bands(inputs[:, np.newaxis])], axis=1)


def _speakers(path: Path, window: int = 50, known: int = 900) -> Iterator[Run]:
    """Spoken digits of three people in a random order, then of the fourth; each is the new one in turn."""
    of: dict[str, list[NDArray[np.int16]]] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                with wave.open(io.BytesIO(content.read())) as sound:
                    samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")[:CLIP]
                of.setdefault(Path(member.name).name.split("_")[0], []).append(
                    np.pad(samples, (0, CLIP - len(samples)))
                )
    features = {}
    for speaker, clips in sorted(of.items()):
        inputs = np.round(np.stack(clips) / 256)
        frames = inputs.reshape(len(inputs), -1, FRAME)
        features[speaker] = np.concatenate([_extracted(inputs[..., np.newaxis]), _bands(frames)], axis=1)
    for seed in range(SPEAKER_SEEDS):
        rng = np.random.default_rng([16, seed])
        new = sorted(features)[seed % len(features)]
        old = rng.permutation(np.concatenate([x for speaker, x in features.items() if speaker != new]))
        before = (len(old) - known) // window
        x = np.concatenate([old[: known + before * window], rng.permutation(features[new])])
        yield Run("speaker", x[:known], x[known:], window, before)


def _extracted(inputs: Matrix) -> Matrix:
    return extract(EXTRACTED, np.clip(inputs, -128, 127).astype(np.int8)).astype(np.float64)


def _bands(frames: Matrix) -> Matrix:
    """The logarithm of the energy in each band, over the frames (inputs, frames, samples)."""
    power = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[2]), axis=2)) ** 2
    mean = power.mean(axis=1)
    return np.column_stack([np.log(mean[:, low:high].sum(axis=1) + 1) for low, high in BANDS])


if __name__ == "__main__":
    for measured in rows():
        value = "-" if measured["value"] is None else f"{measured['value']:.4g}"
        against = measured["peer"]
        print(f"{measured['name']:40} {value:>8} {measured['unit']:9}", end=" ")
        print(f"{against['name']} {against['version']}: {against['value']:.4g}" if against else "-")
