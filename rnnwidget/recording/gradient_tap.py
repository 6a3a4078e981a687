"""Catches the gradients at a recurrent call: what arrives at its results, and what leaves by its first state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils.hooks import RemovableHandle


class GradientTap:
    """Sums ∂L/∂output, ∂L/∂h_n and ∂L/∂c_n over every backward that runs while it is open.

    ``left`` is what went back through the states that the call was given, where those came from the call before;
    ``arrived_beside`` is what came in at the tensors that a registered module gives ``beside`` its states. ``shape`` is
    that of the output as the user has it, None where there is none beside the states.
    """

    def __init__(
        self,
        name: str,
        handed: Sequence[Tensor | None],
        given: Sequence[Tensor],
        beside: Sequence[Tensor] = (),
    ) -> None:
        if not torch.is_grad_enabled():
            raise RuntimeError(
                f"record(gradients=True) saw {name} run without gradients: the call was made under torch.no_grad() or "
                "torch.inference_mode(), or by checkpoint(use_reentrant=True). Call the model with gradients enabled"
            )
        others = [tensor for tensor in beside if tensor.is_floating_point()]
        tensors = [*(tensor for tensor in handed if tensor is not None), *others]
        if not any(tensor.requires_grad for tensor in tensors):
            raise RuntimeError(
                f"record(gradients=True): the output of {name} needs no gradient, since neither its parameters nor its "
                "input require one (or clamps cut it off from both). Call requires_grad_() on either"
            )
        # As they are now: the user may write into them.
        self.tapped: tuple[GradientEdge, ...] = tuple(
            [get_gradient_edge(tensor) for tensor in tensors if tensor.requires_grad]
        )
        self.arrived: list[Tensor | None] = [None] * len(handed)
        self.left: list[Tensor | None] = [None] * len(given)
        self.arrived_beside: list[Tensor | None] = [None] * len(beside)
        self.shape = None if handed[0] is None else handed[0].shape
        self._handles: list[RemovableHandle] = [
            *self._listen(handed, self.arrived),
            *self._listen(given, self.left),
            *self._listen(beside, self.arrived_beside),
        ]

    def _listen(self, tensors: Sequence[Tensor | None], sums: list[Tensor | None]) -> list[RemovableHandle]:
        return [
            tensor.register_hook(self._adder(place, sums))
            for place, tensor in enumerate(tensors)
            if tensor is not None and tensor.requires_grad
        ]

    def _adder(self, place: int, sums: list[Tensor | None]) -> object:
        def add(gradient: Tensor | None) -> None:
            if gradient is None:  # a full backward hook of the user's passes on what is undefined
                return
            seen = sums[place]
            sums[place] = gradient.detach().clone() if seen is None else seen + gradient.detach()

        return add

    @property
    def empty(self) -> bool:
        """Whether no gradient has arrived yet."""
        return all(gradient is None for gradient in (*self.arrived, *self.arrived_beside))

    def close(self) -> None:
        """Stop listening and let the graph go."""
        for handle in self._handles:
            handle.remove()
        self._handles, self.tapped = [], ()
