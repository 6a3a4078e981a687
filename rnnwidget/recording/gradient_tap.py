"""Catches the gradients that arrive at a recurrent call from outside: at its output and its final states."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle


class GradientTap:
    """Sums ∂L/∂output, ∂L/∂h_n and ∂L/∂c_n over every backward that runs while it is open."""

    def __init__(self, name: str, result: tuple[Tensor, ...], *, start_graph: bool) -> None:
        if not torch.is_grad_enabled():
            raise RuntimeError(
                f"record(gradients=True) saw {name} run without gradients: the call was made under torch.no_grad() or "
                "torch.inference_mode(). Call the model with gradients enabled"
            )
        if start_graph:
            for tensor in result:
                if not tensor.requires_grad:
                    tensor.requires_grad_()
        if not any(tensor.requires_grad for tensor in result):
            raise RuntimeError(
                f"record(gradients=True): the output of {name} needs no gradient, since neither its parameters nor its "
                "input require one (or clamps cut it off from both). Call requires_grad_() on either"
            )
        self.tapped = result
        self.arrived: list[Tensor | None] = [None] * len(result)
        self._handles: list[RemovableHandle] = [
            tensor.register_hook(self._adder(position))
            for position, tensor in enumerate(result)
            if tensor.requires_grad
        ]

    def _adder(self, position: int) -> object:
        def add(gradient: Tensor | None) -> None:
            if gradient is None:  # a full backward hook of the user's passes on what is undefined
                return
            seen = self.arrived[position]
            self.arrived[position] = gradient.detach().clone() if seen is None else seen + gradient.detach()

        return add

    @property
    def empty(self) -> bool:
        """Whether no gradient has arrived yet."""
        return all(gradient is None for gradient in self.arrived)

    def close(self) -> None:
        """Stop listening and let the graph go."""
        for handle in self._handles:
            handle.remove()
        self._handles, self.tapped = [], ()
