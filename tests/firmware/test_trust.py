"""Whom the firmware believes: the same roots, documents and signatures as Python, and nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from firmware import messages
from firmware.line_tool import LineTool, hexed, make, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeops.core.codec import decode
from edgeops.core.errors import TrustError
from edgeops.core.manifest import Manifest, open_manifest
from edgeops.core.messages import Desired
from edgeops.core.signing import Role, TrustRoot, accept_first_root, unverified_payload, verify

VECTORS = Path(__file__).parents[1] / "vectors"
TARGET = "cortex-m4"


def load(name: str, folder: str = "trust") -> list[Any]:
    return list(json.loads((VECTORS / folder / f"{name}.json").read_text()))


ROOTS = {root["name"]: root for root in load("roots")}
FIRST = str(ROOTS["first"]["envelope"])
ROOT = accept_first_root(bytes.fromhex(FIRST))
TWICE = str(ROOTS["threshold_of_two_by_two"]["envelope"])


@pytest.fixture(scope="module")
def tool(host_build: Path) -> Iterator[LineTool]:
    """The trust functions, with the sanitizers."""
    with running(make("build/sanitized/run_trust", "SANITIZE=1")) as started:
        yield started


@pytest.mark.parametrize("name", ["generate_trust", "generate_signatures"])
def test_the_vectors_are_current(name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, VECTORS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    for file, document in made.files().items():
        assert (made.FOLDER / f"{file}.json").read_text() == made.render(document), file


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 1000])
def test_sha256(tool: LineTool, size: int) -> None:
    raw = bytes(range(256))[:size] * (1 if size <= 256 else 4)
    assert tool.ask("sha256", hexed(raw))["digest"] == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("case", load("ed25519", "signatures"), ids=lambda case: case["name"])
def test_a_signature_is_taken_where_python_takes_it(tool: LineTool, case: dict[str, Any]) -> None:
    """But for those that only a check with the cofactor takes: Monocypher's is one, OpenSSL's is not. RFC 8032 allows
    both; to make such a signature takes the private key or an odd key in the trust root."""
    message = case["message"] or "-"
    for cut in (0, len(case["message"]) // 4):
        said = tool.ask("ed25519", case["signature"], case["public_key"], message, cut)
        assert (said["status"] == "OK") == (case["accepted"] or case["cofactor"])
    assert not (case["accepted"] and case["cofactor"])


def test_every_flipped_bit_of_a_signature_is_noticed(tool: LineTool) -> None:
    case = next(case for case in load("ed25519", "signatures") if case["name"] == "good")
    for of, rest in (("signature", ("public_key", "message")), ("public_key", ("signature", "message"))):
        raw = bytes.fromhex(case[of])
        for bit in range(0, 8 * len(raw), 3):
            flipped = raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
            words = {of: flipped.hex(), **{name: case[name] for name in rest}}
            said = tool.ask("ed25519", words["signature"], words["public_key"], words["message"])
            assert said["status"] == "SIGNATURE", (of, bit)


@pytest.mark.parametrize("root", ROOTS.values(), ids=lambda root: root["name"])
def test_a_root_is_taken_where_python_takes_it(tool: LineTool, root: dict[str, Any]) -> None:
    first = tool.ask("first", root["envelope"])
    following = tool.ask("next", FIRST, root["envelope"])
    assert (first["status"] == "OK") == root["first"]
    assert (following["status"] in ("OK", "AGAIN")) == root["next"]
    read = decode(TrustRoot, unverified_payload(bytes.fromhex(root["envelope"])))
    if root["next"]:
        assert following == {"status": "AGAIN" if read == ROOT else "OK", **messages.trust_root(read)}
    if root["first"]:
        assert first == {"status": "OK", **messages.trust_root(read)}


def test_what_a_refused_root_is_refused_for(tool: LineTool) -> None:
    def why(name: str) -> str:
        return str(tool.ask("next", FIRST, ROOTS[name]["envelope"])["status"])

    assert why("second_by_the_old_keys_only") == why("second_by_the_new_keys_only") == "SIGNATURE"
    assert why("version_left_out") == why("another_fleet") == why("same_version_other_keys") == "ROLLBACK"
    assert tool.ask("next", ROOTS["second"]["envelope"], FIRST)["status"] == "ROLLBACK"
    assert tool.ask("first", "d862")["status"] == "MALFORMED"


@pytest.mark.parametrize("case", load("documents"), ids=lambda case: case["name"])
def test_a_document_is_taken_where_python_takes_it(tool: LineTool, case: dict[str, Any]) -> None:
    envelope = bytes.fromhex(case["envelope"])
    said = tool.ask("verify", FIRST, hexed(envelope), "manifest", "release")
    assert (said["status"] == "OK") == case["accepted"]
    if case["accepted"]:
        assert said["payload"] == verify(envelope, "manifest", Role.RELEASE, ROOT).hex()
    two = tool.ask("verify", TWICE, hexed(envelope), "manifest", "release")
    assert (two["status"] == "OK") == case["by_two"]
    digest = hashlib.sha256(envelope).hexdigest()
    opened = tool.ask("manifest", FIRST, hexed(envelope), digest, "plan", TARGET)
    assert (opened["status"] == "OK") == case["manifest"]
    if case["accepted"] and not case["manifest"]:
        assert opened["status"] == "RANGE"


def test_a_signature_is_for_one_purpose_and_one_role(tool: LineTool) -> None:
    manifest = load("manifests")[0]["envelope"]
    desired = load("desired")[0]["envelope"]
    assert tool.ask("verify", FIRST, manifest, "manifest", "release")["status"] == "OK"
    assert tool.ask("verify", FIRST, manifest, "manifest", "deploy")["status"] == "SIGNATURE"
    assert tool.ask("verify", FIRST, manifest, "manifest", "root")["status"] == "SIGNATURE"
    assert tool.ask("verify", FIRST, manifest, "desired", "release")["status"] == "SIGNATURE"
    assert tool.ask("verify", FIRST, desired, "desired", "deploy")["status"] == "OK"
    assert tool.ask("verify", FIRST, desired, "manifest", "deploy")["status"] == "SIGNATURE"
    assert tool.ask("verify", FIRST, desired, "much_too_long", "deploy")["status"] == "ARGUMENT"


@pytest.mark.parametrize("case", load("manifests"), ids=lambda case: case["payload"][4:20])
def test_a_manifest_is_opened_and_read_as_python_does(tool: LineTool, case: dict[str, Any]) -> None:
    envelope = bytes.fromhex(case["envelope"])
    digest = hashlib.sha256(envelope).digest()
    read = open_manifest(envelope, digest, ROOT)
    for runtime, target in (("plan", TARGET), ("plan", "cortex-m7"), ("tflite", "linux"), ("other", "any")):
        said = tool.ask("manifest", FIRST, hexed(envelope), digest.hex(), runtime, target)
        assert said == {"status": "OK", **messages.manifest(read, runtime, target)}
    said = tool.ask("manifest", FIRST, hexed(envelope), bytes(32).hex(), "plan", TARGET)
    assert said["status"] == "DIGEST"
    assert messages.manifest(read, "plan", TARGET)["model"]
    assert decode(Manifest, bytes.fromhex(case["payload"])) == read


@pytest.mark.parametrize("case", load("desired"), ids=lambda case: case["payload"][:20])
def test_a_desired_state_is_opened_and_read_as_python_does(tool: LineTool, case: dict[str, Any]) -> None:
    envelope = bytes.fromhex(case["envelope"])
    read = decode(Desired, verify(envelope, "desired", Role.DEPLOY, ROOT))
    for model in ("digits", "words", "none"):
        said = tool.ask("desired", FIRST, hexed(envelope), model)
        assert said == {"status": "OK", **messages.desired(read, model)}


def test_every_truncation_is_refused(tool: LineTool) -> None:
    """Within the envelope's frame; the payload and signatures are long stretches of the same."""
    for name in ("first", "second"):
        envelope = bytes.fromhex(ROOTS[name]["envelope"])
        for size in range(len(envelope)):
            for command in (["open"], ["next", FIRST]):
                assert tool.ask(*command, hexed(envelope[:size]))["status"] == "MALFORMED", size


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_envelope_is_judged_as_python_judges_it(tool: LineTool, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([case for case in load("documents") if case["accepted"]]))
    raw = bytearray.fromhex(case["envelope"])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        change = data.draw(st.sampled_from(["set", "drop", "insert"]))
        if change == "set":
            raw[at] = data.draw(st.integers(0, 255))
        elif change == "drop" and len(raw) > 1:
            del raw[at]
        else:
            raw.insert(at, data.draw(st.integers(0, 255)))
    said = tool.ask("verify", FIRST, hexed(bytes(raw)), "manifest", "release")
    try:
        payload = verify(bytes(raw), "manifest", Role.RELEASE, ROOT)
    except TrustError:
        assert said["status"] in ("MALFORMED", "SIGNATURE")
    else:
        assert said == {"status": "OK", "payload": payload.hex()}
