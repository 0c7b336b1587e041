"""The loop of one agent, with an agent that only says whether it is ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from device_agent.agent import Agent
from device_agent.run import Loop
from device_agent.sources import Input, Source


@dataclass
class Waiting:
    """Stands for an agent: never ready, ``online`` from its third poll on."""

    polls: int = 0
    config: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(device="cam-01"))

    @property
    def online(self) -> bool:
        return self.polls >= 3

    def ready(self) -> bool:
        return False

    def poll(self, timeout: float) -> None:
        self.polls += 1


class Endless(Source):
    def take(self) -> Input:
        raise AssertionError("no input may be taken before there is a model")


def run(source: Source | None) -> list[str]:
    agent, said = Waiting(), list[str]()
    Loop(cast(Agent, agent), source, lambda: agent.polls >= 10, said.append).run()
    return said


def test_an_agent_without_a_model_says_once_what_it_waits_for() -> None:
    assert run(Endless(lambda line: None)) == [
        "cam-01 is online and has no model yet: inputs wait for its first rollout"
    ]


def test_an_agent_without_a_source_waits_for_nothing() -> None:
    assert run(None) == []
