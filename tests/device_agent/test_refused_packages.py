"""A package that may not or cannot run on a device is refused with its reason, and the confirmed model goes on."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import (
    LABELS,
    MODEL,
    TFLITE,
    Bench,
    Package,
    build,
    enrol,
    key,
    observe_plan,
    poll_until_quiet,
    self_test,
)
from support.updated_agent import FIRST, confirmed, model_of, refused_as, take

from device_agent import slots
from device_agent.config import load_config
from device_agent.running_model import unresolved_operators
from edgeops.core.errors import ConfigError
from edgeops.core.manifest import Manifest, Step
from edgeops.core.observe import FeaturePlan

# -- what is refused


def test_a_manifest_with_a_wrong_signature_is_rejected(bench: Bench) -> None:
    reason = refused_as(bench, confirmed(bench), build(5, keys=[key("somebody")]), "REJECTED")
    assert "manifest is signed by 0 of the release keys where 1 are needed" in reason


def test_a_security_counter_that_is_too_low_is_rejected_with_both_numbers(bench: Bench) -> None:
    agent = confirmed(bench, build_and_publish(bench, security_counter=7))
    bench.control.publish(low := build(2, security_counter=6))
    bench.control.desire(low)
    poll_until_quiet(agent)
    event = bench.control.events()[-1]
    assert (event.target, event.reason) == ("REJECTED", "security counter 6 is below 7")


def build_and_publish(bench: Bench, **options):
    package = build(**options)
    bench.control.publish(package)
    return package


def changed(**fields: object) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(manifest, **fields)  # type: ignore[arg-type]


def no_artifact(manifest: Manifest) -> Manifest:
    return replace(manifest, artifacts=tuple(replace(a, target="m4") for a in manifest.artifacts))


def other_scale(manifest: Manifest) -> Manifest:
    return replace(manifest, input=replace(manifest.input, zero_point=9))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"change": changed(min_agent=(9, 0, 0))}, "agent version 9.0.0 is needed, this is 0.1.0"),
        ({"change": no_artifact}, "this device takes tflite for linux; the version has tflite for m4"),
        ({"change": changed(model="other")}, "the manifest is of model 'other'"),
        ({"change": changed(labels=LABELS[:3])}, "3 labels for 5 outputs"),
        ({"change": changed(preprocessing=(Step("fft", ()),))}, "preprocessing step 'fft' is not known"),
        ({"change": other_scale}, "the model's input is"),
        ({"plan": replace(observe_plan(), classes=(1, 1))}, "2 counted classes for 5 outputs"),
        (
            {"plan": replace(observe_plan(), features=(FeaturePlan("hue", (0,) * 11, (0,) * 12, 0, 0),))},
            "feature 'hue' is not known",
        ),
        (
            {"plan": replace(observe_plan(), features=(FeaturePlan("level", (0,), (0,) * 12, 0, 0),))},
            "1 bin edges",
        ),
        ({"vectors": self_test(flip=True)}, "self-test vector 0"),
        ({"vectors": replace(self_test(), inputs=())}, "0 self-test inputs and 4 outputs"),
        ({"vectors": replace(self_test(), inputs=(b"x",) * 4)}, "1 values for shape"),
        ({"tflite": b"not a model at all"}, "TFL3"),
    ],
)
def test_a_package_that_cannot_run_here_is_rejected_with_its_reason(
    bench: Bench, options: dict, says: str
) -> None:
    package = build(5, **options)
    agent = confirmed(bench)
    bench.control.publish(package)
    bench.control.desire(None)
    desired = replace(package, manifest=replace(package.manifest, model=MODEL))
    assert says in refused_as(bench, agent, desired, "REJECTED")


def test_what_was_rejected_is_not_tried_again(bench: Bench) -> None:
    agent = confirmed(bench)
    bad = build(5, keys=[key("somebody")])
    refused_as(bench, agent, bad, "REJECTED")
    bench.control.forget()
    bench.control.desire(bad)
    poll_until_quiet(agent)
    bench.wait(agent, 7200)
    assert bench.control.steps() == []


def test_a_blob_that_the_disk_has_no_room_for_is_rejected(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = confirmed(bench)
    monkeypatch.setattr(slots.SlotStore, "free_bytes", lambda self: 100)
    assert "bytes of disk are needed, 100 are free" in refused_as(bench, agent, build(5), "REJECTED")


# -- what a device cannot take


def reason_of(bench: Bench, package: Package) -> str:
    """Why an agent that runs the first version rejects this one."""
    agent = confirmed(bench)
    take(bench, agent, package)
    assert (model_of(bench).lifecycle, model_of(bench).confirmed) == ("REJECTED", FIRST.digest)
    return model_of(bench).reason or ""


def artifacts(**fields: object) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(
        manifest, artifacts=tuple(replace(one, **fields) for one in manifest.artifacts)
    )


def test_a_model_that_needs_more_arena_is_rejected_with_both_numbers(tmp_path: Path) -> None:
    bench = Bench(enrol(tmp_path, arena_bytes=16_384))
    reason = reason_of(bench, build(2, change=artifacts(arena_bytes=22_868)))
    assert reason == "22868 bytes of arena are needed, 16384 are there"
    take(bench, agent := bench.start(), build(3, change=artifacts(arena_bytes=16_384)))
    del agent
    assert model_of(bench).lifecycle == "TRIAL"


def test_without_a_limit_any_arena_will_do(bench: Bench) -> None:
    take(bench, agent := confirmed(bench), build(2, change=artifacts(arena_bytes=2**31)))
    assert agent.ready() and model_of(bench).lifecycle == "TRIAL"


@pytest.mark.parametrize(
    ("fields", "has"),
    [({"target": "cortex-m4"}, "tflite for cortex-m4"), ({"runtime": "plan"}, "plan for linux")],
    ids=str,
)
def test_a_version_without_an_artifact_for_the_device_says_what_it_has(
    bench: Bench, fields: dict[str, str], has: str
) -> None:
    reason = reason_of(bench, build(2, change=artifacts(**fields)))
    assert reason == f"this device takes tflite for linux; the version has {has}"


def test_an_operator_that_the_interpreter_does_not_have_is_named(bench: Bench) -> None:
    reason = reason_of(bench, build(2, tflite=with_builtin(180)))
    assert reason.startswith("operators that ") and reason.endswith("does not have: STABLEHLO_LOG version 3")


def with_builtin(code: int) -> bytes:
    """The tiny model with its first operator code replaced."""
    data = bytearray(TFLITE)

    def follow(at: int) -> int:
        return at + struct.unpack_from("<I", data, at)[0]

    def field(table: int, slot: int) -> int:
        vtable = table - struct.unpack_from("<i", data, table)[0]
        return table + struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0]

    first = follow(follow(field(follow(0), 1)) + 4)
    data[field(first, 0)] = 127  # this one, or a higher one
    struct.pack_into("<i", data, field(first, 3), code)
    return bytes(data)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("x: Didn't find op for builtin opcode 'ADD' version '9'. An older", ["ADD version 9"]),
        ("Encountered unresolved custom op: MyOp. See instructions", ["MyOp"]),
        ("Op builtin_code out of range: 250. Are you using old", ["builtin operator 250"]),
        ("tensor 3 is odd", []),
    ],
)
def test_operators_that_are_missing_are_read_from_what_the_library_says(
    message: str, names: list[str]
) -> None:
    assert unresolved_operators(message) == names


def test_a_device_says_what_it_takes_and_what_it_runs(bench: Bench) -> None:
    agent = confirmed(bench)
    agent.close()
    assert bench.control.state().takes == ("tflite",)
    assert model_of(bench).artifact == FIRST.manifest.artifacts[0].blob.sha256


@pytest.mark.parametrize(
    ("line", "says"), [("-1", "is below 0"), ('"16k"', "is not int"), ("true", "is not int")]
)
def test_an_arena_that_is_none_is_refused_where_it_is_written(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "agent.toml"
    text = 'fleet = "a"\ndevice = "b"\nbroker = "mqtt://127.0.0.1"\n'
    path.write_text(f"{text}arena_bytes = {line}\n")
    with pytest.raises(ConfigError, match=says):
        load_config(path)
    path.write_text(f"{text}arena_bytes = 16384\n")
    assert load_config(path).arena_bytes == 16_384
