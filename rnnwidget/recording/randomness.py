"""Randomness that leaves the process's own generators alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PrivateRandomness(TorchFunctionMode):
    """Random numbers inside the block come from a generator of our own, so that the process's stays where it was.

    ``fork_rng`` will not do: from a widget's callback thread it would disturb a training loop that runs meanwhile.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._generators: dict[torch.device, torch.Generator] = {}
        self._seed = seed

    def __enter__(self) -> PrivateRandomness:  # noqa: PYI034 - torch's mode leaves its own untyped
        super().__enter__()  # type: ignore[no-untyped-call]
        _private.depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        _private.depth -= 1
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _DROPOUTS:
            return self._dropout(func, args, kwargs)
        if func in _LIKE_DRAWS:
            return self._draw_like(func, args, kwargs)
        if func in _DRAWS and kwargs.get("generator") is None:
            kwargs["generator"] = self._generator(args, kwargs)
        return func(*args, **kwargs)

    def _generator(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Generator:
        tensor = next((value for value in args if isinstance(value, Tensor)), None)
        device = (
            tensor.device if tensor is not None else torch.device(kwargs.get("device") or torch.get_default_device())
        )
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def _dropout(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        named = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
        probability = named.get("p", 0.5)
        training = named.get("training", named.get("train", True))
        tensor: Tensor = named["input"]
        if not training or probability == 0:
            return tensor
        shape = tensor.shape if func in _ELEMENT_DROPOUTS else (*tensor.shape[:2], *[1] * (tensor.dim() - 2))
        noise = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
        if probability == 1:
            noise.zero_()
        else:
            noise.bernoulli_(1 - probability, generator=self._generator((tensor,), {})).div_(1 - probability)
        return tensor.mul_(noise) if named.get("inplace", False) or func is torch.dropout_ else tensor * noise

    def _draw_like(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        like: Tensor = args[0] if args else kwargs.pop("input")
        rest = {key: value for key, value in kwargs.items() if key != "memory_format"}
        options = {"dtype": like.dtype, "device": like.device} | {k: v for k, v in rest.items() if v is not None}
        generator = self._generator((like,), {})
        return _LIKE_DRAWS[func](*args[1:], size=like.shape, generator=generator, **options)


class _Private(threading.local):
    def __init__(self) -> None:
        self.depth = 0


_private = _Private()


def randomness_is_private() -> bool:
    """Whether this thread is inside :class:`PrivateRandomness`."""
    return _private.depth > 0


_ELEMENT_DROPOUTS = {torch.nn.functional.dropout, torch.dropout, torch.dropout_}
_DROPOUTS = _ELEMENT_DROPOUTS | {
    torch.nn.functional.dropout1d,
    torch.nn.functional.dropout2d,
    torch.nn.functional.dropout3d,
}
_LIKE_DRAWS: dict[object, Callable[..., Tensor]] = {
    torch.rand_like: torch.rand,
    torch.randn_like: torch.randn,
    torch.randint_like: torch.randint,
}
_DRAWS = {
    torch.rand,
    torch.randn,
    torch.randint,
    torch.randperm,
    torch.bernoulli,
    torch.multinomial,
    torch.normal,
    torch.poisson,
    Tensor.bernoulli_,
    Tensor.bernoulli,
    Tensor.multinomial,
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.random_,
    Tensor.exponential_,
    Tensor.cauchy_,
    Tensor.geometric_,
    Tensor.log_normal_,
}
