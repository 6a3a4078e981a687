"""Edits that are laid out over all copies at once are those of each copy."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnwidget as rw
from rnnwidget.cells.edits import SiteEdit
from rnnwidget.editing.batched_numbers import alike, numbers_over
from rnnwidget.editing.edit import Edit
from rnnwidget.editing.edited import EditList
from rnnwidget.editing.merged_edits import merged_edits
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.twin import Twin
from tests.cases import assert_same_bits

units = st.none() | st.lists(st.integers(0, 3), max_size=3)
numbers = st.floats(0.125, 0.875)


@settings(max_examples=60)
@given(
    make=st.sampled_from([rw.clamp, rw.scale, rw.nudge, rw.shift]),
    layer=st.sampled_from([None, "l0", "l1"]),
    drawn=st.lists(st.tuples(numbers, units), min_size=1, max_size=5),
    batch=st.integers(1, 3),
)
def test_they_are_those_of_each_copy(
    make: object, layer: str | None, drawn: list[tuple[float, list[int] | None]], batch: int
) -> None:
    edits = [make("forget_gate", number, layer=layer, units=of) for number, of in drawn]
    (module,) = recurrent_modules(nn.LSTM(3, 4, num_layers=2))
    assert alike([[edit] for edit in edits]) == edits
    for each in module.layers:
        here = [edit for edit in edits if edit.layer in (None, each.name)]
        of_copies = [(), *(_over(edit, each.index, batch) for edit in here)]
        expected = merged_edits(of_copies, batch) if here else ()
        found = numbers_over(edits, each, torch.zeros(1), batch)
        gate = torch.rand(3, batch * (1 + len(edits)), 4)
        assert bool(found) == bool(here)
        once, by_copy = gate, gate
        for edit in found:
            once = edit(once)
        for edit in expected:
            by_copy = edit(by_copy)
        assert_same_bits(once, by_copy)


def _over(edit: Edit, index: int, batch: int) -> tuple[SiteEdit, ...]:
    """One edit over sequences of its own, as a run of its own has it."""
    model, seen = nn.LSTM(3, 4, num_layers=2), []

    class Seeing(EditList):
        def _edits_over(self, *arguments: object) -> list[tuple[SiteEdit, ...]]:
            seen.append(super()._edits_over(*arguments))
            return seen[-1]

    Twin(model).output(torch.zeros(3, batch, 3), editor=Seeing([edit]))
    return seen[0][index]


def test_edits_of_other_kinds_are_laid_out_one_by_one() -> None:
    one = rw.clamp("hidden", 0.5)
    others = [
        rw.clamp("hidden", 0.5, steps=[1]),
        rw.clamp("hidden", 0.5, batch=[0]),
        rw.clamp("hidden", torch.tensor(0.5)),
        rw.clamp("cell", 0.5),
        rw.clamp("hidden", 0.5, layer="l0"),
        rw.nudge("hidden", 0.0),
    ]
    assert all(alike([[one], [other]]) is None for other in others)
    assert alike([[one], [one, one]]) is None
    assert alike([[rw.scale("hidden", 0.5)], [rw.scale("hidden", 1.0)]]) is None
    assert alike([[rw.lesion([1])], [one]]) is not None
