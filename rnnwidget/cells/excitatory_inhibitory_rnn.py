"""The excitatory-inhibitory recurrent network with Dale's law."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnnwidget.cells.registry import register
from rnnwidget.cells.sequence_layer import SequenceLayer, States, step_over_time_constant
from rnnwidget.cells.step_family import Sites

GAMMA_SHAPE, SPECTRAL_RADIUS, INPUT_REACH = 4, 1.5, 0.1


class ExcitatoryInhibitoryRNN(SequenceLayer):
    """Rates of units that excite or inhibit, none both: Song, Yang & Wang (2016).

    τ dx/dt = −x + W_rec r + W_in u + b with rates r = max(x, 0), by Euler's method with α = dt / tau: first
    x ← (1 − α) x + α (W_rec r + W_in u + b) from the rates before the step, then r ← max(x, 0). It has no noise.
    W_rec = |weight_hh| D without its diagonal, since no unit feeds itself; D is +1 for columns, the sending units, that
    excite and −1 for those that inhibit. The first ``excitatory_size`` units excite. Input weights may have any sign.

    The state ``hidden`` is the rate r, which is what the layer hands on, and ``current`` is x. Recordings call
    W_rec r + W_in u + b the gate ``drive`` (its nonlinearity is none), so that ``rw.shift("drive", …)`` injects a
    current, while ``rw.shift("hidden", …)`` lowers a unit's threshold.

    Weights start as in that paper's code: magnitudes from a gamma distribution (shape 4 here), inhibition
    stronger than excitation by as much as its units are fewer, all scaled to a spectral radius of 1.5; input
    weights uniform on [0, 0.1]; zero bias.

    Called on u (time, batch, feature), or (batch, time, feature) with ``batch_first``, and perhaps initial states
    (hidden, current), (batch, unit) each; returns the rates of every step in the layout of u, never negative, and the
    final states. Rates given should be max(current, 0); they are taken as they are.

    Parameters
    ----------
    excitatory
        The fraction of the units that excite, rounded to whole units.
    dt, tau
        Length of a step and time constant, in the same unit of time; 0 < dt ≤ tau.

    Raises
    ------
    ValueError
        A size, the fraction, ``dt`` or ``tau`` will not do; when called, the shape of the input or of a state.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> from rnnwidget.cells import ExcitatoryInhibitoryRNN
    >>> model = ExcitatoryInhibitoryRNN(3, 10, excitatory=0.8)
    >>> model.excitatory_size, bool((model.recurrent_weight[:, 8:] <= 0).all())
    (8, True)
    >>> with rw.record(model) as recording:
    ...     rates, (hidden, current) = model(torch.rand(6, 2, 3))
    >>> recording["cell"]["drive"].shape, recording["cell"]["current"].shape
    (torch.Size([6, 2, 10]), torch.Size([6, 2, 10]))
    """

    state_names = ("hidden", "current")
    sign: Float[Tensor, " unit"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        excitatory: float = 0.8,
        dt: float = 20.0,
        tau: float = 100.0,
        batch_first: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, batch_first=batch_first)
        if not 0 <= excitatory <= 1:
            raise ValueError(f"excitatory is the fraction of units that excite, in [0, 1]; got {excitatory!r}")
        self.dt, self.tau = dt, tau
        step_over_time_constant(dt, tau)
        self.excitatory_size = round(excitatory * hidden_size)
        sign = torch.ones(hidden_size)
        sign[self.excitatory_size :] = -1
        self.register_buffer("sign", sign)
        self.weight_ih = nn.Parameter(INPUT_REACH * torch.rand(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.zeros(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self._draw_recurrent_weight()

    @torch.no_grad()
    def _draw_recurrent_weight(self) -> None:
        units, excitatory = self.hidden_size, self.excitatory_size
        # A sum of k exponentials is a gamma variate of shape k.
        self.weight_hh.copy_(torch.empty(GAMMA_SHAPE, units, units).exponential_().sum(0))
        if 0 < excitatory < units:
            self.weight_hh[:, excitatory:].mul_(excitatory / (units - excitatory))
        radius = torch.linalg.eigvals(self.recurrent_weight).abs().max()
        if radius > 0:
            self.weight_hh.mul_(SPECTRAL_RADIUS / radius)

    @property
    def alpha(self) -> float:
        """dt / tau."""
        return step_over_time_constant(self.dt, self.tau)

    @property
    def recurrent_weight(self) -> Float[Tensor, "unit unit"]:
        """W_rec: from the unit of the column to the unit of the row."""
        return (self.weight_hh.abs() * self.sign).fill_diagonal_(0)

    def total_input(
        self,
        x: Float[Tensor, "batch feature"],
        rate: Float[Tensor, "batch unit"],
        recurrent_weight: Float[Tensor, "unit unit"],
    ) -> Float[Tensor, "batch unit"]:
        """W_rec r + W_in u + b."""
        return nn.functional.linear(x, self.weight_ih, self.bias) + nn.functional.linear(rate, recurrent_weight)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Rates of every step, and the final (hidden, current)."""
        output, (hidden, current) = self.over_time(x, state, partial(self._advance, self.recurrent_weight))
        return output, (hidden, current)

    def _advance(self, recurrent_weight: Tensor, x: Tensor, rate: Tensor, current: Tensor) -> States:
        current = current + self.alpha * (self.total_input(x, rate, recurrent_weight) - current)
        return torch.relu(current), current

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, excitatory units={self.excitatory_size}, dt={self.dt}, tau={self.tau}"


@register(
    ExcitatoryInhibitoryRNN,
    name="excitatory_inhibitory_rnn",
    states=("hidden", "current"),
    gates={"drive": "identity", "hidden": "relu"},
    letters={"current": "x"},
)
def excitatory_inhibitory_step(
    module: ExcitatoryInhibitoryRNN, x: Tensor, state: tuple[Tensor, Tensor], at: Sites
) -> tuple[Tensor, Tensor]:
    """One step of an :class:`ExcitatoryInhibitoryRNN`."""
    rate, current = state
    drive = at.gate("drive", module.total_input(x, rate, module.recurrent_weight))
    current = at.state("current", (1 - module.alpha) * current + module.alpha * drive)
    return at.gate("hidden", current), current
