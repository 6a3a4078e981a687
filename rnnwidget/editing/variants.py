"""Variants of one run, each under other edits: in one batch where that gives the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.editing.agreement import agree
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.replicas import NotReplicable, replica, replicated
from rnnwidget.editing.side_by_side import SideBySide
from rnnwidget.editing.values_read import ValuesRead
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.module_outputs import first_tensor
from rnnwidget.recording.twin import Twin

NUMBERS_AT_ONCE = 2**25
"""So many hidden states of all sequences and copies are held at once."""

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Variants(Generic[AnswerT]):
    """Runs of a model on one input, each under edits of its own.

    ``output`` is that of the run without edits, and ``called`` a recurrent call in it, which tells of the sequences.
    ``answer`` is asked about outputs; where ``whole`` is False it looks at their first tensor only.
    """

    twin: Twin
    x: object
    output: object
    called: LayerRecording
    answer: Callable[[object], AnswerT]
    whole: bool = True

    def at_once(self, variants: Sequence[Sequence[Edit]]) -> tuple[AnswerT, list[AnswerT]]:
        """The answer without edits, and that of each variant, from one batch that holds every sequence for each.

        Raises
        ------
        NotReplicable
            The model refuses such a batch, or gives something else in it: the unedited copy is compared with the run
            without edits, the variant that is furthest from it and the one in the middle with runs of their own. Or
            what it computes decides what it does next, which differs from variant to variant.
        """
        editor = SideBySide(variants)
        batch, single = len(self.called.lengths), self._wanted(self.output)
        with torch.no_grad():
            many = replicated(self.x, editor.copies, batch=batch, batch_first=self.called.batch_first)
            try:
                output = self._wanted(self.twin.output(many, editor=editor))
            except Exception as error:
                # A person's model may refuse a batch of another size in any way.
                raise NotReplicable from error
            outputs = [replica(output, single, editor.copies, place) for place in range(editor.copies)]
            if not agree(outputs[0], single):
                raise NotReplicable
            read = ValuesRead()
            alone = {
                place: self._wanted(self.twin.output(self.x, editor=EditList(variants[place]), within=read))
                for place in {_furthest(outputs), len(variants) // 2}
            }
        if read.any or not all(agree(outputs[1 + place], own) for place, own in alone.items()):
            raise NotReplicable
        before, *after = [self.answer(each) for each in outputs]
        if not all(agree(after[place], self.answer(own)) for place, own in alone.items()):
            raise NotReplicable
        return before, after

    def _wanted(self, output: object) -> object:
        return output if self.whole else first_tensor(output)


def _furthest(outputs: Sequence[object]) -> int:
    """The output whose first tensor is furthest from the very first one's; what is not finite counts as nothing."""
    numbers = [found for found in map(_numbers, outputs) if found is not None]
    if len(numbers) < len(outputs) or not numbers[0].numel():
        return 0
    together = torch.stack(numbers)
    together = together.to(torch.promote_types(together.dtype, torch.float32))
    distances = together[1:].sub_(together[0]).abs().nan_to_num_(nan=0.0, posinf=0.0)
    return int(distances.reshape(len(distances), -1).amax(1).argmax())


def _numbers(output: object) -> Tensor | None:
    found = first_tensor(output)
    return found.data if isinstance(found, PackedSequence) else found
