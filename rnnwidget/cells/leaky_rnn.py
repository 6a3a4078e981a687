"""The leaky recurrent network, also called continuous-time RNN."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.cells.activations import activate
from rnnwidget.cells.registry import register
from rnnwidget.cells.sequence_layer import SequenceLayer, step_over_time_constant
from rnnwidget.cells.step_family import Sites

Nonlinearity = Literal["relu", "tanh"]


class LeakyRNN(SequenceLayer):
    """h ← (1 − α) h + α f(W_in x + W_rec h + b), with α = dt / tau.

    The continuous-time network τ dh/dt = −h + f(W_in x + W_rec h + b), where h is a rate (as in Yang et al. 2019), one
    step of Euler's method at a time; with ``dt`` = ``tau`` it is ``nn.RNN``. It has no noise. Recordings call f(…) the
    gate ``drive``, so that ``rw.shift("drive", …)`` injects a current.

    ``weight_ih`` is W_in (unit, feature), ``weight_hh`` is W_rec (unit, unit), row by row the unit that receives, and
    ``bias`` is b. All three start as those of ``nn.RNN`` do, uniform on ±1/√hidden_size.

    Called on x (time, batch, feature), or (batch, time, feature) with ``batch_first``, and perhaps an initial state
    (batch, unit); returns the hidden state of every step in the layout of x, and the last one (batch, unit). With
    "tanh" hidden states that start in [−1, 1] stay there, with "relu" none is negative that did not start so.

    Parameters
    ----------
    dt, tau
        Length of a step and time constant, in the same unit of time; 0 < dt ≤ tau.
    nonlinearity
        f: ``"relu"`` or ``"tanh"``.

    Raises
    ------
    ValueError
        A size, ``dt``, ``tau`` or the nonlinearity will not do; when called, the shape of the input or of the state.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> from rnnwidget.cells import LeakyRNN
    >>> model = LeakyRNN(3, 4, dt=10.0, tau=100.0)
    >>> with rw.record(model) as recording:
    ...     output, hidden = model(torch.randn(6, 2, 3))
    >>> recording["cell"]["drive"].shape, bool((recording["cell"]["drive"] >= 0).all())
    (torch.Size([6, 2, 4]), True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dt: float = 20.0,
        tau: float = 100.0,
        nonlinearity: Nonlinearity = "relu",
        batch_first: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=batch_first)
        if nonlinearity not in get_args(Nonlinearity):
            raise ValueError(f"nonlinearity must be one of {', '.join(get_args(Nonlinearity))}; got {nonlinearity!r}")
        self.dt, self.tau, self.nonlinearity = dt, tau, nonlinearity
        step_over_time_constant(dt, tau)
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))
        self.draw_uniformly()

    @property
    def alpha(self) -> float:
        """dt / tau: the part of the way to its drive that a unit goes in one step."""
        return step_over_time_constant(self.dt, self.tau)

    def total_input(
        self, x: Float[Tensor, "batch feature"], hidden: Float[Tensor, "batch unit"]
    ) -> Float[Tensor, "batch unit"]:
        """W_in x + W_rec h + b."""
        return nn.functional.linear(x, self.weight_ih, self.bias) + nn.functional.linear(hidden, self.weight_hh)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states of every step, and the final one."""
        output, (hidden,) = self.over_time(x, None if state is None else (state,), self._advance)
        return output, hidden

    def _advance(self, x: Tensor, hidden: Tensor) -> tuple[Tensor]:
        drive = activate(self.nonlinearity, self.total_input(x, hidden))
        return (hidden + self.alpha * (drive - hidden),)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dt={self.dt}, tau={self.tau}, nonlinearity={self.nonlinearity!r}"


@register(LeakyRNN, name="leaky_rnn", gates={"drive": lambda module: module.nonlinearity})
def leaky_step(module: LeakyRNN, x: Tensor, hidden: Tensor, at: Sites) -> Tensor:
    """One step of a :class:`LeakyRNN`."""
    drive = at.gate("drive", module.total_input(x, hidden))
    return (1 - module.alpha) * hidden + module.alpha * drive
