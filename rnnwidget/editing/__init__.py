"""Edits of gates and states, and how they are carried out."""

from rnnwidget.editing.edited import edited
from rnnwidget.editing.edits import Edit, clamp, nudge, scale, shift
from rnnwidget.editing.intervention import Intervention, InterventionResult, intervene

__all__ = ["Edit", "Intervention", "InterventionResult", "clamp", "edited", "intervene", "nudge", "scale", "shift"]
