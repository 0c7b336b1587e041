"""``python -m device_agent``: as a person or a script meets it, in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.packages import FLEET, KEYS, LABELS, MODEL, TEN_A_WINDOW, TFLITE, TRIAL, build, enrol, image

from device_agent.__main__ import main
from edgeops.core import topics
from edgeops.core.codec import decode, encode
from edgeops.core.messages import Desired, DesiredModel, Report
from edgeops.core.signing import Role, sign
from edgeops.core.topics import Kind
from edgeops.core.transport import Received
from edgeops.mqtt import MqttTransport

ROOT = Path(__file__).parents[2]
PACKAGE = build()


def run(*arguments: str | Path, feed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "device_agent", *map(str, arguments)],
        input=feed,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def configure(folder: Path, broker: str, device: str = "cam-01", **other: object) -> Path:
    enrol(folder, device)
    values = {"fleet": FLEET, "device": device, "broker": broker, **other}
    path = folder / "agent.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return path


# -- errors: what happened, last a line how to mend it, and the exit code


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "--config", "nowhere.toml"], 2, "nowhere.toml: no such file"),
        (["run", "--config", "good.toml", "--source", "camera"], 2, "source 'camera' is none that is known"),
        (["run", "--config", "good.toml", "--source", "replay:nowhere"], 4, "no replay folder"),
        (["run", "--config", "odd.toml"], 2, "unknown key 'borker'; did you mean 'broker'?"),
        (["simulate", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (["doctor", "--model", "nowhere.tflite"], 4, "nowhere.tflite"),
    ],
)
def test_an_error_is_one_line_then_its_fix(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(configure(tmp_path, "mqtt://127.0.0.1:1").read_text())
    (tmp_path / "odd.toml").write_text('fleet = "x"\nborker = "y"\n')
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert main(arguments) == code
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert out == ""
    assert lines[-2].startswith("error: ")
    assert says in lines[-2]
    assert lines[-1].startswith("Fix: ")


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--config", "x", "--inputs", "0"], ["fly"], []], ids=" ".join
)
def test_a_wrong_flag_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_an_unexpected_error_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(model: bytes | None) -> list[object]:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("device_agent.doctor.examine", broken)
    assert main(["doctor"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "error: unexpected ZeroDivisionError: by chance"
    assert err[-1].startswith("Fix: python -m device_agent --debug doctor")
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "doctor"])


# -- doctor


@pytest.mark.filterwarnings("ignore")
def test_the_doctor_proves_an_interpreter_with_a_tensor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from device_agent import doctor, inference

    monkeypatch.setattr(doctor, "RUNTIMES", inference.RUNTIMES[:2])  # TensorFlow takes seconds to load
    (tmp_path / "model.tflite").write_bytes(TFLITE)
    assert main(["doctor", "--model", str(tmp_path / "model.tflite"), "--json"]) == 0
    litert = json.loads(capsys.readouterr().out)[0]
    assert (litert["runtime"], litert["state"]) == ("ai_edge_litert", "OK")
    assert litert["detail"].endswith("round trip int8 [8, 8, 1] -> [5]")
    assert main(["doctor"]) == 0
    assert "no model at hand" in capsys.readouterr().out
    (tmp_path / "model.tflite").write_bytes(b"junk")
    assert main(["doctor", "--model", str(tmp_path / "model.tflite")]) == 3
    out, err = capsys.readouterr()
    assert "FAIL" in out
    assert err.splitlines()[-1] == 'Fix: pip install "edgeops[agent]"'


# -- with a real broker


@dataclass
class Broker:
    url: str
    transport: MqttTransport

    def roll_out(self, device: str = "cam-01") -> None:
        """Publish the package, and a desired state that names it."""
        for chunk, data in PACKAGE.chunks.items():
            self.transport.publish(topics.chunk(FLEET, *chunk), data, retain=True)
        model = DesiredModel(PACKAGE.digest, len(PACKAGE.envelope), TEN_A_WINDOW, None, True)
        envelope = sign(encode(Desired(FLEET, device, 1, {MODEL: model})), "desired", [KEYS[Role.DEPLOY]])
        self.transport.publish(topics.device(FLEET, device, Kind.DESIRED), envelope, retain=True)

    def reports(self, count: int, within_s: float = 10.0) -> list[Report]:
        """The reports of the fleet, once so many have come."""
        found: list[Report] = []
        deadline = time.monotonic() + within_s
        while len(found) < count and time.monotonic() < deadline:
            incoming = self.transport.receive(0.1)
            if isinstance(incoming, Received):
                found.append(decode(Report, incoming.payload))
        return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    from conftest import find_mosquitto

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen(
        [find_mosquitto() or "mosquitto", "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL
    )
    url = f"mqtt://127.0.0.1:{port}"
    transport = MqttTransport(url, "control")
    try:
        transport.connect(10.0)
        transport.subscribe(topics.every_device(FLEET, Kind.REPORT))
        yield Broker(url, transport)
    finally:
        transport.close()
        process.terminate()
        process.wait(10)


def field(folder: Path, images: int = 30) -> Path:
    folder.mkdir()
    np.save(folder / "inputs.npy", np.stack([image(seed) for seed in range(images)]))
    np.save(folder / "targets.npy", np.arange(images) % len(LABELS))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    return folder


@pytest.mark.needs_mosquitto
def test_a_run_waits_for_its_model_then_prints_a_line_a_prediction(tmp_path: Path, broker: Broker) -> None:
    config = configure(tmp_path / "cam-01", broker.url)
    broker.roll_out()
    lines = [{"x": image(0).tolist(), "label": "two"}, "broken", {"x": [1]}, image(1).tolist()]
    feed = "\n".join(json.dumps(line) for line in lines) + "\n"
    done = run("run", "--config", config, "--source", "stdin", "--predictions", feed=feed.encode())
    assert done.returncode == 0, done.stderr
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(prediction) for prediction in predictions] == [
        ["label", "confidence", "id", "model_version"]
    ] * 2
    said = done.stderr.decode()
    assert "error: line 2: an input is an array" in said
    assert "error: input 2: the input has shape (1,)" in said
    assert said.splitlines()[-1] == "2 predictions, 1 inputs refused, 1 unreadable"


@pytest.mark.needs_mosquitto
def test_a_run_ends_after_so_many_inputs_and_has_reported_them(tmp_path: Path, broker: Broker) -> None:
    config = configure(tmp_path / "cam-01", broker.url, source=f"replay:{field(tmp_path / 'field')}")
    broker.roll_out()
    done = run("run", "--config", config, "--inputs", "25")
    assert (done.returncode, done.stdout) == (0, b"")
    reports = broker.reports(3)
    assert [(report.trial, report.counters.inferences) for report in reports] == [
        (True, TRIAL.inferences),
        (False, 10),
        (False, 10),
    ]


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_closes_the_agent_cleanly(
    tmp_path: Path, broker: Broker, sent: signal.Signals, code: int
) -> None:
    source = f"replay:{field(tmp_path / 'field')}"
    config = configure(tmp_path / "cam-01", broker.url, interval_ms=5, source=source)
    broker.roll_out()
    process = subprocess.Popen(
        [sys.executable, "-m", "device_agent", "run", "--config", str(config), "--predictions"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(sent)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    assert b"Traceback" not in err
    total = 3 + len(out.splitlines())
    assert sum(report.counters.inferences for report in broker.reports(1 + total // 10)) == total


@pytest.mark.needs_mosquitto
def test_a_reader_that_goes_away_ends_the_run_quietly(tmp_path: Path, broker: Broker) -> None:
    config = configure(tmp_path / "cam-01", broker.url, source=f"replay:{field(tmp_path / 'field')}")
    broker.roll_out()
    command = f"{sys.executable} -m device_agent run --config {config} --predictions | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, cwd=ROOT, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.needs_mosquitto
def test_an_agent_that_starts_without_a_broker_finds_it_later_and_predicts_meanwhile(
    tmp_path: Path, broker: Broker
) -> None:
    folder = field(tmp_path / "field")
    config = configure(tmp_path / "cam-01", broker.url, source=f"replay:{folder}", interval_ms=20)
    broker.roll_out()
    assert run("run", "--config", config, "--inputs", "10").returncode == 0
    config.write_text(config.read_text().replace(broker.url, "mqtt://127.0.0.1:1"))
    done = run("run", "--config", config, "--inputs", "100")
    assert done.returncode == 0
    assert b"offline: no MQTT broker answered" in done.stderr
    assert b"100 predictions" in done.stderr
    broker.reports(2)
    config.write_text(config.read_text().replace("mqtt://127.0.0.1:1", broker.url))
    assert run("run", "--config", config, "--inputs", "1").returncode == 0
    came = broker.reports(13)  # two that no receipt covered, ten that waited on disk, and the last
    assert sorted(report.counters.inferences for report in came) == [1, 5, 5, *[10] * 10]


@pytest.mark.needs_mosquitto
def test_a_simulation_runs_real_agents_and_writes_its_ledger(tmp_path: Path, broker: Broker) -> None:
    field(tmp_path / "field")
    entries = []
    for name in ("cam-01", "cam-02", "cam-03"):
        configure(tmp_path / name, broker.url, name)
        broker.roll_out(name)
        entries.append(f'[[device]]\nagent = "{name}/agent.toml"\nsite = "north"\ndrifts = true\n')
    plan = tmp_path / "simulate.toml"
    head = 'seed = 7\ninterval_ms = 4\nfield = "field"\ndrift_after_windows = 2\n'
    plan.write_text(head + "".join(entries))
    process = subprocess.Popen(
        [sys.executable, "-m", "device_agent", "simulate", "--config", str(plan), "--shard", "1/2"],
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    broker.reports(16, within_s=20.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"2 agents started" in err.splitlines()  # an agent may have news before the last has started
    ledger = (tmp_path / "ledger" / "shard-1-of-2.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in ledger]
    assert {line["device"] for line in lines} == {"cam-01", "cam-03"}
    for device in ("cam-01", "cam-03"):
        drifted = [line["drifted"] for line in lines if line["device"] == device]
        assert drifted[:3] == [False] * 3  # the trial's window, and two whole ones
        assert all(drifted[3:])
        assert len(drifted) > 4
