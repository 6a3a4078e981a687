"""How far the hidden states that gates and states give are from those that the model gave."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def one_step_residual(
    rebuilt: Float[Tensor, "*step unit"],
    given: Float[Tensor, "*step unit"],
    others: Iterable[Tensor] = (),
    live: Bool[Tensor, "*step 1"] | None = None,
) -> float:
    """max |h rebuilt − h given| / max(1, |h given|) where there are steps; NaN if a state there is not finite."""
    states = [rebuilt, given, *others]
    if live is not None:
        states = [state.masked_fill(~live, 0) for state in states]
    if not all([bool(torch.isfinite(state).all()) for state in states]):
        return float("nan")
    error = (rebuilt - given).abs_() / given.abs().clamp_(min=1)
    if live is not None:
        error = error.masked_fill(~live, 0)
    return float(error.max()) if error.numel() else 0.0
