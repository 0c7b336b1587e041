"""EdgeOps' drift detectors beside River, Evidently and NannyML, on the same streams in one run.

``make bench-peers`` makes the environment of the peers; without it this says so and measures nothing. The real streams
of recordings need ``EDGEOPS_DATA``, the digits do not. Rows on real streams have limits: no later than the best
peer, no more false alarms than it, and no setting of a peer ahead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from drift_judging import OURS, Score, ahead_of_us, best_of, settings_of_peers
from drift_peers_run import PROJECT, Measured, measure
from drift_real_streams import real_streams
from drift_streams import made_streams

DATA = "EDGEOPS_DATA"
UNITS = {"delay": "windows", "false": "per 1000", "misses": "share"}
COMPARED = (("later", "windows"), ("false_over", "per 1000"), ("ahead", "settings"))


def rows() -> list[dict[str, Any]]:
    """Three rows a stream with a change, one a null stream, and the comparison on the real ones."""
    folder = os.environ.get(DATA)
    real, missing = real_streams(Path(folder) if folder else None)
    measured = measure(made_streams() | real)
    notes = [f"{name}: set {DATA} to a folder with {file}" for name, file in missing.items()]
    print(table(measured.scores), file=sys.stderr)
    for line in [
        *(f"Tuned {line}" for line in measured.tuned),
        *(f"Note: {n}" for n in measured.notes + notes),
    ]:
        print(line, file=sys.stderr)
    found: list[dict[str, Any]] = []
    for name, scores in measured.scores.items():
        found += figures(name, scores, measured)
        if name in real:
            found += comparison(name, scores, measured)
    for name, note in zip(missing, notes, strict=True):
        found += [_row(f"{name}_{figure}", None, unit, None, note) for figure, unit in COMPARED]
    return found


def figures(stream: str, scores: Mapping[str, Score], measured: Measured) -> list[dict[str, Any]]:
    """What EdgeOps did on a stream, beside the best of the tuned peers: on a null stream the quietest of them."""
    ours = scores[OURS]
    note = "; ".join([*(f"{name}: {score}" for name, score in scores.items()), *measured.notes])
    tuned = [name for name in scores if name.endswith(" tuned")]
    if not ours.delays:
        quietest = min(tuned, key=lambda name: scores[name].rate, default=None)
        peer = _peer(quietest, scores[quietest].rate, measured) if quietest else None
        return [_row(f"{stream}_false", ours.rate, "per 1000", peer, note)]
    best = best_of(scores, tuned) if tuned else None
    theirs = {} if best is None else _figures(scores[best])
    return [
        _row(
            f"{stream}_{figure}",
            value,
            UNITS[figure],
            None if best is None else _peer(best, theirs[figure], measured),
            note if figure == "delay" else f"see {stream}_delay",
        )
        for figure, value in _figures(ours).items()
    ]


def _figures(score: Score) -> dict[str, float]:
    return {"delay": score.delay, "false": score.rate, "misses": score.misses}


def comparison(stream: str, scores: Mapping[str, Score], measured: Measured) -> list[dict[str, Any]]:
    """How much later EdgeOps is than the best peer at any setting, how many more false alarms it raises than that one,
    and how many settings of peers are ahead: in no figure worse, and better in one.
    """
    peers = settings_of_peers(scores)
    if not peers:
        why = "; ".join(measured.notes) or "no peer was measured"
        return [_row(f"{stream}_{figure}", None, unit, None, why) for figure, unit in COMPARED]
    ours, name = scores[OURS], best_of(scores, peers)
    best, ahead = scores[name], ahead_of_us(scores)
    note = "; ".join([f"EdgeOps: {ours}", f"{name}: {best}", *measured.notes])
    return [
        _row(f"{stream}_later", ours.delay - best.delay, "windows", _peer(name, best.delay, measured), note),
        _row(
            f"{stream}_false_over", ours.rate - best.rate, "per 1000", _peer(name, best.rate, measured), note
        ),
        _row(
            f"{stream}_ahead", len(ahead), "settings", None, f"of {len(peers)}: {', '.join(ahead) or 'none'}"
        ),
    ]


def table(scores: Mapping[str, Mapping[str, Score]]) -> str:
    """Every detector on every stream; goes to stderr, since stdout belongs to whoever asked for the rows."""
    form = "{:22} {:17} {:>8} {:>8} {:>6} {:>6} {:>6} {:>7}"
    lines = [form.format("STREAM", "DETECTOR", "FALSE/1k", "AT MOST", "OF", "DELAY", "MEAN", "MISSED")]
    for stream, of in scores.items():
        for name, score in of.items():
            delay = ("-", "-", "-")
            if score.delays:
                delay = (f"{score.delay:g}", f"{np.mean(score.delays):.1f}", f"{score.misses:.0%}")
            false = (f"{score.rate:.1f}", f"{score.bound:.1f}", score.null)
            lines.append(form.format(stream, name, *false, *delay))
    return "\n".join(lines)


def _row(name: str, value: float | None, unit: str, peer: dict[str, Any] | None, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "better": "lower", "peer": peer, "note": note}


def _peer(name: str, value: float, measured: Measured) -> dict[str, Any]:
    return {"name": name, "version": measured.versions[PROJECT[name.split(" ")[0]]], "value": value}


if __name__ == "__main__":
    for measured in rows():
        value = "-" if measured["value"] is None else f"{measured['value']:.4g}"
        against = measured["peer"]
        print(f"{measured['name']:40} {value:>8} {measured['unit']:9}", end=" ")
        print(f"{against['name']} {against['version']}: {against['value']:.4g}" if against else "-")
