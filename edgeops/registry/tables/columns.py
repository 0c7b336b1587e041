"""Columns that tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field


def json_map() -> Any:
    """A mapping, empty where nothing is said."""
    return Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


def json_list() -> Any:
    """A list, empty where nothing is said."""
    return Field(default_factory=list, sa_column=Column(JSON, nullable=False))
