"""What the firmware's tools say of a message, made from Python's reading of the same message."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgeops.core.manifest import BlobRef, Manifest, TensorContract
from edgeops.core.messages import Desired, Event, ModelState, Receipt, Report, State
from edgeops.core.observe import FeaturePlan, ObservePlan
from edgeops.core.selftest import SelfTest
from edgeops.core.signing import TrustRoot

OUTPUT_KINDS = {"classes": 1, "reconstruction": 2}


def optional_hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex()


def text(value: str) -> str:
    return value.encode().hex()


def blob(ref: BlobRef) -> dict[str, Any]:
    return {
        "sha256": ref.sha256.hex(),
        "size": ref.size,
        "chunk_bytes": ref.chunk_bytes,
        "chunk_list": optional_hex(ref.chunk_list),
    }


def desired(message: Desired, name: str | None) -> dict[str, Any]:
    """``name`` None: the first model that the message names, in the order of its keys."""
    if name is None and message.models:
        name = min(message.models, key=lambda key: (len(key.encode()), key.encode()))
    said: dict[str, Any] = {
        "fleet": text(message.fleet),
        "device": text(message.device),
        "generation": message.generation,
        "daily_bytes": message.daily_bytes,
        "named": name in message.models,
        "model_count": len(message.models),
    }
    if name is None or name not in message.models:
        return said
    model = message.models[name]
    return {
        **said,
        "model": text(name),
        "manifest": optional_hex(model.manifest),
        "manifest_bytes": model.manifest_bytes,
        "window_inferences": model.report.window_inferences,
        "interval_ms": model.report.interval_ms,
        "observe_permille": model.report.observe_permille,
        "labels": model.labels,
        "shadow_inferences": model.shadow_inferences,
        "attempt": model.attempt,
        "spread_ms": model.spread_ms,
        "transfers": [
            {"target": transfer.target.hex(), "blob": blob(transfer.blob)}
            for transfer in model.transfers
            if transfer.base is None
        ],
    }


def receipt(message: Receipt, name: str) -> dict[str, Any]:
    return {
        "boot": message.boot,
        "named": name in message.committed,
        "committed": message.committed.get(name, 0),
    }


def contract(message: TensorContract) -> dict[str, Any]:
    return {
        "shape": list(message.shape),
        "dtype": text(message.dtype),
        "scale_mantissa": message.scale_mantissa,
        "scale_exponent": message.scale_exponent,
        "zero_point": message.zero_point,
        "unit": text(message.unit),
    }


def manifest(message: Manifest, runtime: str, target: str) -> dict[str, Any]:
    artifact = message.artifact(runtime, target)
    return {
        "model": text(message.model),
        "version": message.version,
        "security_counter": message.security_counter,
        "min_agent": list(message.min_agent),
        "artifact_count": len(message.artifacts),
        "artifact": artifact
        and {
            "runtime": text(artifact.runtime),
            "target": text(artifact.target),
            "blob": blob(artifact.blob),
            "arena_bytes": artifact.arena_bytes,
        },
        "input": contract(message.input),
        "output": contract(message.output),
        "output_kind": text(message.output_kind),
        "output_kind_number": OUTPUT_KINDS.get(message.output_kind, 0),
        "labels": [text(label) for label in message.labels],
        "preprocessing": [
            {"op": text(step.op), "parameters": list(step.parameters)} for step in message.preprocessing
        ],
        "observe": blob(message.observe),
        "vectors": blob(message.vectors),
        "trial": dataclasses.asdict(message.trial),
        "source": message.source
        and {
            "shape": list(message.source.shape),
            "unit": text(message.source.unit),
            "sample_rate_mhz": message.source.sample_rate_mhz or 0,
        },
        "threshold": message.threshold,
    }


def trust_root(message: TrustRoot) -> dict[str, Any]:
    return {
        "fleet": text(message.fleet),
        "version": message.version,
        "threshold": message.threshold,
        "keys": len(message.keys),
        "roles": len(message.roles),
    }


def feature(message: FeaturePlan) -> dict[str, Any]:
    return {
        "name": text(message.name),
        "edges": list(message.edges),
        "reference": len(message.reference),
        "mean": message.mean,
        "deviation": message.deviation,
    }


def observe_plan(message: ObservePlan) -> dict[str, Any]:
    return {
        "features": [feature(one) for one in message.features],
        "confidence": len(message.confidence),
        "classes": len(message.classes),
        "margin": message.margin and feature(message.margin),
        "fourier": optional_hex(message.fourier),
    }


def self_test(message: SelfTest) -> dict[str, Any]:
    even = len(message.inputs) == len(message.outputs)
    pairs = zip(message.inputs, message.outputs, strict=True) if even else ()
    return {
        "tolerance": message.tolerance,
        "vectors": [[given.hex(), wanted.hex()] for given, wanted in pairs],
        "even": even,
    }


def fields(**values: object) -> list[str]:
    """Values as ``encode`` takes them; those that are None are left out."""
    words = []
    for name, value in values.items():
        if isinstance(value, bool | int):
            words.append(f"{name}={int(value)}")
        elif isinstance(value, str | bytes):
            words.append(f"{name}={(text(value) if isinstance(value, str) else value.hex()) or '-'}")
        else:
            assert value is None, name
    return words


def plain_fields(message: Event | Report, **more: object) -> list[str]:
    values = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    return fields(**{**values, **more})


def state_fields(message: State) -> list[str]:
    """Of a state with at most one model and one runtime."""
    assert len(message.models) <= 1 and len(message.takes) <= 1
    own = {
        field.name: getattr(message, field.name)
        for field in dataclasses.fields(message)
        if field.name not in ("models", "takes")
    }
    words = fields(**own, takes=message.takes[0] if message.takes else None)
    for name, model in message.models.items():
        words += fields(model=name) + model_fields(model)
    return words


def model_fields(model: ModelState) -> list[str]:
    values = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    shadow = values.pop("shadow")
    words = fields(**values)
    if shadow is not None:
        words += [f"shadow.{name}={value}" for name, value in dataclasses.asdict(shadow).items()]
    return words
