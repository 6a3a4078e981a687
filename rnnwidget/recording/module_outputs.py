"""What other modules gave, aligned in time with the recurrent layers beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.recording.sequences import SequenceLayout


@dataclass(frozen=True)
class CallInTime:
    """A recurrent call and its place among everything that was called.

    ``batch_first`` is what its module says of sequences, None if it says nothing, as a cell.
    """

    serial: int
    layout: SequenceLayout
    batch_first: bool | None


@dataclass(frozen=True)
class _Given:
    serial: int
    output: Tensor | PackedSequence | None
    read: tuple[tuple[int, ...], ...] | None

    def is_of_vectors(self, batch: int) -> bool:
        """Whether it is a vector of each sequence, be it of one number, of a module that reads vectors."""
        shape = _shape(self.output) or ()
        return len(shape) == 2 and shape[0] == batch and self.read is not None


class ModuleOutputs(Mapping[str, Tensor]):
    """Per-step outputs by module path: (time, batch, …), NaN where a packed sequence has ended.

    A module that was called once for a whole sequence is laid out by its time axis; one that was called at every step
    of a loop is stacked. The last run of a recurrent layer that fits is the one it is aligned with.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> class Decoder(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.cell, self.head = torch.nn.GRUCell(3, 4), torch.nn.Linear(4, 3)
    ...     def forward(self, x, steps):
    ...         h = None
    ...         for _ in range(steps):
    ...             h = self.cell(x, h)
    ...             x = self.head(h)
    ...         return x
    >>> model = Decoder()
    >>> with rw.record(model, also=["head"]) as recording:
    ...     _ = model(torch.randn(2, 3), steps=5)
    >>> recording.also["head"].shape, recording["cell"].hidden.shape
    (torch.Size([5, 2, 3]), torch.Size([5, 2, 4]))
    """

    def __init__(self, paths: Sequence[str] = ()) -> None:
        self._given: dict[str, list[_Given]] = {path: [] for path in paths}
        self._runs: list[tuple[object, list[CallInTime]]] = []
        self._serial = 0

    def called(self, module: object, layout: SequenceLayout, *, goes_on: bool) -> None:
        """A recurrent module was called."""
        if not self._given:
            return
        self._serial += 1
        call = CallInTime(self._serial, layout, getattr(module, "batch_first", None))
        last = next((calls for of, calls in reversed(self._runs) if of is module), None)
        if goes_on and last is not None:
            last.append(call)
        else:
            self._runs.append((module, [call]))

    def keep(self, path: str, output: object, arguments: Sequence[object] = ()) -> None:
        """One of the modules gave something, called with ``arguments``."""
        self._serial += 1
        tensor = first_tensor(output)
        if tensor is not None:
            with torch.inference_mode(mode=False):
                if isinstance(tensor, PackedSequence):
                    tensor = tensor._replace(data=tensor.data.detach().clone())
                else:
                    tensor = tensor.detach().clone()
        self._given[path].append(_Given(self._serial, tensor, _vectors(arguments)))

    def __getitem__(self, path: str) -> Shaped[Tensor, "time batch *rest"]:
        """The output at every step.

        Raises
        ------
        KeyError
            The path was not asked for, or its module was not called.
        ValueError
            What it gave has no time axis of a recurrent layer, or there are as many steps as sequences and nothing says
            which axis is time; the message says what it gave.
        """
        if path not in self._given:
            asked = ", ".join(repr(known) for known in self._given) or "none: record(model, also=[…]) asks for them"
            raise KeyError(f"no outputs of {path!r} were kept; kept were {asked}")
        given = self._given[path]
        if not given:
            raise KeyError(f"{path!r} was not called while it was recorded")
        if all(each.output is None for each in given):
            raise ValueError(f"{path!r} gave no tensor")
        for place in range(len(self._runs) - 1, -1, -1):
            aligned = self._aligned(place, given)
            if aligned is not None:
                around = (self._aligned(other, given) for other in self._around(place))
                return next((found for found in around if found is not None), aligned)
        shapes = list(dict.fromkeys(_shape(each.output) for each in given))
        runs = ", ".join(f"{sum(c.layout.steps for c in calls)} × {calls[0].layout.batch}" for _, calls in self._runs)
        raise ValueError(
            f"{path!r} was called {'once' if len(given) == 1 else f'{len(given)} times'} and gave "
            f"{', '.join(map(str, shapes))}: neither an output for every step of a recurrent layer nor a call for each "
            f"(steps × sequences of the layers: {runs})"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def _around(self, place: int) -> Iterator[int]:
        """The runs that a single step falls into: of a registered layer, whose step calls a cell of PyTorch's."""
        calls = self._runs[place][1]
        if len(calls) > 1 or calls[0].layout.steps > 1:
            return
        for other in range(place - 1, -1, -1):
            run = self._runs[other][1]
            if run[0].serial < calls[0].serial < run[-1].serial:
                yield other

    def _aligned(self, place: int, given: list[_Given]) -> Tensor | None:
        """The outputs as those of one run, None if they do not fit it."""
        module, calls = self._runs[place]
        own = [call.serial for of, run in self._runs if of is module for call in run]
        # In a loop some modules look before the recurrent one, others speak after it; the first step tells which.
        if given[0].serial < own[0]:
            begins = max((serial for serial in own if serial < calls[0].serial), default=0)
            ends: float = calls[-1].serial
        else:
            begins, ends = calls[0].serial, min((s for s in own if s > calls[-1].serial), default=float("inf"))
        during = [each for each in given if begins < each.serial < ends]
        layout, batch_first = calls[0].layout, calls[0].batch_first
        if len(calls) > 1:
            layout = SequenceLayout(sum(c.layout.steps for c in calls), layout.batch, layout.batch_first)
        one_step = layout._replace(steps=1, batch_sizes=None)
        layouts = [call.layout for call in calls] if len(during) == len(calls) else [one_step] * layout.steps
        if len(during) == len(layouts) > 1:
            each_part = zip(during, layouts, strict=True)
            parts = [_by_step(each, of_part, batch_first) for each, of_part in each_part]
            found = [part for part in parts if part is not None]
            if len(found) == len(parts) and len({part.shape[1:] for part in found}) == 1:
                return torch.cat(found)
        if len(calls) == layout.steps == 1 and batch_first is None:
            laid_out = (_by_step(each, layout, batch_first) for each in reversed(during))
        else:
            single = len(calls) > 1 or layout.steps > 1
            laid_out = (_by_time(each, layout, batch_first, single=single) for each in reversed(during))
        return next((found for found in laid_out if found is not None), None)


def _vectors(arguments: Sequence[object]) -> tuple[tuple[int, ...], ...] | None:
    """The shapes of what a module reads, where that is vectors only; None where it may have a time axis besides."""
    read = [part for part in arguments if isinstance(part, Tensor)]
    packed = any(isinstance(part, PackedSequence) for part in arguments)
    if not read or packed or any(part.dim() != 2 or not part.is_floating_point() for part in read):
        return None
    return tuple(tuple(part.shape) for part in read)


UNTOLD = (
    "the output {} has as many steps as sequences, and cells do not say which axis is time: record another number of "
    "sequences"
)


def _by_step(each: _Given, layout: SequenceLayout, batch_first: bool | None) -> Tensor | None:
    """Like :func:`_by_time`, in a loop: there is an output for each call of the recurrent module."""
    if layout.steps == 1 and isinstance(each.output, Tensor) and each.is_of_vectors(layout.batch):
        return each.output.unsqueeze(0)
    return _by_time(each, layout, batch_first)


def _by_time(each: _Given, layout: SequenceLayout, batch_first: bool | None, *, single: bool = False) -> Tensor | None:
    """The output as (time, batch, …); None if it has no such axes. ``single`` demands a time axis."""
    output, steps, batch = each.output, layout.steps, layout.batch
    if isinstance(output, PackedSequence):
        fits = layout.packed and len(output.batch_sizes) == steps
        return _blank(layout.to_time_first(output.data), layout) if fits else None
    if output is None or output.dim() == 0:
        return None
    leading, found = tuple(output.shape[:2]), None
    if steps > 1 and output.dim() == 2 and each.read is not None and not {leading, leading[::-1]} & {*each.read}:
        leading = ()  # a vector of one sequence each, as a classifier's of as many classes as steps
    if leading == (steps, batch) == (batch, steps) and steps > 1 and batch_first is None:
        raise ValueError(UNTOLD.format(tuple(output.shape)))
    if leading == (steps, batch) and not (steps == batch and batch_first):
        found = _blank(output, layout)
    elif leading == (batch, steps):
        found = _blank(output.transpose(0, 1), layout)
    elif layout.batch_sizes is not None and output.size(0) == int(layout.batch_sizes.sum()):
        found = _blank(layout.to_time_first(output), layout)
    elif batch == 1 and steps > 1 and output.size(0) == steps:
        found = output.unsqueeze(1)
    elif not single and steps == 1 and output.size(0) == batch:
        found = output.unsqueeze(0)
    return found


def _blank(tensor: Tensor, layout: SequenceLayout) -> Tensor:
    if not layout.packed or not tensor.is_floating_point():
        return tensor
    live = layout.live(tensor.device)
    return tensor.masked_fill(~live.reshape(*live.shape[:2], *(1,) * (tensor.dim() - 2)), torch.nan)


def _shape(output: Tensor | PackedSequence | None) -> tuple[int, ...] | None:
    if output is None:
        return None
    return tuple(output.data.shape if isinstance(output, PackedSequence) else output.shape)


def first_tensor(output: object) -> Tensor | PackedSequence | None:
    """What an output is about: its logits, else the first tensor in it."""
    if isinstance(output, (Tensor, PackedSequence)):
        return output
    if isinstance(output, Mapping):
        if isinstance(output.get("logits"), (Tensor, PackedSequence)):
            return output["logits"]  # type: ignore[no-any-return]
        return next((found for value in output.values() if (found := first_tensor(value)) is not None), None)
    if isinstance(output, (tuple, list)):
        return next((found for value in output if (found := first_tensor(value)) is not None), None)
    return None
