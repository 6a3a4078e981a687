import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN, MinGRU, family_named, gru, lstm
from rnnwidget.cells.rnn import rnn_relu
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.widgets.described import describe
from rnnwidget.widgets.dials import Scope, dials_of, inherited, panel_rows, window_of, with_dials

EVERYWHERE = Scope()


def request(dials, layer=None, units=None, steps=None, **more):
    return {"serial": 1, "layer": layer, "units": units, "steps": steps, "dials": dials} | more


def test_the_dials_that_did_not_move_keep_all_their_edits():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.shift("i", 1.0)]
    dials = dials_of(edits, EVERYWHERE) | {"input_gate": {"kind": "shift", "value": 3.0}}
    assert with_dials(edits, request(dials)) == [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.shift("i", 3.0)]


def test_the_dial_that_moved_replaces_all_its_edits():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.clamp("i", 0.5)]
    dials = dials_of(edits, EVERYWHERE) | {"forget_gate": {"kind": "clamp", "value": 0.0}}
    assert with_dials(edits, request(dials)) == [rw.clamp("i", 0.5), rw.clamp("f", 0.0)]
    del dials["forget_gate"]
    assert with_dials(edits, request(dials)) == [rw.clamp("i", 0.5)]


def test_a_request_that_moves_nothing_changes_nothing():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0), rw.scale("c", 0.5), rw.shift("f", 1.0, layer="l0", units=[1, 0])]
    assert with_dials(edits, request(dials_of(edits, EVERYWHERE))) == edits
    assert with_dials(edits, request(dials_of(edits, Scope("l0", (0, 1))), "l0", [0, 1])) == edits


def test_another_scope_keeps_its_edit_of_the_same_site():
    edits = [rw.shift("f", 1.0), rw.shift("f", 2.0, layer="l0")]
    dials = {"forget_gate": {"kind": "shift", "value": -1.0}}
    assert with_dials(edits, request(dials, "l0")) == [rw.shift("f", 1.0), rw.shift("f", -1.0, layer="l0")]


@pytest.mark.parametrize(("delta", "reach"), [(0.5, 6), (-6, 6), (6.5, 10), (10, 10), (-11, 20), (42, 50), (51, 100)])
def test_a_shift_widens_its_own_range_to_a_round_one(delta, reach):
    ranges = {row["site"]: row["shift"] for row in panel_rows(gru, [rw.shift("z", delta)])}
    assert ranges == {"reset_gate": [-6, 6], "update_gate": [-reach, reach], "candidate": [-6, 6]}


def test_a_clamp_widens_no_shift():
    assert panel_rows(lstm, [rw.clamp("h", 10.0), rw.scale("f", 2.0)]) == panel_rows(lstm)


def test_a_scale_has_room_for_what_is_in_force():
    assert panel_rows(lstm, [rw.scale("f", 7.0)])[1]["scale"] == [0.0, 10.0]


def test_a_clamp_has_room_for_what_is_in_force_as_far_as_its_site_goes():
    rows = [panel_rows(rnn_relu, edits)[0] for edits in ([], [rw.clamp("hidden", 7.0)])]
    assert [(row["clamp"], row["bounds"]) for row in rows] == [([0, 5.0], [0, None]), ([0, 10.0], [0, None])]
    gates = panel_rows(lstm, [rw.clamp("f", 1.0)])
    assert {(*row["clamp"], *row["bounds"]) for row in gates} == {(0, 1, 0, 1), (-1, 1, -1, 1)}


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_the_ends_of_a_slider_are_numbers(value):
    assert all(math.isfinite(end) for row in panel_rows(lstm, [rw.shift("f", value)]) for end in row["shift"])


def test_a_dial_starts_with_the_kind_that_its_site_most_likely_wants():
    assert {row["site"]: row["kind"] for row in panel_rows(lstm)} == {
        "input_gate": "shift",
        "forget_gate": "shift",
        "candidate": "scale",
        "output_gate": "shift",
    }
    assert [row["kind"] for row in panel_rows(family_named("rnn"))] == ["shift"]
    assert all(row["kinds"] == ["shift", "clamp", "scale"] for row in panel_rows(gru))


def test_a_window_of_steps_keeps_edits_of_its_own():
    """Several brushed windows one after the other are several edits."""
    edits = with_dials([], request({"forget_gate": {"kind": "clamp", "value": 1.0}}, "l0", [3], [2, 5]))
    edits = with_dials(edits, request({"forget_gate": {"kind": "clamp", "value": 0.0}}, "l0", [3], [7, 9]))
    assert edits == [
        rw.clamp("f", 1.0, layer="l0", units=[3], steps=slice(2, 5)),
        rw.clamp("f", 0.0, layer="l0", units=[3], steps=slice(7, 9)),
    ]
    assert dials_of(edits, Scope("l0", (3,), (2, 5))) == {"forget_gate": {"kind": "clamp", "value": 1.0}}
    assert dials_of(edits, Scope("l0", (3,))) == {}
    assert with_dials(edits, request({}, "l0", [3], [2, 5])) == edits[1:]


def test_a_request_for_one_site_leaves_the_other_dials_of_its_scope_alone():
    edits = [rw.shift("i", 1.0, layer="l0"), rw.scale("o", 0.5, layer="l0")]
    one = request({"forget_gate": {"kind": "clamp", "value": 0.5}}, "l0", only=["forget_gate"])
    assert with_dials(edits, one) == [*edits, rw.clamp("f", 0.5, layer="l0")]


@pytest.mark.parametrize(
    ("steps", "window"),
    [
        (slice(2, 9), (2, 9)),
        (slice(None, 9), (0, 9)),
        ([4, 2, 3], (2, 5)),
        (slice(2, None), None),
        (slice(5, 5), None),
        (slice(2, 9, 2), None),
        ([1, 3], None),
        ([], None),
        (None, None),
    ],
)
def test_a_window_is_a_run_of_steps(steps, window):
    edit = rw.shift("f", 1.0, steps=steps)
    assert window_of(edit) == window
    assert Scope(steps=window).holds(edit) == (window is not None or steps is None)


def test_tensors_and_lesions_are_on_no_dial():
    for edit in (rw.clamp("f", torch.ones(3)), rw.lesion([1]), rw.nudge("f", 1.0), rw.shift("f", 1.0, batch=[0])):
        assert dials_of([edit], Scope(None, edit.units)) == {}


def test_words_below_a_slider_hold_for_shift_and_clamp_alike() -> None:
    """Numbers would be a clamp's, and wrong below a shift; minGRU's update gate is not nn.GRU's."""
    for kind in (LeakyRNN, MinGRU):
        for row in panel_rows(recurrent_modules(kind(3, 4))[0].family):
            assert (row["low"], row["high"]) == ("less", "more")


def covered(edit_or_scope, units=6, steps=10):
    """Every (layer, unit, step) that an edit or a scope covers."""
    layers = ["l0", "l1"] if edit_or_scope.layer is None else [edit_or_scope.layer]
    chosen = range(units) if edit_or_scope.units is None else edit_or_scope.units
    window = edit_or_scope.steps
    when = range(steps)[window if isinstance(window, slice) else slice(*(window or (0, steps)))]
    return {(layer, unit, step) for layer in layers for unit in chosen for step in when}


layers = st.sampled_from([None, "l0", "l1"])
unit_sets = st.none() | st.sets(st.integers(0, 4), min_size=1, max_size=4).map(tuple)
windows = st.none() | st.tuples(st.integers(0, 4), st.integers(5, 8))
scopes = st.builds(Scope, layers, unit_sets, windows)
settings = st.tuples(st.sampled_from(["shift", "clamp", "scale"]), st.sampled_from([0.25, 0.5, 1.0]))


@given(scopes, st.lists(st.tuples(scopes, settings), max_size=6))
def test_what_is_inherited_is_what_wider_edits_do_to_every_cell_of_the_scope(scope, made):
    edits = [where.make("forget_gate", {"kind": kind, "value": value}) for where, (kind, value) in made]
    expected = {}
    for edit in edits:
        if covered(edit) > covered(scope):
            value, operation = edit.number, edit.operation
            if operation in expected:
                value = {"shift": expected[operation] + value, "scale": expected[operation] * value}.get(
                    operation, value
                )
            expected[operation] = value
    found = inherited(edits, scope).get("forget_gate", {})
    assert {kind: entry["value"] for kind, entry in found.items()} == expected


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (rw.shift("f", 4.8, layer="l0"), "all units"),
        (rw.shift("f", 4.8, layer="l0", units=[0, 1, 3], steps=slice(4, 8)), "more units"),
        (rw.shift("f", 4.8, units=[0, 3], steps=slice(4, 8)), "all layers"),
        (rw.shift("f", 4.8, layer="l0", units=[3, 0]), "all steps"),
        (rw.shift("f", 4.8, layer="l0", units=[0, 3], steps=slice(2, 8)), "more steps"),
    ],
)
def test_what_is_inherited_says_whose_it_is(edit, words):
    scope = Scope("l0", (0, 3), (4, 8))
    assert inherited([edit], scope) == {"forget_gate": {"shift": {"value": 4.8, "of": words}}}
    assert inherited([edit, edit], scope)["forget_gate"]["shift"] == {"value": 9.6, "of": "2 wider edits"}
    assert dials_of([edit], scope) == {}


@pytest.mark.parametrize(
    "edit",
    [
        rw.shift("f", 1.0, layer="l1"),
        rw.shift("f", 1.0, units=[0]),
        rw.shift("f", 1.0, steps=slice(5, 9)),
        rw.shift("f", 1.0, batch=[0]),
        rw.shift("f", torch.ones(1, 1, 4)),
        rw.nudge("h", 1.0),
    ],
)
def test_what_covers_a_part_of_the_scope_or_has_no_slider_is_not_inherited(edit):
    assert inherited([edit], Scope("l0", (0, 3), (4, 8))) == {}


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (rw.shift("f", 1.5), "shifted by +1.50"),
        (rw.shift("f", -0.001), "shifted by −0.001"),
        (rw.scale("f", 0.9999), "scaled by 0.9999"),
        (rw.clamp("f", 1.0), "clamped to 1.00"),
        (rw.shift("f", 1e-9), "shifted by +1.0e−09"),
        (rw.shift("f", 1e30), "shifted by +1.0e+30"),
    ],
)
def test_a_number_is_told_as_a_whole_one_only_if_it_is(edit, told):
    assert describe(edit) == f"forget gate {told} · all units · all layers"
