"""Edits of gates and states, and how they are carried out."""

from rnnwidget.editing.answer_steps import answer_steps
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import edited
from rnnwidget.editing.edits import clamp, lesion, nudge, patch, scale, shift
from rnnwidget.editing.intervention import Intervention, InterventionResult, intervene
from rnnwidget.editing.lesion_scores import LesionScores, lesion_scores
from rnnwidget.editing.sweep import Sweep, sweep, sweep_steps

__all__ = [
    "Edit",
    "Intervention",
    "InterventionResult",
    "LesionScores",
    "Sweep",
    "answer_steps",
    "clamp",
    "edited",
    "intervene",
    "lesion",
    "lesion_scores",
    "nudge",
    "patch",
    "scale",
    "shift",
    "sweep",
    "sweep_steps",
]
