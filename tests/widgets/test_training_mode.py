import pytest
import torch
from torch import nn

from rnnwidget.widgets.training_mode import training_noise


def told(inspector):
    return inspector._page.score._frame["training"]


class Tagger(nn.Module):
    def __init__(self, between=0.0, after=0.0, norm=False):
        super().__init__()
        self.rnn = nn.GRU(3, 4, num_layers=2, dropout=between)
        self.drop = nn.Dropout(after)
        self.norm = nn.BatchNorm1d(4) if norm else nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.drop(self.rnn(x)[0][-1]))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Tagger(), ""),
        (Tagger(between=0.2), "training mode: dropout is active"),
        (Tagger(after=0.2), "training mode: dropout is active"),
        (Tagger(norm=True), "training mode: batch norm is active"),
        (Tagger(after=0.2, norm=True), "training mode: dropout and batch norm are active"),
    ],
)
def test_a_model_in_training_mode_says_what_that_makes_of_its_answer(inspect, model, words):
    x = torch.randn(5, 2, 3)
    assert told(inspect(model, inputs=x)) == words
    model.eval()
    assert told(inspect(model, inputs=x)) == ""


def test_it_is_the_mode_of_the_run_on_show(inspect):
    model = Tagger(after=0.5)
    inspector = inspect(model)
    model(torch.randn(5, 2, 3))
    assert told(inspector) == "training mode: dropout is active"
    model.eval()
    assert told(inspector) == "training mode: dropout is active"
    model(torch.randn(5, 2, 3))
    assert told(inspector) == ""


def test_only_what_trains_itself_counts():
    parts = [nn.Dropout(0.5), nn.LSTM(2, 3, dropout=0.0, num_layers=2), nn.Dropout(0.0), nn.BatchNorm1d(3)]
    assert training_noise(parts, [True, True, True, True]) == "training mode: dropout and batch norm are active"
    assert training_noise(parts, [False, True, True, False]) == ""
