"""``python -m device_agent``: run one agent, simulate several, or look at what is installed.

Imports nothing but the standard library until a command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_agent.agent import Prediction

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors end in a line ``Fix: …`` on stderr."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the predictions has gone; nothing more may be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if options.debug:
            raise
        return _report(error, options.name)


class Stop:
    """Set by SIGTERM and Ctrl-C; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    @property
    def status(self) -> int:
        """The exit code: 130 after Ctrl-C, else 0."""
        return INTERRUPTED if self.signal == signal.SIGINT else 0

    def _take(self, number: int, frame: object) -> None:
        del frame
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(options: argparse.Namespace) -> int:
    stop = Stop()
    from device_agent.agent import Agent
    from device_agent.config import load_config
    from device_agent.run import Loop, as_line
    from device_agent.sources import open_source
    from edgeops.files import exclusive

    config = load_config(options.config)
    spec = options.source or config.source
    source = open_source(spec, _say) if spec else None
    if source is None:
        _say("no source of inputs: following the desired state only")

    def emit(prediction: Prediction) -> None:
        if options.predictions:
            print(as_line(prediction), flush=True)

    try:
        config.data.mkdir(parents=True, exist_ok=True)
        with exclusive(config.data / "agent.lock", "agent of this device"), Agent(config, log=_say) as agent:
            loop = Loop(agent, source, stop, _say, emit, options.inputs, config.interval_ms / 1000)
            loop.run()
    finally:
        if source is not None:
            source.close()
    broken = source.broken if source is not None else 0
    _say(f"{loop.predicted} predictions, {loop.refused} inputs refused, {broken} unreadable")
    return stop.status


def _simulate(options: argparse.Namespace) -> int:
    stop = Stop()
    from device_agent.simulate import simulate
    from device_agent.simulate_config import load_plan, parse_shard

    simulate(load_plan(options.config), parse_shard(options.shard), stopped=stop, log=_say)
    return stop.status


def _doctor(options: argparse.Namespace) -> int:
    from device_agent.config import load_config
    from device_agent.doctor import examine, find_model, read_model
    from edgeops.core.errors import CheckFailed

    model = read_model(options.model) if options.model else None
    if model is None and options.config:
        model = find_model(load_config(options.config).data)
    findings = examine(model)
    if options.json:
        print(json.dumps([finding.as_dict() for finding in findings]))
    else:
        for finding in findings:
            print(f"{finding.runtime:<16} {finding.state:<6} {finding.detail}")
    if not any(finding.state in ("OK", "WARN") for finding in findings):
        raise CheckFailed("no interpreter works here", fix='pip install "edgeops[agent]"')
    return 0


def _bench(options: argparse.Namespace) -> int:
    from device_agent.bench import as_dict, lines, measure

    costs = measure(options.model, options.rounds, options.inferences)
    if options.json:
        print(json.dumps(as_dict(costs)))
    else:
        print("\n".join(lines(costs)))
    return 0


def _report(error: Exception, command: str) -> int:
    from edgeops.core.errors import EdgeOpsError, UsageError, exit_code_of

    fix = f"python -m device_agent --debug {command} … shows where it happened"
    if isinstance(error, EdgeOpsError):
        _say(f"error: {error.message}")
        usage = f"python -m device_agent {command} --help"
        fix = error.fix or (usage if isinstance(error, UsageError) else fix)
    else:
        _say(f"error: unexpected {type(error).__name__}: {error}")
    _say(f"Fix: {fix}")
    return int(exit_code_of(error))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m device_agent")
    _described(parser, "The EdgeOps agent: it updates, infers, counts and reports.", _EXAMPLES[""])
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one agent")
    _described(run, "Run one agent: follow its desired state, infer on a source, report.", _EXAMPLES["run"])
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="agent.toml")
    run.add_argument(
        "--source", metavar="SPEC", help="replay:FOLDER, stdin, mqtt://host:port/topic or module:callable"
    )
    run.add_argument("--inputs", type=_count, metavar="N", help="end after N inputs")
    run.add_argument("--predictions", action="store_true", help="print one JSON line per prediction")
    run.set_defaults(command=_run)

    simulation = commands.add_parser("simulate", help="run several agents with simulated cameras")
    _described(simulation, "Run several agents in one process on a simulated world.", _EXAMPLES["simulate"])
    simulation.add_argument("--config", type=Path, required=True, metavar="FILE", help="simulate.toml")
    simulation.add_argument("--shard", default="1/1", metavar="K/N", help="every N-th device, from the K-th")
    simulation.set_defaults(command=_simulate)

    doctor = commands.add_parser("doctor", help="say which interpreters work here")
    _described(doctor, "Say which interpreters are installed and work.", _EXAMPLES["doctor"])
    doctor.add_argument("--config", type=Path, metavar="FILE", help="agent.toml, to try its model")
    doctor.add_argument("--model", type=Path, metavar="FILE", help="a .tflite file to try")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    doctor.set_defaults(command=_doctor)

    bench = commands.add_parser("bench", help="say what counting costs here")
    _described(bench, "Measure what counting costs beside a bare interpreter call.", _EXAMPLES["bench"])
    bench.add_argument("--model", type=Path, required=True, metavar="FILE", help="an int8 .tflite file")
    bench.add_argument("--rounds", type=_count, default=500, metavar="N", help="rounds of 32 calls")
    bench.add_argument(
        "--inferences", type=_count, default=100_000, metavar="N", help="over so many memory must not grow"
    )
    bench.add_argument("--json", action="store_true", help="print one JSON document")
    bench.set_defaults(command=_bench)
    return parser


_EXAMPLES = {
    "": "python -m device_agent run --config agent.toml --source replay:field",
    "run": "cat inputs.jsonl | python -m device_agent run --config agent.toml --source stdin --predictions",
    "simulate": "python -m device_agent simulate --config simulate.toml --shard 1/2",
    "doctor": "python -m device_agent doctor --config agent.toml",
    "bench": "python -m device_agent bench --model model.tflite",
}


def _described(parser: argparse.ArgumentParser, text: str, example: str) -> None:
    parser.description = text
    parser.epilog = f"Example: {example}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
