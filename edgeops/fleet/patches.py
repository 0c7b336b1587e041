"""Patches that are worth their bytes: made once for a pair of blobs, and what was decided is remembered.

What a patch costs, as a share of the whole blob (``benchmarks/bench_patches.py``; digits of 34,280 and keyword of
49,240 bytes, trained for a few epochs, children that learned from inputs of a sensor that moved):

====================  =======  ========  =======  =======  =======  ========
codec                 digits   digits    digits   keyword  keyword  keyword
                      retrain  frozen    head     retrain  frozen   head
====================  =======  ========  =======  =======  =======  ========
difference            82.3%    1.1%      1.1%     57.1%    3.6%     1.0%
difference, zstd -22  82.5%    1.1%      1.0%     57.5%    3.8%     0.9%
zstd --patch-from     79.5%    0.9%      1.6%     56.8%    5.7%     1.4%
bsdiff4               86.8%    1.5%      1.4%     63.5%    4.0%     1.2%
detools, lzma         82.2%    1.3%      1.4%     58.6%    3.6%     1.2%
detools, heatshrink   97.8%    2.7%      3.1%     75.4%    6.9%     3.0%
zstd alone, no base   83.2%    83.3%     83.4%    60.5%    60.5%    60.5%
====================  =======  ========  =======  =======  =======  ========

``difference`` is at or near the best wherever a patch is worth much, and needs nothing on the device that is not
there. A model that was trained again shares nothing with its parent: what is saved there is what packing alone saves.
"""

from __future__ import annotations

from sqlmodel import Session, col, select

from edgeops.core.errors import NotFoundError, TrustError
from edgeops.core.manifest import BlobRef, blob_ref
from edgeops.core.patches import make_patch
from edgeops.registry.artifacts import choose, forms_of
from edgeops.registry.blobs import BlobStore
from edgeops.registry.tables import Deployment, Device, ModelVersion, Patch, Rollout

CODEC = "difference"
WORTH = 0.9
"""A patch is offered that is shorter than this share of the blob that it saves."""
LONGEST_BYTES = 8 * 1024 * 1024
"""Of longer blobs no patch is made: that takes seconds, in which the control plane would do nothing else."""


def patch_between(session: Session, blobs: BlobStore, base: str, target: str, now: float) -> Patch | None:
    """The row of the patch from one blob to another (digests in hexadecimal), made now where it is not known yet.

    Its ``sha256`` is None where no patch is worth its bytes. None when the store does not hold both, which may change.
    """
    row = session.get(Patch, (base, target))
    if row is not None and (row.sha256 is None or _stands(blobs, row.sha256)):
        return row
    try:
        old, new = blobs.get(base), blobs.get(target)
    except (NotFoundError, TrustError):
        return None
    row = row or Patch(base=base, target=target, target_bytes=len(new), created_at=now)
    row.sha256 = None
    if max(len(old), len(new)) <= LONGEST_BYTES and base != target:
        patch = make_patch(CODEC, old, new)
        if len(patch) < WORTH * len(new):
            row.codec, row.bytes = CODEC, len(patch)
            digest = blobs.put(patch)  # which leaves one that was altered as it is
            row.sha256 = digest if _stands(blobs, digest) else None
    session.add(row)
    session.flush()
    return row


def _stands(blobs: BlobStore, sha256: str) -> bool:
    """Whether the store has the patch, unaltered; one that it lost is made anew."""
    try:
        blobs.get(sha256)
    except (NotFoundError, TrustError):
        return False
    return True


def patch_ref(blobs: BlobStore, row: Patch, chunk_bytes: int) -> BlobRef:
    """The reference of a patch that is offered; its chunk list goes into the store. Raises ``NotFoundError``."""
    ref, listing = blob_ref(blobs.get(row.sha256 or ""), chunk_bytes)
    if listing is not None:
        blobs.put(listing)
    return ref


def saved_bytes(session: Session, rollout_id: int) -> int:
    """How many bytes less the devices of a rollout that confirmed its version fetched, thanks to patches.

    By what they ran before; a device whose patch failed, and that fetched the whole blob after all, is counted too.
    """
    rollout = session.get(Rollout, rollout_id)
    version = session.get(ModelVersion, rollout.model_version_id) if rollout else None
    if version is None:
        return 0
    targets = [form.sha256 for form in forms_of(version)]
    made = session.exec(select(Patch).where(col(Patch.target).in_(targets), col(Patch.sha256).is_not(None)))
    saved = {(row.base, row.target): row.target_bytes - row.bytes for row in made}
    if not saved:
        return 0
    query = (
        select(Device, ModelVersion)
        .join(Deployment, col(Deployment.device_id) == col(Device.id))
        .join(ModelVersion, col(Deployment.before) == col(ModelVersion.manifest_sha256))
        .where(Deployment.rollout_id == rollout_id, Deployment.state == "confirmed")
    )
    return sum(
        saved.get((base.sha256, target.sha256), 0)
        for device, before in session.exec(query)
        if (base := choose(forms_of(before), device)) and (target := choose(forms_of(version), device))
    )
