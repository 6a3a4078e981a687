"""Before and after come through one kernel path, so that a chaotic network does not tell kernels apart."""

import pytest
import torch
from torch import nn

import rnnwidget as rw


def chaotic():
    torch.manual_seed(0)
    model = nn.RNN(3, 64, bidirectional=True)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "weight_hh" in name:
                weight.normal_(std=1.5 / 8)
    return model, torch.randn(300, 1, 3)


def test_the_untouched_direction_does_not_move():
    model, x = chaotic()
    change = rw.intervene(model, x, [rw.clamp("hidden", 1.5, layer="l0", units=[0])]).change
    assert change["l0"].abs().max() > 0
    assert change["l0_reverse"].abs().max() == 0


@pytest.mark.parametrize("through", ["intervene", "inspector"])
def test_nothing_moves_before_the_first_edited_step(through):
    model, x = chaotic()
    edit = rw.clamp("hidden", 0.5, layer="l0", units=[0], steps=slice(200, 210))
    if through == "intervene":
        change = rw.intervene(model, x, [edit]).change["l0"]
    else:
        inspector = rw.RNNInspector(model, inputs=x)
        inspector.edits = [edit]
        change = inspector.recording["l0"].hidden - inspector.baseline_recording["l0"].hidden
        inspector.close()
    assert change[:200].abs().max() == 0
    assert change[200].abs().max() > 0
