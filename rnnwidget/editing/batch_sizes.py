"""How many variants of a run are worth a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnnwidget.editing.edit import Edit
from rnnwidget.editing.intervention import Intervention
from rnnwidget.editing.variants import NUMBERS_AT_ONCE
from rnnwidget.recording.prefixes import leaves

ROWS = 64
"""So many sequences of all values are run at once; a kernel gains nothing from more."""
FEWEST = 6
"""Fewer runs than these cost no more one by one, since a batch of them is compared with two of their own."""
SEQUENCES = {"lstm": 2}
OF_OTHERS = 8
"""A kernel that reads more sequences than these is as busy as it can be; that of an LSTM is so sooner."""


def size_of_batches(runner: Intervention, x: object, variants: Sequence[Sequence[Edit]]) -> int:
    """How many variants are to run at once, 0 where they run faster, or have to, one by one."""
    recording = runner.baseline_recording
    if len(variants) < FEWEST or not recording.layers or _needs_graph(x, runner.baseline, variants):
        return 0
    called = [recording.calls(layer)[0] for layer in recording.layers]
    # A run of its own takes the steps before its edits from the run without edits.
    if 2 * min(map(_first_step, variants)) >= called[0].source.steps:
        return 0
    numbers = sum(each.hidden.numel() for each in called)
    sequences = len(called[0].lengths)
    busy = min(SEQUENCES.get(each.family, OF_OTHERS) for each in called)
    most = min(ROWS // max(1, sequences), NUMBERS_AT_ONCE // max(1, numbers))
    if sequences > busy or most < FEWEST:
        return 0
    batches = math.ceil(len(variants) / most)
    return math.ceil(len(variants) / batches)


def _needs_graph(x: object, output: object, variants: Sequence[Sequence[Edit]]) -> bool:
    values = (edit.value for edits in variants for edit in edits)
    tensors = (leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in leaves((x, output, *values)))
    return torch.is_grad_enabled() and any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tensors)


def _first_step(edits: Sequence[Edit]) -> int:
    """The first step that is edited, whichever layer it is."""
    starts = (
        min(edit.steps, default=0) if isinstance(edit.steps, tuple) else edit.steps.start or 0
        for edit in edits
        if not edit.identity
        if edit.steps is not None
    )
    everywhere = any(edit.steps is None and not edit.identity for edit in edits)
    return 0 if everywhere else min(starts, default=0)
