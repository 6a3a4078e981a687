"""An inspector of a model with lazy modules waits for the call that gives them their shape."""

import pytest
import torch
from torch import nn

import rnnwidget as rw


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 8), nn.LazyLinear(2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][-1])


@pytest.mark.parametrize("loss", [None, torch.sum])
@pytest.mark.parametrize("edits", [[], [rw.shift("forget_gate", 2.0)]])
def test_it_attaches_and_the_first_call_fills_it(inspect, edits, loss):
    model, x = Lazy(), torch.randn(5, 1, 3)
    inspector = inspect(model, loss=loss)
    frame = inspector._page.score._frame
    assert (frame["state"], frame["parameters"]) == ("waiting", sum(p.numel() for p in model.lstm.parameters()))
    inspector.edits = edits
    output = model(x)
    assert inspector._page.score._status == {"state": "ready", "message": "", "answers": 0}
    torch.testing.assert_close(inspector.baseline_output, output)
    inspector.edits = [rw.shift("forget_gate", 1.0)]
    with rw.edited(model, rw.shift("forget_gate", 1.0)):
        torch.testing.assert_close(inspector.output, model(x))


def test_with_inputs_it_says_that_the_model_has_to_be_called_first(inspect):
    for loss in (None, torch.sum):
        with pytest.raises(ValueError, match="call the model once"):
            inspect(Lazy(), inputs=torch.randn(5, 1, 3), loss=loss)
