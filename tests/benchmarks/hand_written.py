"""What somebody writes today who wants the gates: a loop over the module's own weights that keeps them."""

import torch
from torch import Tensor, nn


def with_gates(module: nn.LSTM | nn.GRU, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
    """Every gate and state of every layer and direction, (time, batch, unit), from a zero initial state.

    With ``lengths`` x is padded, and each sequence is read within its own length.
    """
    kept: dict[str, Tensor] = {}
    live = None if lengths is None else (torch.arange(x.size(0))[:, None] < lengths).unsqueeze(-1)
    loop = _lstm if isinstance(module, nn.LSTM) else _gru
    for layer in range(module.num_layers):
        sides = []
        for suffix in ("", "_reverse") if module.bidirectional else ("",):
            name = f"l{layer}{suffix}"
            weights = [getattr(module, f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            order = list(range(x.size(0) - 1, -1, -1) if suffix else range(x.size(0)))
            rows = loop(x, order, live, module.hidden_size, *weights)
            kept |= {
                f"{name} {letter}": torch.stack(steps[::-1] if suffix else steps) for letter, steps in rows.items()
            }
            sides.append(kept[f"{name} h"])
        x = torch.cat(sides, dim=-1) if len(sides) > 1 else sides[0]
    return kept


def _lstm(
    x: Tensor, order: list[int], live: Tensor | None, units: int, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> dict[str, list[Tensor]]:
    h = c = x.new_zeros(x.size(1), units)
    kept: dict[str, list[Tensor]] = {name: [] for name in "ifgoch"}
    for t in order:
        i, f, g, o = (x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=-1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        if live is not None:
            c, h = c * live[t], h * live[t]
        for name, value in zip("ifgoch", (i, f, g, o, c, h), strict=True):
            kept[name].append(value)
    return kept


def _gru(
    x: Tensor, order: list[int], live: Tensor | None, units: int, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> dict[str, list[Tensor]]:
    h = x.new_zeros(x.size(1), units)
    kept: dict[str, list[Tensor]] = {name: [] for name in "rznh"}
    for t in order:
        x_r, x_z, x_n = (x[t] @ w_ih.T + b_ih).chunk(3, dim=-1)
        h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, dim=-1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        h = (1 - z) * n + z * h
        if live is not None:
            h = h * live[t]
        for name, value in zip("rznh", (r, z, n, h), strict=True):
            kept[name].append(value)
    return kept
