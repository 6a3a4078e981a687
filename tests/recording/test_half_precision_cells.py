"""The cell state of a long run in half precision: the kernel rounds it at every step."""

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.cells import PeepholeLSTM, registry

STEPS = 600


def counting(kind: type[nn.Module], dtype: torch.dtype) -> nn.Module:
    """Adds about as much as it keeps, so that what rounding drops adds up."""
    torch.manual_seed(0)
    model = kind(3, 4)
    with torch.no_grad():
        bias = next(value for name, value in model.named_parameters() if name.startswith("bias"))
        bias[:12] = torch.tensor([20.0, 20.0, 1.0]).repeat_interleave(4)
    return model.to(dtype)


def whole(model: nn.Module, x: Tensor) -> list[tuple[int, Tensor]]:
    return [(len(x) - 1, model(x)[1][1][0])]


def in_chunks(model: nn.Module, x: Tensor) -> list[tuple[int, Tensor]]:
    state, reached = None, []
    for end, part in zip(range(99, len(x), 100), x.split(100), strict=True):
        _, state = model(part, state)
        reached.append((end, state[1][0].clone()))
    return reached


def by_step(model: nn.Module, x: Tensor) -> list[tuple[int, Tensor]]:
    state, reached = None, []
    for step, x_t in enumerate(x):
        state = model(x_t, state)
        reached.append((step, state[1].clone()))
    return reached


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("kind", "run"), [(nn.LSTM, whole), (nn.LSTM, in_chunks), (nn.LSTMCell, by_step)])
def test_the_cell_state_is_the_models_own(kind: type[nn.Module], run: object, dtype: torch.dtype) -> None:
    model, x = counting(kind, dtype), torch.randn(STEPS, 2, 3, dtype=dtype)
    with torch.no_grad(), rw.record(model) as recording:
        reached = run(model, x)
    (name,) = recording.layers
    cell = recording[name].cell
    assert cell.dtype == torch.float32
    for step, true in reached:
        off = (cell[step] - true.float()).abs() / true.float().abs().clamp(min=1)
        assert off.max() <= 4 * torch.finfo(dtype).eps, step


def test_single_steps_are_computed_from_the_states_they_were_handed() -> None:
    """Also in single precision, and where the caller changed the cell state between two steps."""
    cell, state, reached = nn.LSTMCell(3, 4), None, []
    with torch.no_grad(), rw.record(cell) as recording:
        for x in torch.randn(50, 2, 3):
            state = cell(x, state)
            reached.append(state[1].clone())
    torch.testing.assert_close(recording["cell"].cell, torch.stack(reached), rtol=0, atol=1e-6)
    assert recording["cell"].replay_error < 1e-6


def test_a_registered_cell_that_is_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_families", dict(registry._families))
    monkeypatch.setattr(registry, "_registrations", dict(registry._registrations))
    model, state, reached = counting(PeepholeLSTM, torch.bfloat16), None, []
    with torch.no_grad(), rw.record(model) as recording:
        for x in torch.randn(STEPS, 1, 2, 3, dtype=torch.bfloat16):
            _, state = model(x, state)
            reached.append(state[1].clone().reshape(2, 4))
    cell, true = recording["cell"].cell, torch.stack(reached).float()
    off = (cell - true).abs() / true.abs().clamp(min=1)
    assert off.max() <= 4 * torch.finfo(torch.bfloat16).eps
