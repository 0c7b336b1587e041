"""A recipe: everything that decides how a model is made and judged, in one TOML file."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeops.core.errors import ConfigError, NotFoundError
from edgeops.core.features.steps import SCALE, scale_step
from edgeops.core.manifest import Step
from edgeops.core.observe import FEATURES
from edgeops.training.schema import Key, Source, read_section

RECIPE_FILE = "recipe.toml"
ARCHITECTURES: Mapping[str, Mapping[str, Key]] = MappingProxyType(
    {
        "small_cnn": MappingProxyType(
            {
                "filters": Key(list, default=[8, 16, 32]),
                "dense": Key(int, default=32, low=1, high=4096),
                "dropout": Key(float, default=0.3, low=0.0, high=0.9),
            }
        )
    }
)
_SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "recipe": {"name": Key(str), "description": Key(str, default="")},
    "data": {"name": Key(str), "kind": Key(str, default="image", choices=("image", "table"))},
    "preprocessing": {"steps": Key(list, default=[])},
    "training": {
        "epochs": Key(int, low=1, high=10_000),
        "batch_size": Key(int, default=64, low=1, high=65_536),
        "learning_rate": Key(float, default=0.001, low=1e-7, high=10.0),
        "augmentation": Key(dict, default={}),
    },
    "quantization": {
        "scheme": Key(str, default="int8", choices=("int8",)),
        "representative": Key(int, default=200, low=1, high=100_000),
    },
    "gates": {
        "min_int8_accuracy": Key(float, default=0.0, low=0.0, high=1.0),
        "max_quantization_loss": Key(float, default=1.0, low=0.0, high=1.0),
        "max_artifact_bytes": Key(int, default=2**31 - 1, low=1, high=2**31 - 1),
    },
    "observe": {"features": Key(list, default=list(FEATURES))},
    "retrain": {
        "margin_on_test": Key(float, default=0.01, low=0.0, high=1.0),
        "captured_weight": Key(int, default=1, low=1, high=100),
    },
}
_AUGMENTATION: Mapping[str, Key] = {
    "rotation_degrees": Key(float, default=0.0, low=0.0, high=180.0),
    "shift_pixels": Key(float, default=0.0, low=0.0, high=1000.0),
    "zoom": Key(float, default=0.0, low=0.0, high=0.9),
    "copies": Key(int, default=0, low=0, high=100),
}
_STEP: Mapping[str, Key] = {
    "op": Key(str, choices=(SCALE,)),
    "factor": Key(float, default=1.0, low=1e-6, high=1e6),
    "offset": Key(float, default=0.0, low=-1e6, high=1e6),
}


@dataclass(frozen=True, slots=True)
class DataSection:
    """The dataset that the recipe is for, by name, and its kind: ``image`` or ``table``."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Named operations from raw values to the float input, in order; see ``edgeops.core.features.steps``."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A built-in ``kind``, or ``python``: the absolute path of a file and the function in it."""

    kind: str
    python: tuple[Path, str] | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Every epoch adds ``copies`` of each image, moved at random within these limits (uniform, both ways)."""

    rotation_degrees: float
    shift_pixels: float
    zoom: float
    copies: int


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """How long and how fast; the learning rate falls to zero along half a cosine."""

    epochs: int
    batch_size: int
    learning_rate: float
    augmentation: Augmentation


@dataclass(frozen=True, slots=True)
class Quantization:
    """``int8`` throughout, with so many training inputs to find the ranges."""

    scheme: str
    representative: int


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What a new model must reach: accuracies as fractions, size in bytes."""

    min_int8_accuracy: float
    max_quantization_loss: float
    max_artifact_bytes: int


@dataclass(frozen=True, slots=True)
class Observe:
    """The input features that devices count."""

    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retrain:
    """How much the test accuracy may fall, and how many times each captured sample is shown per epoch."""

    margin_on_test: float
    captured_weight: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe; ``digest`` is the hex SHA-256 of its content and of a ``python`` architecture's code."""

    name: str
    description: str
    data: DataSection
    preprocessing: Preprocessing
    architecture: Architecture
    training: TrainingSection
    quantization: Quantization
    gates: GateLimits
    observe: Observe
    retrain: Retrain
    path: Path
    digest: str


def load_recipe(path: Path | str) -> Recipe:
    """Read ``recipe.toml``, given its path or its folder's.

    Raises ``NotFoundError`` for a file that is not there and ``ConfigError``, naming file, line and key, for
    anything that is not as it should be.
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
    return _recipe(source, document)


def _recipe(source: Source, document: dict[str, Any]) -> Recipe:
    source.refuse_unknown(document, dict.fromkeys([*_SECTIONS, "architecture"]), "")
    tables = {
        name: read_section(source, document.get(name, {}), name, keys) for name, keys in _SECTIONS.items()
    }
    augmentation = read_section(
        source, tables["training"]["augmentation"], "training.augmentation", _AUGMENTATION
    )
    steps, step_values = _steps(source, tables["preprocessing"]["steps"])
    architecture, code = _architecture(source, document.get("architecture"))
    features = _features(source, tables["observe"]["features"])
    if tables["data"]["kind"] != "image" and (augmentation["copies"] or architecture.kind == "small_cnn"):
        raise source.error("data.kind", "augmentation and 'small_cnn' are for images only")
    training = TrainingSection(**{**tables["training"], "augmentation": Augmentation(**augmentation)})
    canonical: dict[str, Any] = {
        **tables,
        "training": {**tables["training"], "augmentation": augmentation},
        "preprocessing": step_values,
        "architecture": [architecture.kind, dict(architecture.parameters), code],
    }
    return Recipe(
        **tables["recipe"],
        data=DataSection(**tables["data"]),
        preprocessing=Preprocessing(steps),
        architecture=architecture,
        training=training,
        quantization=Quantization(**tables["quantization"]),
        gates=GateLimits(**tables["gates"]),
        observe=Observe(features),
        retrain=Retrain(**tables["retrain"]),
        path=source.path,
        digest=hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest(),
    )


def _steps(source: Source, raw: list[Any]) -> tuple[tuple[Step, ...], list[dict[str, Any]]]:
    values = [read_section(source, step, "preprocessing.steps", _STEP) for step in raw]
    return tuple(scale_step(step["factor"], step["offset"]) for step in values), values


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
    parameters = read_section(source, table, "architecture", {"kind": kind, **ARCHITECTURES[name]})
    del parameters["kind"]
    _check_filters(source, parameters.get("filters", [1]))
    return Architecture(name, None, MappingProxyType(parameters)), ""


def _check_filters(source: Source, filters: list[Any]) -> None:
    if not filters or not all(type(size) is int and 1 <= size <= 1024 for size in filters):
        raise source.error(
            "architecture.filters", f"'architecture.filters' must list sizes of 1..1024, not {filters}"
        )


def _features(source: Source, raw: list[Any]) -> tuple[str, ...]:
    known = Key(str, choices=FEATURES)
    names = [
        read_section(source, {"features": name}, "observe", {"features": known})["features"] for name in raw
    ]
    if len(set(names)) != len(names):
        raise source.error("observe.features", f"'observe.features' names one twice: {names}", names)
    return tuple(names)


def find_recipe(text: str) -> Path:
    """The recipe file that ``text`` means: a path, or the name of a recipe that EdgeOps ships.

    Raises ``NotFoundError`` listing the known names.
    """
    given = Path(text)
    if given.is_file():
        return given
    if (given / RECIPE_FILE).is_file():
        return given / RECIPE_FILE
    known = shipped_recipes()
    if text in known:
        return known[text]
    names = ", ".join(sorted(known)) or "none"
    raise NotFoundError(
        f"no recipe at {text}, and none shipped of that name (shipped: {names})",
        fix="give the path of a recipe.toml, of its folder, or a shipped name",
        recipe=text,
    )


def shipped_recipes() -> dict[str, Path]:
    """Name to recipe file: of the checkout's ``models`` folder, or of the wheel's ``edgeops/_recipes``."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_recipes", package.parent / "models"):
        files = sorted(folder.glob(f"*/{RECIPE_FILE}"))
        if files:
            return {file.parent.name: file for file in files}
    return {}
