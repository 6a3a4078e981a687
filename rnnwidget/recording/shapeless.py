"""Parameters without a shape: those of PyTorch's lazy modules, until the first call that reaches them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def shapeless(model: nn.Module) -> list[str]:
    """The names of the parameters and buffers that have no shape yet."""
    return [name for name, tensor in chain(model.named_parameters(), model.named_buffers()) if is_lazy(tensor)]


def check_shapes(model: nn.Module) -> None:
    """ValueError where a run of our own would be of numbers that the model does not have."""
    names = shapeless(model)
    if names:
        few = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise ValueError(
            f"{type(model).__name__} has parameters without a shape or values yet ({few}): PyTorch makes them in the "
            "first call that reaches them, so call the model once, as in model(x)"
        )


def numbers_in(parameters: Iterable[Tensor]) -> int:
    """How many numbers there are; a parameter without a shape has none."""
    return sum(parameter.numel() for parameter in parameters if not is_lazy(parameter))
