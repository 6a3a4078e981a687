from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rnnwidget as rw
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.widgets.regions import edited_regions

LAYER = recurrent_modules(nn.LSTM(3, 6))[0].layers[0]
UNITS, STEPS = 6, 9
INDICES = st.none() | st.lists(st.integers(0, 12), max_size=5)
BOUND = st.none() | st.integers(0, 12)
EDIT = st.fixed_dictionaries(
    {
        "delta": st.sampled_from([0.0, 1.0]),
        "layer": st.sampled_from([None, "l0", "l1"]),
        "units": INDICES,
        "steps": INDICES | st.builds(slice, BOUND, BOUND, st.none() | st.integers(1, 3)),
        "batch": st.none() | st.lists(st.integers(0, 2), max_size=2),
    }
)


def cells_of(edits, sequence):
    """The edited cells by asking of every one."""
    return {
        (unit, step)
        for edit in edits
        for unit in range(UNITS)
        for step in range(STEPS)
        if edit.value != 0
        and edit.layer in (None, "l0")
        and (edit.units is None or unit in edit.units)
        and (edit.batch is None or sequence in edit.batch)
        and (
            edit.steps is None
            or step in (range(*edit.steps.indices(STEPS)) if isinstance(edit.steps, slice) else edit.steps)
        )
    }


@given(st.lists(EDIT, max_size=4), st.integers(0, 2))
def test_the_regions_hold_the_edited_cells_and_no_others(drawn, sequence):
    edits = [rw.shift("f", **keywords) for keywords in drawn]
    regions = edited_regions(edits, LAYER, UNITS, STEPS, sequence)
    found = {
        (unit, step)
        for region in regions
        for unit in (range(UNITS) if region["units"] is None else region["units"])
        for start, stop in ([[0, STEPS]] if region["steps"] is None else region["steps"])
        for step in range(start, stop)
    }
    assert found == cells_of(edits, sequence)


def test_whole_rows_and_whole_columns_say_so():
    row, column = rw.clamp("f", 1.0, units=[2], steps=slice(0, 99)), rw.clamp("f", 0.0, steps=[3, 4, 6])
    assert edited_regions([row, column], LAYER, UNITS, STEPS, 0) == [
        {"units": [2], "steps": None},
        {"units": None, "steps": [[3, 5], [6, 7]]},
    ]
