"""Scope, history and code of an inspector: what the page asks for and what Python sets, one line of edits."""

import pytest
import torch
from torch import nn

import rnnwidget as rw
from tests.widgets.models import Fragile, Interrupted, classifier_and_batch


@pytest.fixture
def inspector(inspect):
    model, batch, words = classifier_and_batch()
    return inspect(model, inputs=batch, tokens=words)


def score_of(inspector):
    return inspector._page.score


def ask(inspector, serial, dials=None, *, layer="lstm.l0", units=None, steps=None, **more):
    asked = {"layer": layer, "units": units, "steps": steps, "dials": dials} if dials is not None else {}
    score_of(inspector)._request = {"serial": serial} | asked | more


def shifted(value):
    return {"forget_gate": {"kind": "shift", "value": value}}


def test_a_dial_shows_what_a_wider_edit_does_to_the_selection(inspector):
    inspector.edits = [rw.shift("f", 4.8, layer=inspector.layer)]
    assert score_of(inspector).inherited == {}
    inspector.units, inspector.steps = [0, 3], (1, 3)
    assert score_of(inspector).dials == {}
    assert score_of(inspector).inherited == {"forget_gate": {"shift": {"value": 4.8, "of": "all units"}}}
    ask(inspector, 1, {"forget_gate": {"kind": "shift", "value": 1.0}}, units=[0, 3], steps=[1, 3])
    assert score_of(inspector).inherited == {"forget_gate": {"shift": {"value": 4.8, "of": "all units"}}}
    inspector.edits = []
    assert score_of(inspector).inherited == {}


def test_brushed_steps_are_a_scope_of_their_own(inspector):
    ask(inspector, 1, {"forget_gate": {"kind": "scale", "value": 0.5}}, units=[1], steps=[2, 4])
    ask(inspector, 2, {"forget_gate": {"kind": "scale", "value": 2.0}}, units=[1], steps=[4, 6])
    edits = [
        rw.scale("f", 0.5, layer="lstm.l0", units=[1], steps=slice(2, 4)),
        rw.scale("f", 2.0, layer="lstm.l0", units=[1], steps=slice(4, 6)),
    ]
    assert inspector.edits == edits
    expected = rw.intervene(inspector._probe.twin.model, inspector.inputs, edits)
    torch.testing.assert_close(inspector.output, expected.output)
    inspector.units = [1]
    for window, value in (((2, 4), 0.5), ((4, 6), 2.0)):
        inspector.steps = window
        assert score_of(inspector).dials == {"forget_gate": {"kind": "scale", "value": value}}
    score_of(inspector).scope = {"units": "selected", "layers": "this", "steps": "all"}
    assert score_of(inspector).dials == {}


def test_the_brush_is_what_an_edit_takes_as_its_steps(inspector):
    inspector.steps = slice(1, 3)
    assert inspector.steps == (1, 3)
    assert rw.clamp("i", 0.5, steps=inspector.steps) == rw.clamp("i", 0.5, steps=slice(1, 3))
    assert rw.clamp("i", 0.5, steps=(1, 3)) == rw.clamp("i", 0.5, steps=[1, 3])
    inspector.steps = slice(None, 2)
    assert inspector.steps == (0, 2)
    for odd in (slice(1, None), slice(0, 4, 2), 3, (1, 2, 3)):
        with pytest.raises(TypeError, match=r"steps must be \(start, stop\), a slice with a stop, or None"):
            inspector.steps = odd
    assert inspector.steps == (0, 2)


def test_edits_set_from_python_move_the_brush_and_the_steps_of_the_scope(inspector):
    inspector.edits = [rw.clamp("i", 0.5, layer="lstm.l0", steps=slice(1, 3))]
    assert inspector.steps == (1, 3)
    assert score_of(inspector).dials == {"input_gate": {"kind": "clamp", "value": 0.5}}
    inspector.edits = [rw.clamp("i", 0.5, layer="lstm.l0")]
    assert score_of(inspector).scope["steps"] == "all"
    assert score_of(inspector).dials == {"input_gate": {"kind": "clamp", "value": 0.5}}


def test_the_last_reset_of_a_scope_leaves_the_scope_alone(inspector):
    inspector.edits = [rw.clamp("i", 0.5, layer="lstm.l0", units=[2])]
    inspector.units = [3]
    ask(inspector, 1, shifted(1.0), units=[3])
    ask(inspector, 2, {}, units=[3])
    assert inspector.units == [3]


def test_a_drag_is_one_step_back_and_one_step_on(inspector):
    before = inspector.output
    for serial, value in enumerate((1.0, 2.0, 3.0), 1):
        ask(inspector, serial, shifted(value), gesture="drag")
    ask(inspector, 4, shifted(-1.0), gesture="another")
    after = inspector.output
    assert score_of(inspector)._history == {"position": 2, "length": 3}
    inspector.undo()
    assert inspector.edits == [rw.shift("f", 3.0, layer="lstm.l0")]
    assert score_of(inspector).dials == shifted(3.0)
    inspector.undo()
    inspector.undo()
    assert inspector.edits == []
    assert torch.equal(inspector.output, before)
    inspector.redo()
    inspector.redo()
    assert inspector.edits == [rw.shift("f", -1.0, layer="lstm.l0")]
    assert torch.equal(inspector.output, after)
    assert score_of(inspector)._history == {"position": 2, "length": 3}


def test_what_python_sets_is_one_step_too_and_an_edit_forgets_what_was_undone(inspector):
    inspector.edits = [rw.shift("f", 1.0)]
    inspector.edits = [rw.shift("f", 1.0), rw.lesion([0])]
    inspector.undo()
    assert inspector.edits == [rw.shift("f", 1.0)]
    inspector.edits = []
    assert score_of(inspector)._history == {"position": 2, "length": 3}
    inspector.redo()
    assert inspector.edits == []


def test_the_page_asks_for_a_place_in_the_history(inspector):
    for serial, value in enumerate((1.0, 2.0), 1):
        ask(inspector, serial, shifted(value), gesture=value)
    ask(inspector, 3, position=0)
    assert inspector.edits == []
    assert score_of(inspector)._frame["answers"] == 3
    ask(inspector, 4, position=2)
    assert inspector.edits == [rw.shift("f", 2.0, layer="lstm.l0")]


def test_undo_takes_back_a_changed_input_as_well(inspect):
    model, batch, words = classifier_and_batch()
    tokens, lengths = batch
    inspector = inspect(model, inputs=batch, tokens=words)
    first = inspector.output
    inspector.edits = [rw.shift("f", 1.0)]
    edited = inspector.output
    other = (tokens.roll(1, dims=0), lengths)
    inspector.inputs = other
    both = inspector.output
    inspector.undo()
    assert inspector.inputs is batch or torch.equal(inspector.inputs[0], tokens)
    torch.testing.assert_close(inspector.output, edited)
    inspector.undo()
    torch.testing.assert_close(inspector.output, first)
    inspector.redo()
    inspector.redo()
    assert torch.equal(inspector.inputs[0], other[0])
    assert inspector.edits == [rw.shift("f", 1.0)]
    torch.testing.assert_close(inspector.output, both)
    ask(inspector, 1, position=0)
    torch.testing.assert_close(inspector.output, first)
    ask(inspector, 2, position=2)
    torch.testing.assert_close(inspector.output, both)


def test_what_the_model_fails_under_is_not_in_force(inspect):
    inspector = inspect(Fragile(), inputs=torch.randn(20, 1, 3))
    good = [rw.shift("f", 1.0)]
    inspector.edits = good
    shown = inspector.output
    failing = [rw.clamp(gate, 1.0) for gate in ("f", "i", "g")]
    with pytest.raises(ArithmeticError):
        inspector.edits = failing
    assert inspector.edits == good
    assert inspector.output is shown
    assert score_of(inspector)._status["state"] == "error"
    inspector.undo()
    assert inspector.edits == []
    inspector.redo()
    assert inspector.edits == good
    assert score_of(inspector)._status["state"] == "ready"


def test_a_drag_that_the_model_fails_under_leaves_the_good_picture(inspect):
    inspector = inspect(Fragile(), inputs=torch.randn(20, 1, 3))
    ask(
        inspector,
        1,
        {g: {"kind": "clamp", "value": 1.0} for g in ("forget_gate", "input_gate", "candidate")},
        layer=None,
    )
    assert score_of(inspector)._status["state"] == "error"
    assert inspector.edits == []
    ask(inspector, 2, {"forget_gate": {"kind": "shift", "value": -1.0}}, layer=None)
    assert score_of(inspector)._status["state"] == "ready"
    assert inspector.edits == [rw.shift("f", -1.0)]


def test_what_was_interrupted_is_not_in_force_and_nothing_is_lost(inspect):
    inspector = inspect(Interrupted(), inputs=torch.randn(20, 1, 3))
    first, good = [rw.shift("f", -1.0)], [rw.shift("f", 1.0)]
    inspector.edits = first
    inspector.edits = good
    shown = inspector.output
    for serial, wish in enumerate(({"dials": shifted(2.0), "layer": None}, {"position": 1}), start=1):
        Interrupted.times[0] = 1
        with pytest.raises(KeyboardInterrupt):
            ask(inspector, serial, **wish)
        status = score_of(inspector)._status
        assert status["state"] == "error"
        assert status["message"] == "interrupted: what is on show is what was there before"
        assert status["answers"] == serial
        assert inspector.edits == good
        assert inspector.output is shown
        assert score_of(inspector)._history == {"position": 2, "length": 3}
    inspector.undo()
    assert inspector.edits == first
    assert score_of(inspector)._status["state"] == "ready"


def test_a_recording_of_any_run_without_edits_is_the_inspectors_own(inspector):
    inspector.edits = [rw.scale("f", 0.5, layer="lstm.l0", steps=slice(4, 9))]
    inspector.edits = [*inspector.edits, rw.lesion([1], to="mean", recording=inspector.baseline_recording)]
    assert "recording=inspector.baseline_recording" in inspector.code


def test_the_code_puts_the_same_edits_in_force(inspector):
    edits = [
        rw.clamp("f", 1.0, layer="lstm.l0", units=[3], steps=slice(2, 5)),
        rw.lesion([1], to="mean", recording=inspector.baseline_recording),
        rw.nudge("c", torch.tensor([0.5, -0.25, 0.0, 0.0, 1.0]), layer="lstm.l1"),
    ]
    inspector.edits = edits
    code = score_of(inspector)._code
    assert code == inspector.code
    inspector.edits = []
    exec(code, {"rw": rw, "inspector": inspector})  # noqa: S102 - our own text
    assert [edit.operation for edit in inspector.edits] == ["clamp", "lesion", "nudge"]
    assert inspector.edits[0] == edits[0]
    assert inspector.edits[2] == edits[2]


def test_one_edit_is_taken_back_by_its_line(inspector):
    edits = [rw.shift("f", 1.0, layer="lstm.l0", steps=slice(1, 3)), rw.nudge("c", 0.5), rw.lesion([1])]
    inspector.edits = edits
    lines = score_of(inspector)._frame["edits"]
    ask(inspector, 1, drop=1, line="something else")
    assert inspector.edits == edits
    ask(inspector, 2, drop=1, line=lines[1])
    assert inspector.edits == [edits[0], edits[2]]
    inspector.undo()
    assert inspector.edits == edits


def test_the_code_makes_the_changed_words_too(inspect):
    numbers = {"not": 1, "bad": 2, "it's": 3, "good": 4}

    def encode(lists):
        longest = max(map(len, lists))
        rows = [[numbers[word] for word in words] + [0] * (longest - len(words)) for words in lists]
        return torch.tensor(rows), torch.tensor([len(words) for words in lists])

    torch.manual_seed(0)
    model, words = classifier_and_batch()[0], [["not", "bad"], ["good"]]
    first, second = (inspect(model, inputs=encode(words), tokens=words, encode=encode) for _ in range(2))
    assert "retype" not in first.code
    first.retype(["not", "it's", "good"])
    first.retype(["bad", "bad", "bad"], sequence=1)
    first.edits = [rw.shift("f", 1.0)]
    exec(first.code, {"rw": rw, "inspector": second})  # noqa: S102 - our own text
    assert second.tokens == first.tokens == [["not", "it's", "good"], ["bad", "bad", "bad"]]
    assert torch.equal(second.output, first.output)
    with pytest.raises(IndexError, match="no sequence 2: the tokens hold 2"):
        first.retype(["bad"], sequence=2)


def test_the_code_makes_the_changed_pulses_too(inspect):
    torch.manual_seed(0)
    model, x = nn.GRU(2, 4), torch.randn(12, 2, 2)
    first, second = (inspect(model, inputs=x) for _ in range(2))
    first.sequence = 1
    first.move_pulse(0, 3, 5, by=2)
    first.move_pulse(1, 0, 4, times=-1.5, sequence=0)
    first.edits = [rw.shift("z", 1.0)]
    exec(first.code, {"rw": rw, "inspector": second})  # noqa: S102 - our own text
    assert torch.equal(second.inputs, first.inputs)
    assert not torch.equal(second.inputs, x)
    assert torch.equal(second.output[0], first.output[0])
    for wish, why in (((5, 3, 5), "no channel 5"), ((0, 3, 5, 1, 1.0, 9), "no sequence 9")):
        with pytest.raises(IndexError, match=why):
            first.move_pulse(*wish)


def test_a_layer_of_one_family_has_its_own_ranges(inspect):
    inspector = inspect(nn.RNN(3, 4, nonlinearity="relu"), inputs=torch.randn(5, 1, 3))
    knob = inspector._panel.knob("hidden", "clamp", ())
    assert (knob.low, knob.high) == (0.0, 5.0)
    assert inspector._panel.knob("hidden", "scale", ()).high == 2.0
    assert inspector._panel.knob("cell", "clamp", ()) is None


class OneOfTwo(nn.Module):
    def __init__(self):
        super().__init__()
        self.called, self.other = nn.LSTM(3, 4), nn.GRU(3, 4)

    def forward(self, x):
        return self.called(x)[0]


@pytest.mark.parametrize("edit", [rw.clamp("z", 1.0, layer="other.l0"), rw.clamp("z", 1.0)])
def test_an_edit_of_a_layer_that_was_not_called_is_in_force_and_shown(inspect, edit):
    inspector = inspect(OneOfTwo(), inputs=torch.randn(5, 1, 3))
    inspector.edits = [rw.clamp("f", 1.0)]
    inspector.edits = [edit]
    assert inspector.edits == [edit]
    assert inspector.layer == "called.l0"
    assert torch.equal(inspector.output, inspector.baseline_output)
    assert score_of(inspector)._status["state"] == "ready"
