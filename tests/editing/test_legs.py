"""Windows of edits on the fused kernel, leg by leg, and what an intervention does not run again."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rnnwidget as rw
from rnnwidget.cells import step_arithmetic, step_loops
from rnnwidget.editing import carrying_out, reading
from rnnwidget.editing.edited import EditList
from tests.cases import PREACTIVATIONS, Case, assert_close, assert_same_bits, cases
from tests.edit_cases import EditCase, edited_cases
from tests.editing.test_against_step_loop import assert_edited

LONG = st.integers(6, 14)


@contextmanager
def never_stepped_for_being_short() -> Iterator[None]:
    with patch.object(carrying_out, "SHORT", 0):
        yield


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many steps each leg on the kernel had, and 0 for each leg that was stepped."""
    steps: list[int] = []
    on_kernel, by_step = reading.Reading.run_kernel, carrying_out.stepped

    def kernel(self, weights, inputs, states, leg):
        steps.append(leg.stop - leg.start)
        return on_kernel(self, weights, inputs, states, leg)

    def stepping(*args, **options):
        steps.append(0)
        return by_step(*args, **options)

    with patch.object(reading.Reading, "run_kernel", kernel), patch.object(carrying_out, "stepped", stepping):
        yield steps


@settings(max_examples=150)
@given(edited_cases(cases(steps=LONG, mode=st.sampled_from(["grad", "no_grad"]))))
@example(
    (
        Case(layers=2, bidirectional=True, batch_first=True, dropout=0.5, training=True, steps=6),
        [EditCase("scale", "forget_gate", "f", 0.5, None, None, None, None)],
    )
)
@example(
    (
        Case("tanh", layers=2, batch_first=True, dropout=0.5, training=True, steps=6),
        [EditCase("scale", "hidden", "h", 0.5, None, None, None, None)],
    )
)
@example(
    (
        Case("tanh", steps=6),
        [
            EditCase("clamp", "hidden", "h", value, None, None, steps, None)
            for value, steps in ((2.0, None), (0.0, [1]))
        ],
    )
)
def test_windows_are_the_edited_loop(drawn: tuple[Case, list[EditCase]]) -> None:
    case, edits = drawn
    with never_stepped_for_being_short():
        assert_edited(case, edits)


@settings(max_examples=120)
@given(edited_cases(cases(steps=LONG, mode="no_grad")), st.sampled_from([0, step_arithmetic.SMALL]), st.booleans())
def test_steps_are_the_edited_loop(drawn: tuple[Case, list[EditCase]], small: int, rearranged: bool) -> None:
    """By NumPy and by PyTorch, with the rows of the weights as they are and rearranged."""
    with (
        patch.object(step_loops, "MANY", 0 if rearranged else 100),
        patch.object(step_arithmetic, "SMALL", small),
        patch.object(carrying_out, "fold", lambda *_: None),
    ):
        assert_edited(*drawn)


@pytest.mark.parametrize("added", [1.0, 50.0, 1e4, 1e7])
def test_a_far_nudge_loses_no_digits_of_the_other_units(added: float) -> None:
    torch.manual_seed(0)
    model, x = torch.nn.RNN(4, 8), torch.randn(30, 2, 4)
    w_ih, w_hh, b_ih, b_hh = (weight.detach() for weight in model.parameters())
    h, expected = torch.zeros(2, 8), []
    for now in x:
        h = (now @ w_ih.T + b_ih + h @ w_hh.T + b_hh).tanh()
        h[:, 1] += added
        expected.append(h)
    with torch.no_grad(), rw.edited(model, rw.nudge("hidden", added, units=[1])):
        output, _ = model(x)
    assert_close(output, torch.stack(expected), 1e-5)


@pytest.mark.parametrize("small", [0, step_arithmetic.SMALL])
def test_what_no_gate_can_tell_apart_from_zero_still_multiplies(small: int) -> None:
    """A forget gate of 2e-9 in front of an enormous cell: relative precision counts."""
    model = torch.nn.LSTM(1, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.bias_ih_l0[2:4] = -20.0
        edits = [rw.clamp("cell", 1e9, steps=[2]), rw.scale("f", 1.0 + 1e-6)]
        with patch.object(step_arithmetic, "SMALL", small), rw.record(model) as recording, rw.edited(model, *edits):
            output, _ = model(torch.zeros(4, 1, 1))
    assert_close(recording["l0"].cell[3], torch.full((1, 2), 1e9) * torch.tensor(-20.0).sigmoid(), 1e-4)
    assert_close(output[3], 0.5 * recording["l0"].cell[3].tanh(), 1e-4)


@settings(max_examples=100)
@given(
    st.data(),
    cases(
        family=st.sampled_from(["lstm", "gru", "tanh"]),
        steps=LONG,
        mode=st.sampled_from(["grad", "no_grad"]),
        projected=st.booleans(),
    ),
)
def test_states_held_and_gates_scaled_are_the_edited_loop(data: st.DataObject, case: Case) -> None:
    """What folds by turning states: cell and hidden held, output and reset gate, candidate and hidden scaled."""
    ways = {
        "lstm": [("clamp", "cell"), ("clamp", "hidden"), ("scale", "output_gate"), ("scale", "hidden")],
        "gru": [("clamp", "hidden"), ("scale", "reset_gate"), ("scale", "candidate")],
        "tanh": [("clamp", "hidden"), ("scale", "hidden"), ("nudge", "hidden")],
    }[case.family]
    ways += [("nudge", "hidden")] if case.family == "lstm" else []
    edits = []
    for operation, site in data.draw(st.lists(st.sampled_from(ways), min_size=1, max_size=2, unique=True)):
        start = data.draw(st.none() | st.integers(0, case.steps - 1))
        units = data.draw(st.none() | st.lists(st.integers(0, case.width_of(site) - 1), min_size=1, unique=True))
        value = data.draw(st.sampled_from([0.0, 0.5, -1.5, 1.0]))
        steps = None if start is None else slice(start, data.draw(st.none() | st.integers(start, case.steps)))
        edits.append(EditCase(operation, site, site, value, None, units, steps, None))
    with never_stepped_for_being_short():
        assert_edited(case, edits)


@pytest.mark.parametrize(
    ("family", "edit"),
    [
        ("lstm", lambda: rw.clamp("cell", 0.3, units=[1])),
        ("lstm", lambda: rw.scale("output_gate", 0.5)),
        ("lstm", lambda: rw.nudge("hidden", 0.5, units=[0])),
        ("lstm", lambda: rw.clamp("f", 1.0, steps=slice(5, 20))),
        ("gru", lambda: rw.scale("reset_gate", 0.0)),
        ("gru", lambda: rw.scale("candidate", torch.tensor([0.0, 1.0, 2.0, 0.5]))),
        ("gru", lambda: rw.shift("z", 1.0, steps=slice(5, None))),
        ("tanh", lambda: rw.scale("hidden", 0.5)),
        ("relu", lambda: rw.clamp("hidden", 0.5, steps=slice(7, 12))),
    ],
)
def test_what_folds_is_not_stepped(family: str, edit) -> None:
    case = Case(family, steps=30, layers=2, mode="no_grad")
    with counted() as legs, rw.edited(case.module, edit()):
        case.call()
    assert 0 not in legs


@pytest.mark.parametrize("family", ["lstm", "gru"])
def test_a_state_is_held_from_the_first_step_on_and_not_before(family: str) -> None:
    case = Case(family, steps=30, mode="no_grad")
    with counted() as legs, rw.edited(case.module, rw.clamp("hidden", 0.3)):
        case.call()
    assert legs == [0, 29]
    with counted() as legs, rw.edited(case.module, rw.clamp("hidden", 0.3, steps=slice(10, 20))):
        case.call()
    assert legs == [10, 0, 9, 10]


@pytest.mark.parametrize("site", ["input_gate", "forget_gate", "candidate", "cell"])
def test_what_does_not_fold_is_stepped_in_its_window_only(site: str) -> None:
    case = Case("lstm", steps=30, mode="no_grad")
    with counted() as legs, rw.edited(case.module, rw.scale(site, 0.5, steps=slice(10, 20))):
        case.call()
    assert legs == [10, 0, 10]


@pytest.mark.parametrize("form", ["dense", "packed"])
@pytest.mark.parametrize("family", ["lstm", "gru", "tanh"])
def test_what_is_not_finite_stays_where_the_edited_loop_has_it(family: str, form: str) -> None:
    case = Case(family, steps=9, form=form, seed=3)
    case.sequences[-1][6] = torch.inf
    edits = [EditCase("clamp", "hidden", "", 0.25, None, [0, 1], slice(2, 8), None)]
    expected = case.reference(tuple(edit.spelled_out(case) for edit in edits))
    with never_stepped_for_being_short(), rw.edited(case.module, *[edit.ours() for edit in edits]):
        output, _ = case.call()
    assert_close(case.output_by_position(output), expected.output)


@settings(max_examples=80)
@given(edited_cases(cases(steps=LONG, mode="no_grad", dropout=0.0)), st.integers(0, 3))
def test_an_intervention_is_the_edited_call(drawn: tuple[Case, list[EditCase]], first: int) -> None:
    """Run after run: what an earlier one has left behind never shows in a later one."""
    case, edits = drawn
    with torch.no_grad(), never_stepped_for_being_short():
        runner = rw.Intervention(case.module, case.arguments)
        runner.run([rw.clamp("hidden", 0.5, steps=slice(first, None))])
        for chosen in (edits, edits[:1], [], edits):
            ours = [edit.ours() for edit in chosen]
            result = runner.run(ours)
            with rw.edited(case.module, *ours), rw.record(case.module) as recording:
                output, _ = case.call()
            assert_close(case.output_by_position(result.output[0]), case.output_by_position(output))
            for name in case.names:
                for site in result.recording[name].gates + result.recording[name].states:
                    assert_close(result.recording[name][site], recording[name][site])
                for site in PREACTIVATIONS[case.family]:
                    assert_close(result.recording[name].preactivation(site), recording[name].preactivation(site))
                assert result.recording[name].replay_error <= 1e-12


@pytest.mark.parametrize("form", ["dense", "packed"])
def test_an_intervention_runs_only_from_the_first_edited_step(form: str) -> None:
    case = Case("lstm", layers=2, steps=40, form=form, mode="no_grad", dtype=torch.float32)
    with torch.no_grad():
        runner = rw.Intervention(case.module, case.arguments)
        edit = rw.clamp("f", 1.0, layer="l0", steps=slice(30, 40))
        runner.run([edit])
        with counted() as legs:
            result = runner.run([rw.clamp("f", 0.5, layer="l0", steps=slice(30, 40))])
        assert legs == [10, 10]
        for layer in ("l0", "l1"):
            change = result.change[layer]
            assert (change[:30].nan_to_num() == 0).all()
            assert change[30:].nan_to_num().abs().max() > 0


def test_only_the_edited_direction_is_run_again() -> None:
    case = Case("gru", layers=2, bidirectional=True, steps=20, mode="no_grad")
    with torch.no_grad():
        runner = rw.Intervention(case.module, case.arguments)
        runner.run([rw.shift("z", 1.0, layer="l1")])
        with counted() as legs:
            result = runner.run([rw.shift("z", 2.0, layer="l1")])
        assert legs == [20]
        assert (result.change["l0"] == 0).all()
        assert (result.change["l0_reverse"] == 0).all()
        assert (result.change["l1_reverse"] == 0).all()


def test_a_weight_that_moves_makes_the_unedited_run_again() -> None:
    case = Case("lstm", steps=20)
    with torch.no_grad():
        runner = rw.Intervention(case.module, case.arguments)
        edit = rw.clamp("f", 1.0, steps=slice(15, 20))
        stale = runner.run([edit])
        case.module.weight_hh_l0.mul_(0.5)
        fresh = runner.run([edit])
        assert_close(fresh.baseline[0], case.call()[0])
        assert not torch.equal(fresh.baseline[0], stale.baseline[0])
        case.module.weight_hh_l0.data.mul_(2.0)
        with rw.edited(case.module, edit):
            expected = case.call()
        assert_close(runner.run([edit]).output[0], expected[0])


def test_what_is_remembered_cannot_be_changed_by_the_model() -> None:
    class Careless(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.LSTM(3, 4, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rnn(x)[0].mul_(2)

    torch.manual_seed(0)
    model, x = Careless(), torch.randn(12, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        runner = rw.Intervention(model, x)
        results = [runner.run([rw.clamp("f", 1.0, steps=slice(start, 12))]).output for start in (8, 12, 8, 12)]
        assert_same_bits(results[0], results[2])
        assert_same_bits(results[1], results[3])
        assert_same_bits(results[1], model(x))


def test_gradients_reach_the_inputs_through_a_window() -> None:
    case = Case("lstm", layers=2, steps=10)
    x = case.arguments[0].clone().requires_grad_()
    edit = rw.clamp("f", 0.5, steps=slice(4, 8))
    runner = rw.Intervention(case.module, (x, case.arguments[1]))
    ours = torch.autograd.grad(runner.run([edit]).output[0].sum(), x)[0]
    with rw.edited(case.module, edit):
        expected = torch.autograd.grad(case.module(x, case.arguments[1])[0].sum(), x)[0]
    assert_close(ours, expected)


def test_before_and_after_go_through_the_same_legs() -> None:
    case = Case("gru", steps=20, dtype=torch.float32, mode="no_grad")
    editor = EditList([rw.scale("z", 0.5, steps=slice(5, 9)), rw.clamp("z", 0.5, steps=slice(12, 16))])
    with torch.no_grad():
        runner = rw.Intervention(case.module, case.arguments)
        runner.twin.run(case.arguments, editor=editor)
        legs = [(leg.start, leg.stop, leg.stepped) for leg in editor.paths["l0", 0]]
        assert legs == [(0, 5, False), (5, 9, True), (9, 12, False), (12, 16, False), (16, 20, False)]
        again = EditList((), editor.paths)
        runner.twin.run(case.arguments, editor=again)
    assert again.paths == editor.paths
