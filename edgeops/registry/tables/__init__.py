"""Every table of the registry, a file each part; a change needs a migration in ``migrations/versions``.

A test compares the two.
"""

from edgeops.registry.tables.devices import DesiredState, Device, DeviceEvent, DeviceModel
from edgeops.registry.tables.drift import Alert, AlertDevice, LearnedReference
from edgeops.registry.tables.facts import Fact, IngestCount
from edgeops.registry.tables.lineage import DatasetVersion, ModelVersion, Retrain, Run
from edgeops.registry.tables.reports import CapturedSample, HeldLabel, LabelTruth, ReceiptState, ReportWindow
from edgeops.registry.tables.rollouts import (
    AuditEntry,
    BlobPublication,
    Deployment,
    GateEvidence,
    Patch,
    Rollout,
)

__all__ = [
    "Alert",
    "AlertDevice",
    "AuditEntry",
    "BlobPublication",
    "CapturedSample",
    "DatasetVersion",
    "Deployment",
    "DesiredState",
    "Device",
    "DeviceEvent",
    "DeviceModel",
    "Fact",
    "GateEvidence",
    "HeldLabel",
    "IngestCount",
    "LabelTruth",
    "LearnedReference",
    "ModelVersion",
    "Patch",
    "ReceiptState",
    "ReportWindow",
    "Retrain",
    "Rollout",
    "Run",
]
