"""Reading ``recipe.toml``: every key checked, errors that name file, line and the nearest key."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeops.core.errors import ConfigError, InputError, NotFoundError
from edgeops.core.features.steps import OPERATIONS, make_step
from edgeops.core.input_features import FEATURES, OF_KIND
from edgeops.core.manifest import Step
from edgeops.training.architectures.catalogue import ARCHITECTURES
from edgeops.training.recipe.keys import (
    ALARMS,
    AUGMENTATION,
    DISTILLATION,
    POLICY,
    PRUNING,
    ROBUSTNESS,
    RUNTIMES,
    SEARCH,
    SECTIONS,
    STRATEGIES,
)
from edgeops.training.recipe.sections import (
    Anomaly,
    Architecture,
    Augmentation,
    DataSection,
    Distillation,
    GateLimits,
    Observe,
    Packaging,
    Preprocessing,
    Pruning,
    Quantization,
    Recipe,
    Report,
    Retrain,
    Robustness,
    Search,
    SearchEntry,
    Split,
    Targets,
    TrainingSection,
)
from edgeops.training.schema import Key, Source, read_section

RECIPE_FILE = "recipe.toml"


def load_recipe(path: Path | str) -> Recipe:
    """Read ``recipe.toml``, given its path or its folder's.

    Raises ``NotFoundError`` for a file that is not there and ``ConfigError``, naming file, line and key, for
    anything that is not as it should be.
    """
    return recipe_of(*read_document(path))


def read_document(path: Path | str) -> tuple[Source, dict[str, Any]]:
    """The text of a ``recipe.toml`` and what TOML makes of it, not yet checked.

    Raises ``NotFoundError`` for a file that is not there, ``ConfigError`` for one that is not TOML.
    """
    file = Path(path)
    file = file / RECIPE_FILE if file.is_dir() else file
    try:
        source = Source(file, file.read_bytes().decode())
    except FileNotFoundError as error:
        raise NotFoundError(f"no recipe at {file}", fix="edgeops train --help", path=str(file)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", file=str(file)) from error
    try:
        document = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}", fix=f"correct {file}", file=str(file)) from error
    return source, document


def recipe_of(source: Source, document: Mapping[str, Any]) -> Recipe:
    """The recipe that a document says, which need not be what stands in ``source``: a search changes values.

    Raises ``ConfigError`` as ``load_recipe`` does.
    """
    source.refuse_unknown(document, dict.fromkeys([*SECTIONS, "architecture"]), "")
    tables = {
        name: read_section(source, document.get(name, {}), name, keys) for name, keys in SECTIONS.items()
    }
    training, data = tables["training"], tables["data"]
    for name, keys in (("augmentation", AUGMENTATION), ("pruning", PRUNING), ("distillation", DISTILLATION)):
        training[name] = read_section(source, training[name], f"training.{name}", keys)
    steps, tables["preprocessing"]["steps"] = _steps(source, tables["preprocessing"]["steps"])
    tables["gates"]["robustness"] = [
        read_section(source, entry, "gates.robustness", ROBUSTNESS) for entry in tables["gates"]["robustness"]
    ]
    space = _search_space(source, tables.pop("search")["space"])
    not_for = _texts(source, "report.not_for", tables.pop("report")["not_for"])
    runtimes = _chosen(source, "package", "runtimes", tables.pop("package")["runtimes"], RUNTIMES)
    policy = _policy(source, tables["retrain"])
    tables["split"]["holdout"] = _holdout(source, tables["split"]["holdout"])
    by_time = _texts(source, "split.by_time", tables["split"]["by_time"])
    names = _texts(source, "targets.names", tables["targets"]["names"])
    architecture, code = _architecture(source, document.get("architecture"))
    recipe = Recipe(
        **tables["recipe"],
        data=DataSection(**data),
        split=Split({key: tuple(values) for key, values in tables["split"]["holdout"].items()}, by_time),
        preprocessing=Preprocessing(steps, tables["preprocessing"]["normalise"]),
        architecture=architecture,
        training=TrainingSection(
            **{
                **training,
                "augmentation": Augmentation(**training["augmentation"]),
                "pruning": Pruning(**training["pruning"]),
                "distillation": Distillation(**training["distillation"]),
            }
        ),
        quantization=Quantization(
            **{**tables["quantization"], "representative": tuple(tables["quantization"]["representative"])}
        ),
        gates=GateLimits(
            **{
                **tables["gates"],
                "robustness": tuple(Robustness(**entry) for entry in tables["gates"]["robustness"]),
            }
        ),
        targets=Targets(names),
        package=Packaging(runtimes or RUNTIMES, bool(runtimes)),
        anomaly=Anomaly(**tables["anomaly"]),
        search=Search(space),
        observe=Observe(
            _features(source, tables["observe"]["features"], tables["data"]["kind"]),
            tables["observe"]["multivariate"],
        ),
        report=Report(not_for),
        retrain=Retrain(
            **{**tables["retrain"], "strategies": _strategies(source, tables["retrain"]["strategies"])},
            policy=policy,
        ),
        path=source.path,
        digest=_digest({**tables, "architecture": [architecture.kind, dict(architecture.parameters), code]}),
    )
    _check_together(source, recipe)
    return recipe


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def with_holdout(recipe: Recipe, holdout: Mapping[str, tuple[str, ...]]) -> Recipe:
    """The same recipe with other items held out; its digest says so."""
    if not holdout or holdout == recipe.split.holdout:
        return recipe
    digest = _digest({"recipe": recipe.digest, "holdout": {k: list(v) for k, v in holdout.items()}})
    return dataclasses.replace(
        recipe, split=Split(MappingProxyType(dict(holdout)), recipe.split.by_time), digest=digest
    )


def _steps(source: Source, raw: list[Any]) -> tuple[tuple[Step, ...], list[dict[str, Any]]]:
    """The steps as they go into the manifest, and their values with every default filled in."""
    steps, values = [], []
    for entry in raw:
        if not isinstance(entry, dict):
            raise source.error("preprocessing.steps", f"a step is a table with 'op', not {entry!r}", entry)
        op = Key(str, choices=tuple(OPERATIONS))
        only_op = {name: value for name, value in entry.items() if name == "op"}
        name = read_section(source, only_op, "preprocessing.steps", {"op": op})["op"]
        parameters = {key: value for key, value in entry.items() if key != "op"}
        try:
            steps.append(make_step(name, **parameters))
        except InputError as error:
            raise source.error("preprocessing.steps", error.message, entry) from error
        values.append({"op": name, "parameters": list(steps[-1].parameters)})
    return tuple(steps), values


def _architecture(source: Source, table: object) -> tuple[Architecture, str]:
    """The architecture, and the digest of the code that it names (empty for a built-in one)."""
    if not isinstance(table, dict) or ("kind" in table) == ("python" in table):
        raise source.error("architecture", "[architecture] needs either 'kind' or 'python'", table)
    if "python" in table:
        keys = {"python": Key(str), "parameters": Key(dict, default={})}
        values = read_section(source, table, "architecture", keys)
        file, _, function = values["python"].partition(":")
        path = (source.path.parent / file).resolve()
        if not function.isidentifier() or not path.is_relative_to(source.path.parent.resolve()):
            raise source.error(
                "architecture.python",
                "'architecture.python' must be file.py:function within the recipe's folder, "
                f"not {values['python']!r}",
            )
        if not path.is_file():
            raise source.error("architecture.python", f"no file {file!r} beside the recipe", values["python"])
        code = hashlib.sha256(path.read_bytes()).hexdigest()
        return Architecture("python", (path, function), MappingProxyType(values["parameters"])), code
    kind = Key(str, choices=tuple(ARCHITECTURES))
    only_kind = {name: value for name, value in table.items() if name == "kind"}
    name = read_section(source, only_kind, "architecture", {"kind": kind})["kind"]
    keys = {"kind": kind, **ARCHITECTURES[name].parameters}
    parameters = read_section(source, table, "architecture", keys)
    del parameters["kind"]
    return Architecture(name, None, MappingProxyType(parameters)), ""


def _holdout(source: Source, table: dict[str, Any]) -> dict[str, list[str]]:
    found = {}
    for name, values in table.items():
        values = values if isinstance(values, list) else [values]
        found[name] = [str(value) for value in values]
        if not values:
            raise source.error("split.holdout", f"'split.holdout.{name}' lists no values", values)
    return found


def _search_space(source: Source, raw: list[Any]) -> tuple[SearchEntry, ...]:
    entries = [read_section(source, entry, "search.space", SEARCH) for entry in raw]
    return tuple(
        SearchEntry(
            **{
                **entry,
                "also": _texts(source, "search.space", entry["also"]),
                "choices": tuple(entry["choices"]),
            }
        )
        for entry in entries
    )


def _texts(source: Source, dotted: str, values: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise source.error(dotted, f"{dotted!r} must list texts, not {values}", values)
    return tuple(values)


def _features(source: Source, raw: list[Any], kind: str) -> tuple[str, ...]:
    known = Key(str, choices=FEATURES)
    names = [
        read_section(source, {"features": name}, "observe", {"features": known})["features"] for name in raw
    ]
    if len(set(names)) != len(names):
        raise source.error("observe.features", f"'observe.features' names one twice: {names}", names)
    return tuple(names) or OF_KIND[kind]


def _policy(source: Source, table: dict[str, Any]) -> Mapping[str, Any]:
    """What the recipe says of the retrain policy, taken out of ``table``: it changes nothing of a trained model."""
    said = {name: value for name in POLICY if (value := table.pop(name)) is not None}
    if "alarms" in said:
        known = Key(str, choices=ALARMS)
        said["alarms"] = tuple(
            read_section(source, {"alarms": kind}, "retrain", {"alarms": known})["alarms"]
            for kind in said["alarms"]
        )
    return MappingProxyType(said)


def _strategies(source: Source, raw: list[Any]) -> tuple[str, ...]:
    if not raw:
        raise source.error(
            "retrain.strategies", "'retrain.strategies' must name one or more, each once, not []", raw
        )
    return _chosen(source, "retrain", "strategies", raw, STRATEGIES)


def _chosen(
    source: Source, section: str, key: str, raw: list[Any], choices: tuple[str, ...]
) -> tuple[str, ...]:
    """Some of the choices, each once, in their order."""
    known = {key: Key(str, choices=choices)}
    names = tuple(read_section(source, {key: name}, section, known)[key] for name in raw)
    if len(set(names)) != len(names):
        raise source.error(
            f"{section}.{key}", f"'{section}.{key}' must name one or more, each once, not {raw}", raw
        )
    return names


def _check_together(source: Source, recipe: Recipe) -> None:
    """What single keys cannot say."""
    how, kind = recipe.training.augmentation, recipe.data.kind
    if (how.moves or how.flip) and kind != "image":
        raise source.error(
            "training.augmentation", "rotation_degrees, shift_pixels, zoom and flip are for images only"
        )
    if not how.originals and not how.copies:
        raise source.error("training.augmentation", "without originals, 'copies' must be at least 1")
    built_in = ARCHITECTURES.get(recipe.architecture.kind)
    if built_in is not None and built_in.reconstructs != recipe.finds_anomalies:
        task = "anomaly" if built_in.reconstructs else "classification"
        raise source.error(
            "recipe.task", f"architecture {recipe.architecture.kind!r} is for the task {task!r}"
        )
    if recipe.data.window and kind not in ("audio", "series"):
        raise source.error(
            "data.window",
            f"'data.window' and 'data.stride' cut recordings; an item of kind {kind!r} is whole",
        )
    if recipe.data.stride and not recipe.data.window:
        raise source.error("data.stride", "'data.stride' needs 'data.window'")
    if kind == "audio" and not recipe.data.window:
        raise source.error(
            "data.window", "audio needs 'data.window', the samples of one input, e.g. 16000 for one second"
        )
    pruning = recipe.training.pruning
    if pruning.begin > pruning.end:
        raise source.error("training.pruning", "'begin' must not come after 'end'")
    if recipe.training.distillation.epochs and recipe.finds_anomalies:
        raise source.error("training.distillation", "distillation is for classification only")
