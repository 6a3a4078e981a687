"""The mathematics of one recurrent layer, a file for each family."""

from importlib import import_module
from typing import TYPE_CHECKING

from rnnwidget.cells.family import Family
from rnnwidget.cells.gru import gru
from rnnwidget.cells.lstm import lstm
from rnnwidget.cells.registry import families, family_named, register, registration_of
from rnnwidget.cells.rnn import rnn, rnn_relu
from rnnwidget.cells.step_family import StepFamily

if TYPE_CHECKING:
    from rnnwidget.cells.excitatory_inhibitory_rnn import ExcitatoryInhibitoryRNN
    from rnnwidget.cells.leaky_rnn import LeakyRNN
    from rnnwidget.cells.min_gru import MinGRU
    from rnnwidget.cells.peephole_lstm import PeepholeLSTM

__all__ = [
    "ExcitatoryInhibitoryRNN",
    "Family",
    "LeakyRNN",
    "MinGRU",
    "PeepholeLSTM",
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

_READY_MADE = {
    "ExcitatoryInhibitoryRNN": "excitatory_inhibitory_rnn",
    "LeakyRNN": "leaky_rnn",
    "MinGRU": "min_gru",
    "PeepholeLSTM": "peephole_lstm",
}


def __getattr__(name: str) -> object:
    # Registered when asked for: nobody has one of these who has not imported it.
    if name in _READY_MADE:
        return getattr(import_module(f"rnnwidget.cells.{_READY_MADE[name]}"), name)
    raise AttributeError(f"module 'rnnwidget.cells' has no attribute {name!r}")
