"""Edits of some steps, where a backward makes whole stretches of calls once more."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import rnnwidget as rw

STEPS = [slice(0, 3), slice(4, 8), [8], [0, 5]]


class InSegments(nn.Module):
    """Steps a cell, or a layer one chunk after another, three steps at a time."""

    def __init__(self, cell: type[nn.Module], reentrant: bool | None) -> None:
        super().__init__()
        self.cell, self.reentrant = cell(3, 4), reentrant

    def segment(self, part: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        state = (given if len(given) > 1 else given[0]) if given else None
        if isinstance(self.cell, nn.GRU):
            one, state = self.cell(part[:1], state)
            two, state = self.cell(part[1:], state)
            return torch.cat([one, two]), state
        hidden = []
        for now in part:
            state = self.cell(now, state)
            hidden.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(hidden), *(state if isinstance(state, tuple) else (state,))

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        parts = []
        for part in x.split(3):
            if self.reentrant is None:
                hidden, *state = self.segment(part, *state)
            else:
                hidden, *state = checkpoint(self.segment, part, *state, use_reentrant=self.reentrant)
            parts.append(hidden)
        return torch.cat(parts), *state


def gradients(model: InSegments, x: Tensor, edit: rw.Edit, *, truncated: bool) -> list[Tensor]:
    """Of a loss over nine steps, or over each three by itself, the state handed on without its graph."""
    with rw.edited(model, edit):
        state: tuple[Tensor, ...] = ()
        for part in x.split(3) if truncated else [x]:
            hidden, *reached = model(part, *state)
            hidden.square().sum().backward()
            state = tuple(each.detach() for each in reached)
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(
    ("cell", "site"),
    [(nn.GRUCell, "update_gate"), (nn.LSTMCell, "forget_gate"), (nn.RNNCell, "hidden"), (nn.GRU, "update_gate")],
)
def test_a_segment_that_steps_a_cell_several_times_is_made_again_with_the_same_steps_edited(
    cell, site, reentrant, truncated
):
    x = torch.randn(9, 2, 3, dtype=torch.float64, requires_grad=True)
    for steps in STEPS:
        found = []
        for checkpointed in (reentrant, None):
            torch.manual_seed(0)
            model = InSegments(cell, checkpointed).double()
            found.append(gradients(model, x, rw.clamp(site, 0.3, steps=steps), truncated=truncated))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


class TwoLayers(nn.Module):
    """Two layers, one after the other in each segment, behind a map that is made again as well."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.map, self.second = nn.GRU(3, 4), nn.Linear(4, 4), nn.GRU(4, 4)
        self.reentrant = reentrant
        self.double()

    def segment(self, part: Tensor, one: Tensor, two: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden, one = self.first(part, one)
        hidden, two = self.second(self.map(hidden), two)
        return hidden, one, two

    def forward(self, x: Tensor) -> Tensor:
        one = two = x.new_zeros(1, x.size(1), 4)
        parts = []
        for part in x.split(3):
            if self.reentrant is None:
                hidden, one, two = self.segment(part, one, two)
            else:
                hidden, one, two = checkpoint(self.segment, part, one, two, use_reentrant=self.reentrant)
            parts.append(hidden)
        return torch.cat(parts)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("layer", ["first.l0", "second.l0"])
def test_a_layer_whose_input_is_made_again_too_has_the_same_steps_edited(layer, reentrant):
    for steps in STEPS:
        found = []
        for checkpointed in (reentrant, None):
            model = TwoLayers(checkpointed)
            x = torch.linspace(-1, 1, 54, dtype=torch.float64).reshape(9, 2, 3).requires_grad_()
            with rw.edited(model, rw.clamp("update_gate", 0.9, layer=layer, steps=steps)):
                model(x).square().sum().backward()
            found.append([x.grad, *(parameter.grad for parameter in model.parameters())])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
