"""NumPy's calls against PyTorch's, on gates that lie in columns of any width, far from each other or near."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnwidget.cells.activations import Activation
from rnnwidget.cells.step_arithmetic import SMALL, NumpySteps, StepArithmetic, TorchSteps, step_arithmetic


class Named(torch.Tensor):
    """A subclass as PyTorch's fake tensors are one: its numbers need not be there for NumPy to read."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    activation=st.sampled_from(["sigmoid", "tanh", "relu", "identity"]),
    rows=st.integers(1, 9),
    units=st.integers(1, 4),
    gates=st.integers(1, 9),
    data=st.data(),
)
def test_nonlinearities_of_one_gate_among_others(
    activation: Activation, dtype: torch.dtype, rows: int, units: int, gates: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, gates - 1))
    generator = torch.Generator().manual_seed(rows)
    ours = torch.randn(rows, gates * units, generator=generator, dtype=dtype)
    theirs = ours.clone()
    columns = slice(place * units, (place + 1) * units)
    for arithmetic, tensor in ((NumpySteps(), ours), (TorchSteps(), theirs)):
        with torch.no_grad():
            arithmetic.activate(activation, arithmetic.array(tensor)[:, columns])
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("gates", "live", "expected"),
    [
        (torch.zeros(1, SMALL), None, NumpySteps),
        (torch.zeros(1, SMALL + 1), None, TorchSteps),
        (torch.zeros(1, 4), torch.ones(3, 1, 1, dtype=torch.bool), TorchSteps),
        (torch.zeros(1, 4, dtype=torch.bfloat16), None, TorchSteps),
        (torch.zeros(1, 4).as_subclass(Named), None, TorchSteps),
    ],
)
def test_numpys_calls_are_for_few_plain_numbers(
    gates: torch.Tensor, live: torch.Tensor | None, expected: type[StepArithmetic]
) -> None:
    with step_arithmetic(gates, live) as found:
        assert type(found) is expected
