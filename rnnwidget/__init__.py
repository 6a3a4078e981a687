"""Open up recurrent networks: states and gates at every timestep, edits that re-run the model, gradient flow."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnwidget import cells as cells
    from rnnwidget.analysis.ledger import Ledger, cell_ledger
    from rnnwidget.cells import register
    from rnnwidget.editing import (
        Edit,
        Intervention,
        InterventionResult,
        clamp,
        edited,
        intervene,
        lesion,
        nudge,
        patch,
        scale,
        shift,
    )
    from rnnwidget.editing.answer_steps import answer_steps
    from rnnwidget.editing.lesion_scores import LesionScores, lesion_scores
    from rnnwidget.editing.sweep import Sweep, sweep, sweep_steps
    from rnnwidget.gradients import gradient_flow
    from rnnwidget.recording import LayerRecording, Recording, record
    from rnnwidget.recording.loading import load
    from rnnwidget.widgets.inspector import RNNInspector

__version__ = "0.1.0"

__all__ = [
    "Edit",
    "Intervention",
    "InterventionResult",
    "LayerRecording",
    "Ledger",
    "LesionScores",
    "RNNInspector",
    "Recording",
    "Sweep",
    "__version__",
    "answer_steps",
    "cell_ledger",
    "clamp",
    "edited",
    "gradient_flow",
    "intervene",
    "lesion",
    "lesion_scores",
    "load",
    "nudge",
    "patch",
    "record",
    "register",
    "scale",
    "shift",
    "sweep",
    "sweep_steps",
]

# Whatever is asked for loads then: scripts and servers do without ipywidgets, and who only imports does without all.
_HOMES = {
    "analysis.ledger": ("Ledger", "cell_ledger"),
    "cells": ("register",),
    "editing": (
        "Edit",
        "Intervention",
        "InterventionResult",
        "clamp",
        "edited",
        "intervene",
        "lesion",
        "nudge",
        "patch",
        "scale",
        "shift",
    ),
    "editing.answer_steps": ("answer_steps",),
    "editing.lesion_scores": ("LesionScores", "lesion_scores"),
    "editing.sweep": ("Sweep", "sweep", "sweep_steps"),
    "gradients": ("gradient_flow",),
    "recording": ("LayerRecording", "Recording", "record"),
    "recording.loading": ("load",),
    "widgets.inspector": ("RNNInspector",),
}
_PARTS = {home.partition(".")[0] for home in _HOMES}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __dir__() -> list[str]:
    return sorted([*__all__, "cells"])


def __getattr__(name: str) -> object:
    if name in _PARTS:
        return import_module(f"rnnwidget.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rnnwidget' has no attribute {name!r}")
    found: object = getattr(import_module(f"rnnwidget.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found
