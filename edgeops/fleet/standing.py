"""How the fleet stands: read once in a turn, for all rollouts, and compared with how it stood a turn ago."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, select

from edgeops.registry.tables import DesiredState, Device, DeviceModel, Rollout

ASLEEP = frozenset({"COMPLETED", "ABORTED", "ROLLED_BACK"})
"""Rollouts in these states wait for the fleet or a person, never for the time."""


class Standing:
    """Devices, what they said of a model and what is desired of them, as they stood when first asked for.

    It is of one transaction: what a step makes desired is seen by the next turn's.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._said: dict[str, dict[str, DeviceModel]] = {}
        self._marks: dict[str, Hashable] = {}

    @cached_property
    def devices(self) -> list[Device]:
        """The enrolled devices, by id."""
        return list(self._session.exec(select(Device).order_by(Device.id)))

    def said(self, model: str) -> Mapping[str, DeviceModel]:
        """What each device says of a model, in the order of their ids."""
        if model not in self._said:
            query = select(DeviceModel).where(DeviceModel.model == model).order_by(DeviceModel.device_id)
            self._said[model] = {row.device_id: row for row in self._session.exec(query)}
        return self._said[model]

    def wanted(self, model: str) -> Mapping[str, str | None]:
        """The manifest that is desired of each device."""
        return {device_id: models.get(model, {}).get("manifest") for device_id, models in self._desired}

    def mark(self, rollout: Rollout, model: str) -> Hashable | None:
        """What a step of a rollout depends on; None where it depends on the time too, so that it must be taken."""
        if rollout.state not in ASLEEP:
            return None
        query = text(
            "SELECT state, count(*), sum(attempt) FROM deployment WHERE rollout_id = :id GROUP BY state"
        ).bindparams(id=rollout.id)
        counts = tuple(map(tuple, self._session.exec(query)))  # type: ignore[call-overload]
        if rollout.state == "COMPLETED" and any(state == "waiting" for state, *_ in counts):
            return None  # for its hours, its pace or its budget
        if model not in self._marks:
            self._marks[model] = self._mark(model)
        return (rollout.state, counts, self._marks[model])

    @cached_property
    def _desired(self) -> list[tuple[str, Mapping[str, Any]]]:
        return list(self._session.exec(select(DesiredState.device_id, DesiredState.models)))

    def _mark(self, model: str) -> Hashable:
        queries = (
            # as text: a JSON column is only compared
            text("SELECT id, attributes, target, runtime, agent, takes FROM device ORDER BY id"),
            text("SELECT id, state, plan FROM rollout ORDER BY id"),
            text("SELECT device_id, generation FROM desired_state ORDER BY device_id"),
            text(
                "SELECT device_id, generation, lifecycle, confirmed, candidate, reason FROM device_model"
                " WHERE model = :model ORDER BY device_id"
            ).bindparams(model=model),
        )
        return hash(
            tuple(tuple(map(tuple, self._session.exec(query))) for query in queries)  # type: ignore[call-overload]
        )
