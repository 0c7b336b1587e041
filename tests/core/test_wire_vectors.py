"""The vectors in ``tests/vectors/wire`` judge every language; this is Python before them."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeops.core import messages
from edgeops.core.codec import decode, encode
from edgeops.core.counter_block import pack_counters, unpack_counters
from edgeops.core.errors import WireError
from edgeops.core.input_features import FEATURES, extract
from edgeops.core.messages import PredictionId
from edgeops.core.observe import ObservePlan
from edgeops.core.window import Window

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / "wire" / f"{name}.json").read_text())


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_wire", VECTORS / "generate_wire.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_current() -> None:
    made = generator()
    for name, document in made.documents().items():
        assert (VECTORS / "wire" / f"{name}.json").read_text() == made.render(document), name


@pytest.mark.parametrize("case", load("messages"), ids=lambda case: case["message"])
def test_a_message_is_read_and_written_to_the_byte(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["hex"])
    message = decode(getattr(messages, case["message"]), raw)
    assert encode(message) == raw
    assert generator().plain(message) == case["fields"]


@pytest.mark.parametrize("case", load("prediction_ids"), ids=lambda case: case["hex"][:8])
def test_a_prediction_id_is_read_and_written_to_the_byte(case: dict[str, Any]) -> None:
    fields = {**case["fields"], "model": bytes.fromhex(case["fields"]["model"])}
    assert PredictionId(**fields).pack().hex() == case["hex"]
    assert PredictionId.unpack(bytes.fromhex(case["hex"])) == PredictionId(**fields)


@pytest.mark.parametrize("raw", [b"", bytes(19), bytes(21), bytes(19) + b"\x10"], ids=len)
def test_what_is_no_prediction_id(raw: bytes) -> None:
    with pytest.raises(WireError):
        PredictionId.unpack(raw)


@pytest.mark.parametrize("case", load("counters"), ids=lambda case: str(case["shape"]))
def test_the_same_inputs_give_the_same_counters(case: dict[str, Any]) -> None:
    plan = decode(ObservePlan, bytes.fromhex(case["plan"]))
    inputs = np.frombuffer(base64.b64decode(case["inputs"]), np.int8).reshape(-1, *case["shape"])
    assert extract(FEATURES, inputs).tolist() == case["features"]
    window = Window(plan)
    for image, prediction, scores in zip(inputs, case["predictions"], case["scores"], strict=True):
        window.count_input(image)
        window.count_prediction(*prediction, scores)
    counters = window.counters()
    assert generator().plain(counters) == case["counters"]
    assert pack_counters(counters).hex() == case["block"]
    assert unpack_counters(bytes.fromhex(case["block"])) == counters
