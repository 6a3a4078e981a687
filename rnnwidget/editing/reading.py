"""How one direction reads a call: steps in its own order, sequences in the order of the call, leg by leg."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnnwidget.cells.edits import Leg
from rnnwidget.cells.layer_run import LayerWeights
from rnnwidget.editing.autocast import uncast
from rnnwidget.editing.overflow import far_from_overflow
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall

States = tuple[Tensor, ...]
PARTS = 16


class Reading(ABC):
    """The inputs of a call as one direction reads them, and what it computes as the call has it.

    States are (1, batch, unit), as the kernel has them.
    """

    def __init__(self, call: RecurrentCall, *, reverse: bool) -> None:
        self._call, self._layout, self._reverse = call, call.layout, reverse
        self.as_it_is = not (reverse or call.layout.packed)
        """Whether the order of this reading is that of the input, so that nothing has to be arranged."""

    @abstractmethod
    def arranged(self, tensor: Tensor) -> Tensor:
        """A tensor over (time, batch, unit) by input position, in the order of this reading."""

    @abstractmethod
    def read(self, inputs: Tensor) -> Tensor:
        """The inputs in the order of this reading."""

    @abstractmethod
    def written(self, hidden: Tensor) -> Tensor:
        """Hidden states by input position, time first or packed."""

    @abstractmethod
    def part(self, read: Tensor, leg: Leg) -> Tensor:
        """What a leg reads."""

    def going_on(self, states: States, leg: Leg) -> States:
        """The states of the sequences that a leg begins with."""
        return states

    def states_after(self, states: States, reached: States, leg: Leg) -> States:
        """The states of all sequences after a leg."""
        return reached

    @abstractmethod
    def padded(self, inputs: Tensor, leg: Leg) -> tuple[Tensor, Tensor | None]:
        """A leg's inputs as (time, batch, feature), and where there is a step; None where there always is."""

    @abstractmethod
    def unpadded(self, hidden: Tensor, leg: Leg) -> Tensor:
        """The inverse of :meth:`padded`."""

    def run_kernel(self, weights: LayerWeights, inputs: Tensor, states: States, leg: Leg) -> LayerOutput:
        """One leg on the kernel."""
        return self._call.run_direction(weights, inputs, states, self._sizes_of(leg))

    def _sizes_of(self, leg: Leg) -> Tensor | None:
        """How many sequences there are at each step of a packed call's leg."""
        return None


class DenseReading(Reading):
    """Sequences of one length."""

    def arranged(self, tensor: Tensor) -> Tensor:
        return tensor.flip(0) if self._reverse else tensor

    def read(self, inputs: Tensor) -> Tensor:
        return self.arranged(self._layout.to_time_first(inputs))

    def written(self, hidden: Tensor) -> Tensor:
        return self.arranged(hidden)

    def part(self, read: Tensor, leg: Leg) -> Tensor:
        return read[leg.start : leg.stop]

    def padded(self, inputs: Tensor, leg: Leg) -> tuple[Tensor, Tensor | None]:
        return inputs, None

    def unpadded(self, hidden: Tensor, leg: Leg) -> Tensor:
        return hidden


class PackedReading(Reading):
    """A packed batch, the longest sequence first; a leg reads rows of it, and what has ended keeps its state."""

    def __init__(self, call: RecurrentCall, *, reverse: bool) -> None:
        super().__init__(call, reverse=reverse)
        assert call.layout.batch_sizes is not None
        self._sizes = call.layout.batch_sizes
        self._rows = [0, *self._sizes.cumsum(0).tolist()]

    def arranged(self, tensor: Tensor) -> Tensor:
        turned = self._layout.flipped(tensor) if self._reverse and tensor.size(0) > 1 else tensor
        return turned if turned.size(1) == 1 else self._layout.to_call_order(turned, dim=1)

    def read(self, inputs: Tensor) -> Tensor:
        if not self._reverse:
            return inputs
        with uncast(inputs):
            return self._layout.from_time_first(self._layout.flipped(self._layout.to_time_first(inputs)))

    def written(self, hidden: Tensor) -> Tensor:
        return self.read(hidden)

    def part(self, read: Tensor, leg: Leg) -> Tensor:
        return read[self._rows[leg.start] : self._rows[leg.stop]]

    def going_on(self, states: States, leg: Leg) -> States:
        return tuple(state[:, : int(self._sizes[leg.start])] for state in states)

    def states_after(self, states: States, reached: States, leg: Leg) -> States:
        alive = int(self._sizes[leg.start])
        pairs = zip(reached, states, strict=True)
        with uncast(reached[0]):
            return tuple([torch.cat([new, old[:, alive:].to(new.dtype)], dim=1) for new, old in pairs])

    def _sizes_of(self, leg: Leg) -> Tensor:
        return self._sizes[leg.start : leg.stop]

    def padded(self, inputs: Tensor, leg: Leg) -> tuple[Tensor, Tensor | None]:
        sizes = self._sizes_of(leg)
        padded, lengths = pad_packed_sequence(PackedSequence(inputs, sizes))
        live = torch.arange(len(sizes), device="cpu").unsqueeze(1) < lengths
        return padded, live.unsqueeze(-1).to(inputs.device)

    def unpadded(self, hidden: Tensor, leg: Leg) -> Tensor:
        sizes = self._sizes_of(leg)
        lengths = (sizes.unsqueeze(1) > torch.arange(int(sizes[0]), device="cpu")).sum(0)
        return pack_padded_sequence(hidden, lengths).data


class ReadInputs:
    """The inputs of a layer in the order in which a direction reads them; what a leg reads of them is taken once."""

    def __init__(self, call: RecurrentCall, side: int, inputs: Tensor) -> None:
        self.reading = (PackedReading if call.layout.packed else DenseReading)(call, reverse=side == 1)
        self._whole = self.reading.read(inputs)
        self._parts: dict[tuple[int, int], Tensor] = {}

    def part(self, leg: Leg) -> Tensor:
        """What a leg reads."""
        key = leg.start, leg.stop
        if key not in self._parts:
            if len(self._parts) >= PARTS:
                self._parts.clear()
            self._parts[key] = self.reading.part(self._whole, leg)
        return self._parts[key]

    @cached_property
    def safe(self) -> bool:
        """Whether all of them are far from overflow."""
        return far_from_overflow(self._whole)
