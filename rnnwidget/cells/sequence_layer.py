"""A recurrent layer written as a plain loop over time: what the layers that ship with the package share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

States = tuple[Float[Tensor, "batch unit"], ...]


class SequenceLayer(nn.Module):
    """Sizes, the order of dimensions and the loop; a layer adds its weights and ``advance``."""

    state_names: tuple[str, ...] = ("hidden",)

    def __init__(self, input_size: int, hidden_size: int, *, batch_first: bool) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}")
        self.input_size, self.hidden_size, self.batch_first = input_size, hidden_size, batch_first

    def over_time(
        self, x: Tensor, given: tuple[Tensor, ...] | None, advance: Callable[..., States]
    ) -> tuple[Tensor, States]:
        """The first state of every step in the layout of ``x``, and the final states."""
        sequence = self._time_first(x)
        state = self._initial(sequence, given)
        output: list[Tensor] = []
        for x_t in sequence.unbind(0):
            state = advance(x_t, *state)
            output.append(state[0])
        stacked = torch.stack(output) if output else state[0].new_empty(0, *state[0].shape)
        return stacked.transpose(0, 1) if self.batch_first else stacked, state

    def _time_first(self, x: Tensor) -> Tensor:
        name = type(self).__name__
        order = "(batch, time, feature)" if self.batch_first else "(time, batch, feature)"
        if not isinstance(x, Tensor) or x.dim() != 3 or x.size(-1) != self.input_size:
            found = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"{name} takes a tensor {order} with {self.input_size} features, got {found}; "
                f"one sequence alone is a batch of one: x.unsqueeze({0 if self.batch_first else 1})"
            )
        return x.transpose(0, 1) if self.batch_first else x

    def _initial(self, sequence: Tensor, given: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        shape = (sequence.size(1), self.hidden_size)
        if given is None:
            return tuple(sequence.new_zeros(shape) for _ in self.state_names)
        if not all(isinstance(state, Tensor) for state in given) or [tuple(state.shape) for state in given] != [
            shape
        ] * len(self.state_names):
            found = ", ".join(str(tuple(state.shape)) if isinstance(state, Tensor) else repr(state) for state in given)
            raise ValueError(
                f"{type(self).__name__} starts from {' and '.join(self.state_names)}, (batch, unit) = {shape} each, "
                f"or from None for zeros; got {found}"
            )
        return given

    def draw_uniformly(self) -> None:
        """Every parameter from U(−1/√hidden_size, 1/√hidden_size), as PyTorch's recurrent layers start."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}{', batch_first=True' if self.batch_first else ''}"


def step_over_time_constant(dt: float, tau: float) -> float:
    """α = dt / tau; ValueError unless 0 < dt ≤ tau, beyond which Euler's method overshoots."""
    if not 0 < dt <= tau < math.inf:
        raise ValueError(f"dt must be above 0 and at most tau, in the same unit of time; got dt={dt!r} and tau={tau!r}")
    return dt / tau
