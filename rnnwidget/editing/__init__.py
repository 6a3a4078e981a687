"""Edits of gates and states, and how they are carried out."""

from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import edited
from rnnwidget.editing.edits import clamp, lesion, nudge, patch, scale, shift
from rnnwidget.editing.intervention import Intervention, InterventionResult, intervene

__all__ = [
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
]
