"""A run that nobody waits for is given up before it begins; what is newer comes first."""

import threading

import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.editing.intervention import BeforeAndAfter
from rnnwidget.recording.giving_up import NoLongerWantedError, given_up_unless
from rnnwidget.recording.twin import Twin


class Headed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


@pytest.mark.parametrize("way", ["run", "output"])
def test_whether_it_is_wanted_is_asked_once_the_model_is_free(way):
    twin, asked, ends = Twin(Headed()), [], []

    def wanted():
        asked.append(1)
        return False

    def unwanted():
        try:
            with given_up_unless(wanted):
                getattr(twin, way)(torch.randn(5, 1, 3))
        except NoLongerWantedError as error:
            ends.append(error)

    thread = threading.Thread(target=unwanted)
    with twin._lock:
        thread.start()
        thread.join(0.2)
        assert asked == []
    thread.join()
    assert (len(asked), len(ends)) == (1, 1)
    assert twin.output(torch.randn(5, 1, 3)).shape == (5, 1, 2)


def test_a_run_before_that_was_given_up_is_made_by_the_next():
    model, x = Headed(), torch.randn(5, 1, 3)
    runs = BeforeAndAfter(Twin(model), x)
    with torch.no_grad():
        model.head.weight.add_(1.0)
    with given_up_unless(lambda: False), pytest.raises(NoLongerWantedError):
        runs.run([rw.shift("update_gate", 1.0)])
    torch.testing.assert_close(runs.run([rw.shift("update_gate", 1.0)])[0][0], model(x))
