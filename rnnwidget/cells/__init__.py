"""The mathematics of one recurrent layer, a file for each family."""

from rnnwidget.cells.family import Family, family_named, register
from rnnwidget.cells.gru import gru
from rnnwidget.cells.lstm import lstm
from rnnwidget.cells.rnn import rnn, rnn_relu

__all__ = ["Family", "family_named", "gru", "lstm", "register", "rnn", "rnn_relu"]
