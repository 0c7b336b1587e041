"""How long an inference takes on a core: a range per set of kernels, calibrated on published results.

The model is log-linear and small, because there are few results: the logarithm of cycles per unit of work is a
rate of each configuration (core and kernels), plus the share of each kind of work times what that kind costs
against a convolution, which all configurations share, plus a deviation of each set of kernels from that. It is
fitted by least squares with a ridge on the shared costs and a stronger one on the deviations, which is what
lets a set with four results borrow from the others. A unit of work is a multiply-accumulate, or a quarter of a
value that an operator without any goes through.

A range is the estimate divided and multiplied by the leave-one-out error of its set of kernels: the root mean
square of the logarithms, never taken smaller than that over all results. ``docs/guides/fit.md`` shows them.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeops.targets.catalogue import Target
from edgeops.targets.ops import Kind, Work

UNITS_PER_ELEMENT = 4.0
SHARED_RIDGE = 0.01
DEVIATION_RIDGE = 1.0
MODELS = ("autoencoder", "keyword", "image", "person")

# which sets of kernels a runtime can be built with; the others are shown beside them for comparison
RUNTIME_KERNELS: Mapping[str, tuple[str, ...]] = {
    "tflm": ("tflm_reference", "cmsis_nn", "cmsis_nn_mve", "esp_nn"),
    "linux": ("litert",),
}

_RELATIVE = (Kind.SEPARABLE, Kind.FULLY_CONNECTED)  # priced against Kind.CONVOLUTION


@dataclass(frozen=True)
class Result:
    """One published latency: ``ms`` of ``model`` on ``core`` at ``mhz`` with ``kernels``."""

    core: str
    kernels: str
    mhz: float
    model: str
    ms: float
    source: str

    @property
    def configuration(self) -> tuple[str, str]:
        """Core and kernels, which share one rate."""
        return self.core, self.kernels


@dataclass(frozen=True)
class LatencyRange:
    """Milliseconds of one inference with one set of kernels.

    ``basis``: ``published`` (results of this core and these kernels), ``derived`` (from other ones), or ``guess``
    (an order of magnitude). ``source`` names what it stands on.
    """

    kernels: str
    low: float
    high: float
    basis: str
    source: str


def published_results() -> list[Result]:
    """The results that the model is calibrated on, in the order of the file."""
    return [
        Result(row["core"], row["kernels"], row["mhz"], model, row[model], row["source"])
        for row in _data()["result"]
        for model in MODELS
    ]


def reference_work(model: str) -> Work:
    """The work of one of the MLPerf Tiny reference models."""
    row = _data()["work"][model]
    return Work({kind: row[kind.value] for kind in Kind}, row["other"])


def estimate(work: Work, target: Target) -> list[LatencyRange]:
    """A range for each set of kernels that exists for the target's core, those of its runtime first."""
    chosen = RUNTIME_KERNELS[target.runtime]
    found = []
    for core, kernels in _configurations():
        vendor = kernels != "x_cube_ai" or target.vendor == "STMicroelectronics"
        if core == target.core and vendor:
            found.append(_range(work, core, kernels, target.mhz))
    return sorted(found, key=lambda entry: (entry.kernels not in chosen, -entry.high))


def leave_one_out() -> list[tuple[Result, float]]:
    """Each published result with its estimate in ms by a model that was fitted without it."""
    results = published_results()
    found = []
    for index, left_out in enumerate(results):
        model = _fit(results[:index] + results[index + 1 :])
        cycles = math.exp(model.log_cycles(reference_work(left_out.model), left_out.configuration))
        found.append((left_out, cycles / (left_out.mhz * 1000)))
    return found


@cache
def errors_by_kernels() -> Mapping[str, float]:
    """The leave-one-out error of each set of kernels, and of all under ``""``: rms of log(estimate / result)."""
    logs: dict[str, list[float]] = {"": []}
    for result, estimated in leave_one_out():
        error = math.log(estimated / result.ms)
        logs[""].append(error)
        logs.setdefault(result.kernels, []).append(error)
    return {name: math.sqrt(sum(e * e for e in found) / len(found)) for name, found in logs.items()}


@dataclass(frozen=True)
class _Fitted:
    rates: Mapping[tuple[str, str], float]
    relative: NDArray[np.float64]
    deviations: Mapping[str, NDArray[np.float64]]

    def log_cycles(self, work: Work, configuration: tuple[str, str]) -> float:
        """The logarithm of the cycles of one inference."""
        per_unit = self.rates[configuration] + float(
            _shares(work) @ (self.relative + self.deviations[configuration[1]])
        )
        return per_unit + math.log(_units(work))


def _units(work: Work) -> float:
    return max(1.0, work.macs + work.other_elements / UNITS_PER_ELEMENT)


def _shares(work: Work) -> NDArray[np.float64]:
    return np.array([work.macs_by_kind[kind] for kind in _RELATIVE]) / _units(work)


def _fit(results: Sequence[Result]) -> _Fitted:
    """Least squares with ridges: (A'A + P) w = A'y, one row of A a result."""
    configurations = list(dict.fromkeys(result.configuration for result in results))
    kernels = list(dict.fromkeys(result.kernels for result in results))
    kinds = len(_RELATIVE)
    width = len(configurations) + kinds * (1 + len(kernels))
    rows, wanted = np.zeros((len(results), width)), np.zeros(len(results))
    for row, result in zip(rows, results, strict=True):
        shares = _shares(reference_work(result.model))
        row[configurations.index(result.configuration)] = 1
        row[len(configurations) : len(configurations) + kinds] = shares
        at = len(configurations) + kinds * (1 + kernels.index(result.kernels))
        row[at : at + kinds] = shares
    for index, result in enumerate(results):
        wanted[index] = math.log(result.ms * result.mhz * 1000 / _units(reference_work(result.model)))
    ridge = np.concatenate(
        [
            np.full(len(configurations), 1e-9),
            np.full(kinds, SHARED_RIDGE),
            np.full(kinds * len(kernels), DEVIATION_RIDGE),
        ]
    )
    weights = np.linalg.solve(rows.T @ rows + np.diag(ridge), rows.T @ wanted).astype(np.float64)
    deviations = weights[len(configurations) + kinds :].reshape(len(kernels), kinds)
    return _Fitted(
        dict(zip(configurations, (float(rate) for rate in weights), strict=False)),
        weights[len(configurations) : len(configurations) + kinds],
        dict(zip(kernels, deviations, strict=True)),
    )


@cache
def _fitted() -> _Fitted:
    return _fit(published_results())


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(resources.files("edgeops.targets").joinpath("latency.toml").read_text("utf-8"))


@cache
def _configurations() -> tuple[tuple[str, str], ...]:
    """Core and kernels of every configuration that can be estimated, calibrated ones first."""
    derived = ((row["core"], row["kernels"]) for row in _data()["derived"])
    return tuple(dict.fromkeys([*_fitted().rates, *derived]))


def _range(work: Work, core: str, kernels: str, mhz: float) -> LatencyRange:
    if (core, kernels) in _fitted().rates:
        error = _error(kernels)
        log_cycles = _fitted().log_cycles(work, (core, kernels))
        source = next(r.source for r in published_results() if r.configuration == (core, kernels))
        basis = "published"
    else:
        row = next(r for r in _data()["derived"] if (r["core"], r["kernels"]) == (core, kernels))
        log_cycles, error = _derived(work, row)
        error = math.hypot(error, math.log(row["spread"]))
        source, basis = row["source"], row.get("basis", "derived")
    ms = math.exp(log_cycles) / (mhz * 1000)
    return LatencyRange(kernels, ms / math.exp(error), ms * math.exp(error), basis, source)


def _derived(work: Work, row: Mapping[str, Any]) -> tuple[float, float]:
    """log(cycles) and its error, without the spread of the derivation."""
    if "cycles_per_mac" in row:
        price = row["cycles_per_mac"]
        cycles = sum(work.macs_by_kind[kind] * price[kind.value] for kind in Kind)
        cycles += work.other_elements / UNITS_PER_ELEMENT * price[Kind.CONVOLUTION.value]
        return math.log(max(1.0, cycles)), 0.0
    base_core, base_kernels = row["from"]
    log_cycles = _fitted().log_cycles(work, (base_core, base_kernels))
    if "ratio_in" in row:
        common = row["ratio_in"]
        log_cycles += _fitted().rates[row["core"], common] - _fitted().rates[base_core, common]
    else:
        log_cycles += math.log(row["factor"])
    return log_cycles, _error(base_kernels)


def _error(kernels: str) -> float:
    errors = errors_by_kernels()
    return max(errors[kernels], errors[""])
