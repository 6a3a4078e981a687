import pytest

import rnnwidget as rw
from rnnwidget.cells import family_named, gru, lstm
from rnnwidget.widgets.dials import dials_of, panel_rows, with_dials


def request(dials, layer=None, units=None):
    return {"serial": 1, "layer": layer, "units": units, "dials": dials}


def test_the_dials_that_did_not_move_keep_all_their_edits():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.shift("i", 1.0)]
    dials = dials_of(edits, None, None) | {"input_gate": {"kind": "shift", "value": 3.0}}
    assert with_dials(edits, request(dials)) == [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.shift("i", 3.0)]


def test_the_dial_that_moved_replaces_all_its_edits():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.clamp("i", 0.5)]
    dials = dials_of(edits, None, None) | {"forget_gate": {"kind": "clamp", "value": 0.0}}
    assert with_dials(edits, request(dials)) == [rw.clamp("i", 0.5), rw.clamp("f", 0.0)]
    del dials["forget_gate"]
    assert with_dials(edits, request(dials)) == [rw.clamp("i", 0.5)]


def test_a_request_that_moves_nothing_changes_nothing():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.scale("c", 0.5), rw.shift("f", 1.0, layer="l0", units=[1, 0])]
    assert with_dials(edits, request(dials_of(edits, None, None))) == edits
    assert with_dials(edits, request(dials_of(edits, "l0", [0, 1]), "l0", [0, 1])) == edits


def test_another_scope_keeps_its_edit_of_the_same_site():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0, layer="l0")]
    dials = {"forget_gate": {"kind": "shift", "value": -1.0}}
    assert with_dials(edits, request(dials, "l0")) == [rw.shift("f", 1.0), rw.shift("f", -1.0, layer="l0")]


@pytest.mark.parametrize(("delta", "reach"), [(0.5, 6), (-6, 6), (6.5, 10), (10, 10), (-11, 20), (42, 50), (51, 100)])
def test_a_shift_widens_its_own_range_to_a_round_one(delta, reach):
    ranges = {row["site"]: row["shift"] for row in panel_rows(gru, [rw.shift("z", delta)])}
    assert ranges == {"reset_gate": [-6, 6], "update_gate": [-reach, reach], "candidate": [-6, 6]}


def test_a_clamp_widens_no_shift():
    assert panel_rows(lstm, [rw.clamp("h", 10.0), rw.scale("f", 10.0)]) == panel_rows(lstm)


def test_words_below_a_slider_hold_for_shift_and_clamp_alike() -> None:
    """Numbers would be a clamp's, and wrong below a shift; minGRU's update gate is not nn.GRU's."""
    for name in ("leaky_rnn", "min_gru"):
        for row in panel_rows(family_named(name)):
            assert (row["low"], row["high"]) == ("less", "more")
