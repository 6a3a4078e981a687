"""Losses on some of what a recurrent call gives."""

import torch
from hypothesis import strategies as st
from torch import Tensor

SOURCES = st.frozensets(st.sampled_from(["output", "h_n", "c_n"]), min_size=1)


def loss_of(output: Tensor, finals: tuple[Tensor, ...], sources: frozenset[str], seed: int = 0) -> Tensor:
    """A loss on some of output (time, batch, unit), h_n and c_n; curved, so that gradients depend on the values."""
    generator = torch.Generator().manual_seed(seed)
    total = output.new_zeros(())
    for name, tensor in zip(("output", "h_n", "c_n"), (output, *finals), strict=False):
        weights = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        if name in sources:
            live = tensor.nan_to_num(nan=0.0)
            total = total + (weights * (live + live * live)).sum()
    return total
