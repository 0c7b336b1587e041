"""The wire's CDDL, whole: which classes stand in ``wire.cddl``, and how that file is made.

``wire.cddl`` is generated: after a change of a field table, write it again with
``python -c "from edgeops.core.schema import wire_cddl; print(wire_cddl(), end='')" > edgeops/core/wire.cddl``.
A test says when that was forgotten.
"""

from __future__ import annotations

from edgeops.core.codec import Message, cddl
from edgeops.core.manifest import Artifact, BlobRef, Manifest, RawContract, Step, TensorContract, Trial
from edgeops.core.messages import WIRE_MESSAGES
from edgeops.core.observe import FeaturePlan, ObservePlan
from edgeops.core.selftest import SelfTest
from edgeops.core.signing import TrustRoot

WIRE_CLASSES: tuple[type[Message], ...] = (
    *WIRE_MESSAGES,
    TrustRoot,
    BlobRef,
    Artifact,
    TensorContract,
    RawContract,
    Step,
    Trial,
    Manifest,
    FeaturePlan,
    ObservePlan,
    SelfTest,
)

_HEAD = """\
; EdgeOps on the wire, version 1: one rule a message (RFC 8610).
; Generated from the field tables in edgeops/core by edgeops.core.schema; do not edit.
; Deterministic encoding (RFC 8949 section 4.2.1), integer keys, no floats, no tags.

"""


def wire_cddl() -> str:
    """The text of ``edgeops/core/wire.cddl``."""
    return _HEAD + cddl(list(WIRE_CLASSES))
