"""The lock that says that a retrain is being carried out in a workspace; it ends with its process."""

from __future__ import annotations

from contextlib import AbstractContextManager

from edgeops.control.workspace import Workspace
from edgeops.files import exclusive


def retrain_lock(workspace: Workspace) -> AbstractContextManager[None]:
    """Hold it while training; raises ``UsageError`` when another process does."""
    return exclusive(workspace.root / "retrain.lock", "edgeops retrain")
