"""Randomness that leaves the process's own generators alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import BuiltinFunctionType, MethodDescriptorType, MethodWrapperType
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverloadPacket
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from rnnwidget.recording.guarded_memory import GuardedMemory, is_in_place
from rnnwidget.recording.kernels import KERNELS

Noise = Mapping[torch.device, Tensor]
"""The state of a generator on each device that has drawn."""


class PrivateRandomness(TorchFunctionMode):
    """Random numbers inside the block come from a generator of our own, so that the process's stays where it was.

    ``fork_rng`` will not do: from a widget's callback thread it would disturb a training loop that runs meanwhile.
    Recurrent kernels are left out, whose every step would be seen: the interception core draws for them. Since every
    operator is seen, ``guarded`` memory is looked after as well.
    """

    def __init__(self, seed: int = 0, guarded: GuardedMemory | None = None) -> None:
        super().__init__()
        self._draws, self._guarded = _PrivateDraws(seed, guarded), guarded

    def __enter__(self) -> PrivateRandomness:  # noqa: PYI034 - torch's mode leaves its own untyped
        super().__enter__()  # type: ignore[no-untyped-call]
        _private.modes.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _private.modes.pop()
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    @property
    def noise(self) -> Noise:
        """Where the generators stand."""
        return self._draws.noise

    @noise.setter
    def noise(self, noise: Noise) -> None:
        self._draws.noise = noise

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._guarded is not None:
            if args and is_in_place(func):
                self._guarded.check(args[:1])
            if kwargs and kwargs.get("out") is not None:
                self._guarded.check([kwargs["out"]])
        if func in KERNELS or _never_draws(func):
            return func(*args, **kwargs) if kwargs else func(*args)
        with self._draws:
            return func(*args, **(kwargs or {}))


class _PrivateDraws(TorchDispatchMode):
    """Hands our generator to every operator that draws."""

    def __init__(self, seed: int, guarded: GuardedMemory | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed, self._guarded = seed, guarded
        self._generators: dict[torch.device, torch.Generator] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch would import all of Dynamo, over a second, at the first operator; our runs are eager as it is."""
        return False

    @property
    def noise(self) -> Noise:
        return {device: generator.get_state() for device, generator in self._generators.items()}

    @noise.setter
    def noise(self, noise: Noise) -> None:
        for device, generator in self._generators.items():
            if device in noise:
                generator.set_state(noise[device])
            else:
                generator.manual_seed(self._seed)

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if self._guarded is not None and func._schema.is_mutable:  # noqa: SLF001 - torch has no other name for it
            self._guarded.check_operator(func, args, kwargs)
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if func is torch.ops.aten.native_dropout.default:
            return self._dropout(*args, **kwargs)
        takes = [argument.name for argument in func._schema.arguments]  # noqa: SLF001 - torch has no other name for it
        if "generator" not in takes:
            seeded = _SEEDED.get(func._overloadname, "")  # noqa: SLF001 - likewise
            if seeded not in func.overloadpacket.overloads():
                fill = _FILLS.get(func._schema.name)  # noqa: SLF001 - likewise
                if fill is not None:
                    return fill(torch.empty_like(*args, **kwargs), generator=self._generator(args, kwargs))
                with self:  # what inference mode hands over whole is seen part by part
                    parts = func.decompose(*args, **kwargs)
                return func(*args, **kwargs) if parts is NotImplemented else parts
            func = getattr(func.overloadpacket, seeded)
        elif takes.index("generator") < len(args):
            place = takes.index("generator")
            args, kwargs["generator"] = (*args[:place], *args[place + 1 :]), args[place]
        if kwargs.get("generator") is None:
            kwargs["generator"] = self._generator(args, kwargs)
        return func(*args, **kwargs)

    def _generator(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Generator:
        tensor = next((value for value in args if isinstance(value, Tensor)), None)
        device = tensor.device if tensor is not None else torch.device(kwargs.get("device") or "cpu")
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def _dropout(self, tensor: Tensor, p: float, train: bool | None = True) -> tuple[Tensor, Tensor]:
        if not train or p == 0:
            return tensor.clone(), torch.ones_like(tensor, dtype=torch.bool)
        kept = torch.empty_like(tensor).bernoulli_(1 - p, generator=self._generator((tensor,), {}))
        return tensor * kept * (0.0 if p == 1 else 1 / (1 - p)), kept.bool()


# Before PyTorch had these take a generator.
_FILLS: dict[str, Callable[..., Tensor]] = {"aten::rand_like": Tensor.uniform_, "aten::randn_like": Tensor.normal_}
_SEEDED = {
    "default": "generator",
    "low": "low_generator",
    "Tensor": "Tensor_generator",
    "low_dtype": "low_generator_dtype",
    "out": "generator_out",
    "low_out": "low_generator_out",
}


@cache
def _never_draws(function: Any) -> bool:
    """Whether an operator of PyTorch's own surely draws no random number: what may draw is tagged so."""
    name = getattr(function, "__name__", "")
    if isinstance(function, MethodWrapperType):
        return name == "__get__"
    if function in (Tensor.__getitem__, Tensor.__setitem__):
        return True
    if not isinstance(function, (BuiltinFunctionType, MethodDescriptorType)):
        return False
    packet = getattr(torch.ops.aten, name.removeprefix("__").removesuffix("__"), None)
    if not isinstance(packet, OpOverloadPacket):
        return False
    overloads = [getattr(packet, overload, None) for overload in packet.overloads()]
    seeded = torch.Tag.nondeterministic_seeded
    return bool(overloads) and all(overload is not None and seeded not in overload.tags for overload in overloads)


def nothing_drawn() -> AbstractContextManager[object]:
    """Around what draws no random number: inside :class:`PrivateRandomness` every operator is looked at otherwise."""
    # torch has no public name for it
    return torch._C.DisableTorchFunction() if _private.modes else _NOWHERE  # noqa: SLF001


_NOWHERE = nullcontext()


class _Private(threading.local):
    def __init__(self) -> None:
        self.modes: list[PrivateRandomness] = []


_private = _Private()


def randomness_is_private() -> bool:
    """Whether this thread is inside :class:`PrivateRandomness`."""
    return bool(_private.modes)


def noise_now() -> Noise:
    """Where this thread's random numbers stand: the process's on CPU, or all of our own inside the block."""
    return _private.modes[-1].noise if _private.modes else {torch.device("cpu"): torch.get_rng_state()}


@contextmanager
def drawn_as_from(noise: Noise) -> Iterator[None]:
    """What is run inside draws what was drawn from ``noise`` on; afterwards random numbers stand where they stood."""
    after = noise_now()
    _go_to(noise)
    try:
        yield
    finally:
        _go_to(after)


def _go_to(noise: Noise) -> None:
    if _private.modes:
        _private.modes[-1].noise = noise
    else:
        torch.set_rng_state(noise[torch.device("cpu")])
