"""How much of a training loop's time those who look at its model take."""

import pytest
import torch
from torch import nn

from rnnwidget.recording import model_capture
from rnnwidget.recording.model_capture import ModelCapture
from rnnwidget.recording.modules import recurrent_modules

LOOK, CALL = 0.5, 0.05


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Looker:
    """Takes half a second to look at a call, by the clock."""

    def __init__(self, model: nn.Module, clock: Clock) -> None:
        self.clock, self.looks, self.looking = clock, 0, True
        self.capture = ModelCapture(model, recurrent_modules(model), self.receive, self.refuse, self.wanted)

    def receive(self, captured: object) -> None:
        self.looks += 1
        self.clock.now += LOOK

    def refuse(self, error: Exception) -> None:
        raise error

    def wanted(self) -> bool:
        return self.looking


@pytest.mark.parametrize("looking", [1, 2, 12])
@pytest.mark.parametrize("turned_away", [0, 7])
def test_all_who_look_at_a_model_take_a_tenth_of_its_time_together(monkeypatch, looking, turned_away):
    clock, model, x = Clock(), nn.RNN(2, 3), torch.randn(2, 1, 2)
    monkeypatch.setattr(model_capture, "time", clock)
    lookers = [Looker(model, clock) for _ in range(looking + turned_away)]
    for looker in lookers[looking:]:
        looker.looking = False
    started = clock.now
    for _ in range(4_000):
        clock.now += CALL
        model(x)
    looks = [looker.looks for looker in lookers]
    share = (sum(looks) - looking) * LOOK / (clock.now - started)  # the first ones do not count
    assert 0.05 < share < 0.15
    assert min(looks[:looking]) > 0
    assert max(looks[looking:], default=0) == 0
    for looker in lookers:
        looker.capture.close()
    assert not model._forward_hooks


def test_what_is_loaded_for_the_first_call_is_not_waited_for(monkeypatch):
    clock, model, x = Clock(), nn.RNN(2, 3), torch.randn(2, 1, 2)
    monkeypatch.setattr(model_capture, "time", clock)
    looker = Looker(model, clock)
    for _ in range(12):  # half a second each and a call a second: one in five, but for the first
        model(x)
        clock.now += 1.0
    assert looker.looks == 4
    looker.capture.close()
