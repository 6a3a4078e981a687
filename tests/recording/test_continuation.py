"""A call that goes on from the state of the last one is not silently taken for a new one."""

import pytest
import torch
from torch import nn

import rnnwidget as rw


def chunks(model, x, state=None, *, detached=False):
    outputs = []
    for part in x.chunk(3):
        output, state = model(part, state)
        if detached:
            state = tuple(tensor.detach() for tensor in state)
        outputs.append(output)
    return torch.cat(outputs)


@pytest.mark.parametrize("detached", [False, True])
def test_recording_names_the_module_that_goes_on(detached):
    model, x = nn.Sequential(nn.LSTM(3, 4))[0], torch.randn(6, 2, 3)
    with pytest.raises(NotImplementedError, match="LSTM was called with the state"), rw.record(model):
        chunks(model, x, detached=detached)
    assert not model._forward_hooks


def test_a_state_of_ones_own_starts_a_new_call():
    model, x = nn.GRU(3, 4), torch.randn(6, 2, 3)
    with rw.record(model) as recording:
        _, state = model(x)
        model(x, state.clone())
        model(x)
    assert len(recording.calls("l0")) == 3


def test_edits_of_all_steps_go_along_and_edits_of_some_are_refused():
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    with rw.edited(model, rw.clamp("forget_gate", 0.0)):
        torch.testing.assert_close(chunks(model, x), model(x)[0], rtol=0, atol=1e-6)
    with (
        pytest.raises(NotImplementedError, match="steps are not counted"),
        rw.edited(model, rw.clamp("f", 0.0, steps=[3])),
    ):
        chunks(model, x)
