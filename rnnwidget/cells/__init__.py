"""The mathematics of one recurrent layer, a file for each family."""

from rnnwidget.cells.excitatory_inhibitory_rnn import ExcitatoryInhibitoryRNN
from rnnwidget.cells.family import Family
from rnnwidget.cells.gru import gru
from rnnwidget.cells.leaky_rnn import LeakyRNN
from rnnwidget.cells.lstm import lstm
from rnnwidget.cells.min_gru import MinGRU
from rnnwidget.cells.peephole_lstm import PeepholeLSTM
from rnnwidget.cells.registry import families, family_named, register, registration_of
from rnnwidget.cells.rnn import rnn, rnn_relu
from rnnwidget.cells.step_family import StepFamily

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
