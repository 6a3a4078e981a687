"""Edits by step of a layer that is called once a step from a state that the model makes anew."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw


class Masked(nn.Module):
    """Resets its state where an episode begins, as recurrent policies do."""

    def __init__(self, chunk: int = 1) -> None:
        super().__init__()
        self.gru, self.chunk = nn.GRU(3, 4), chunk

    def forward(self, x: Tensor, going_on: Tensor) -> Tensor:
        state, parts = x.new_zeros(1, x.size(1), 4), []
        for part, mask in zip(x.split(self.chunk), going_on.split(self.chunk), strict=True):
            hidden, state = self.gru(part, mask[0, :, None] * state)
            parts.append(hidden)
        return torch.cat(parts)


X = torch.randn(8, 2, 3), torch.ones(8, 2)
MISSED = r"clamp\('update_gate', 0.3, steps=.*\) changed nothing: 'gru.l0' was called 8 times.* the longest had 1\."


@pytest.mark.parametrize("steps", [[4], slice(2, 6), 7])
def test_steps_that_no_call_had_are_told_of(steps):
    model, edit = Masked(), rw.clamp("update_gate", 0.3, steps=steps)
    with pytest.warns(RuntimeWarning, match=MISSED), rw.edited(model, edit):
        output = model(*X)
    assert torch.equal(output, model(*X))
    with pytest.warns(RuntimeWarning, match=MISSED) as told:
        rw.intervene(model, X, [edit])
    assert [warning.filename for warning in told] == [__file__]
    with pytest.warns(RuntimeWarning, match=MISSED):
        rw.RNNInspector(model, inputs=X).edits = [edit]


@pytest.mark.parametrize(
    ("model", "edit"),
    [
        (Masked(), rw.clamp("update_gate", 0.3)),
        (Masked(), rw.clamp("update_gate", 0.3, steps=[0])),
        (Masked(), rw.clamp("update_gate", 0.3, steps=[0, 4])),
        (Masked(), rw.shift("update_gate", 0.0, steps=[4])),
        (Masked(), rw.clamp("update_gate", 0.3, steps=[])),
        (Masked(), rw.clamp("update_gate", 0.3, steps=slice(3, 3))),
        (Masked(chunk=4), rw.clamp("update_gate", 0.3, steps=slice(3, 9))),
        (Masked(chunk=8), rw.clamp("update_gate", 0.3, steps=[50])),
    ],
)
def test_nothing_is_said_where_a_call_has_such_a_step_or_there_is_one_call(model, edit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rw.edited(model, edit):
            model(*X)
        rw.intervene(model, X, edit)


def test_an_error_of_the_users_own_is_not_joined_by_a_warning():
    model = Masked()

    def fails() -> None:
        with rw.edited(model, rw.clamp("update_gate", 0.3, steps=[4])):
            model(*X)
            raise ZeroDivisionError

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError):
            fails()
