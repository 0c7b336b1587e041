"""A workspace whose digits come upside down and dimmed since their model was trained, with labelled samples of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeops.control.datasets import load_dataset
from edgeops.control.plans import PlanShelf
from edgeops.control.workspace import Workspace
from edgeops.core.features.steps import quantized_input
from edgeops.core.lifecycle import RETRAIN
from edgeops.data.dataset import Part
from edgeops.registry.tables import Alert, AlertDevice, CapturedSample, Device, LabelTruth, Retrain
from support.registry import NOW
from support.trained import digits_workspace, train_recipe, write_recipe

DEVICES = ("north", "south")


def changed_digits(root: Path, strategy: str, samples: int = 250) -> tuple[Workspace, int]:
    """The workspace, and the number of its retrain, which is ready."""
    workspace = digits_workspace(root / "w")
    more = f'[retrain]\nmargin_on_test = 0.5\nstrategies = ["{strategy}"]\n[report]'
    trained = train_recipe(workspace, write_recipe(root, ("epochs = 2", "epochs = 8"), ("[report]", more)))
    sha256 = trained.version.manifest_sha256 or ""
    manifest = PlanShelf(workspace.blobs).manifest(sha256)
    base, _ = load_dataset(workspace, "digits")
    inputs, truths = base.part(Part.FIELD)
    seen = np.asarray(inputs[:samples], np.float32)[:, ::-1] * np.float32(0.7)
    with workspace.registry.session() as session:
        alert = Alert(model_version_id=trained.version.id or 0, state="open", opened_at=NOW)
        session.add(alert)
        session.add_all(Device(id=name, enrolled_at=NOW) for name in DEVICES)
        session.flush()
        for name in DEVICES:
            session.add(
                AlertDevice(
                    alert_id=alert.id or 0, device_id=name, boot=1, sequence=1, windows_seen=1, raised_at=NOW
                )
            )
        for number, (image, truth) in enumerate(zip(seen, truths[:samples], strict=True)):
            who = {
                "prediction": f"p{number}",
                "device_id": DEVICES[number % 2],
                "model": trained.version.model,
            }
            tensor = quantized_input(manifest, image.reshape(8, 8, 1)).tobytes()
            session.add(CapturedSample(**who, manifest=sha256, tensor=tensor, received_at=NOW))
            session.add(
                LabelTruth(
                    **who,
                    manifest_prefix=sha256[:16],
                    boot=1,
                    sequence=1,
                    predicted=0,
                    truth=int(truth),
                    received_at=NOW,
                )
            )
        state = RETRAIN.next(RETRAIN.initial, "samples_complete")
        retrain = Retrain(alert_id=alert.id or 0, state=state, seed=1, created_at=NOW)
        session.add(retrain)
        session.flush()
        return workspace, retrain.id or 0
