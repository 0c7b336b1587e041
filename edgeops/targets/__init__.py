"""Targets: the catalogue of microcontrollers and boards, and the proof that a model fits one.

``check_fit(model, target)`` answers for one ``.tflite`` and one ``Target`` of the catalogue.
"""

from edgeops.targets.catalogue import Target, catalogue, find_target
from edgeops.targets.check import FitReport, check_fit

__all__ = ["FitReport", "Target", "catalogue", "check_fit", "find_target"]
