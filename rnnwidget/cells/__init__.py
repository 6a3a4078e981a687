"""The mathematics of one recurrent layer, a file for each family."""

from rnnwidget.cells.family import Family
from rnnwidget.cells.gru import gru
from rnnwidget.cells.lstm import lstm
from rnnwidget.cells.registry import families, family_named, register, registration_of
from rnnwidget.cells.rnn import rnn, rnn_relu
from rnnwidget.cells.step_family import StepFamily

__all__ = [
    "Family",
    "StepFamily",
    "families",
    "family_named",
    "gru",
    "lstm",
    "register",
    "registration_of",
    "rnn",
    "rnn_relu",
]
