"""What somebody writes today who wants the gates: a loop over the module's own weights that keeps them."""

import torch
from torch import Tensor, nn


def with_gates(module: nn.LSTM | nn.GRU, x: Tensor) -> dict[str, Tensor]:
    """Every gate and state of every layer, (time, batch, unit); no direction but forward, zero initial state."""
    kept: dict[str, Tensor] = {}
    for layer in range(module.num_layers):
        weights = [getattr(module, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        loop = _lstm if isinstance(module, nn.LSTM) else _gru
        rows = loop(x, module.hidden_size, *weights)
        kept |= {f"l{layer} {name}": torch.stack(steps) for name, steps in rows.items()}
        x = kept[f"l{layer} h"]
    return kept


def _lstm(x: Tensor, units: int, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> dict[str, list[Tensor]]:
    h = c = x.new_zeros(x.size(1), units)
    kept: dict[str, list[Tensor]] = {name: [] for name in "ifgoch"}
    for x_t in x:
        i, f, g, o = (x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        for name, value in zip("ifgoch", (i, f, g, o, c, h), strict=True):
            kept[name].append(value)
    return kept


def _gru(x: Tensor, units: int, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> dict[str, list[Tensor]]:
    h = x.new_zeros(x.size(1), units)
    kept: dict[str, list[Tensor]] = {name: [] for name in "rznh"}
    for x_t in x:
        x_r, x_z, x_n = (x_t @ w_ih.T + b_ih).chunk(3, dim=-1)
        h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, dim=-1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = (1 - z) * n + z * h
        for name, value in zip("rznh", (r, z, n, h), strict=True):
            kept[name].append(value)
    return kept
