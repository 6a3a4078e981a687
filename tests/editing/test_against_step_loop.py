"""Edited runs against a step loop that is edited at each step."""

import pytest
import torch
from hypothesis import example, given, settings

import rnnwidget as rw
from tests.cases import PREACTIVATIONS, Case, assert_close, cases
from tests.edit_cases import EditCase, edited_cases


def assert_edited(case: Case, edits: list[EditCase], tolerance: float = 1e-12) -> None:
    distinct = []
    for edit in edits:
        if not any(edit.ours() == kept.ours() for kept in distinct):
            distinct.append(edit)
    expected = case.reference(tuple(edit.spelled_out(case) for edit in distinct))
    by_letter = bool(case.seed % 2)
    with (
        rw.edited(case.module, *[edit.ours(by_letter=by_letter) for edit in edits]),
        rw.record(case.module) as recording,
    ):
        output, finals = case.call()
    assert_close(case.output_by_position(output), expected.output, tolerance)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours.unsqueeze(1) if case.form == "unbatched" else ours, theirs, tolerance)
    for name in case.names:
        layer = recording[name]
        for site in layer.gates + layer.states:
            assert_close(layer[site], expected.layers[name][site], tolerance)
        for site in PREACTIVATIONS[case.family]:
            assert_close(layer.preactivation(site), expected.layers[name][f"preactivation:{site}"], tolerance)
        assert_close(layer.inputs, expected.inputs[name], tolerance)
        assert layer.replay_error <= tolerance


@settings(max_examples=120)
@given(edited_cases(cases(), folded=True))
@example((Case(bidirectional=True, bias=False), [EditCase("shift", "forget_gate", "f", 1.0, "l0", None, None, None)]))
def test_edits_of_all_time_are_the_edited_loop(drawn: tuple[Case, list[EditCase]]) -> None:
    assert_edited(*drawn)


@settings(max_examples=120)
@given(edited_cases(cases()))
def test_any_edits_are_the_edited_loop(drawn: tuple[Case, list[EditCase]]) -> None:
    assert_edited(*drawn)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("form", ["dense", "packed"])
@pytest.mark.parametrize(
    ("family", "site", "value"),
    [
        *[("lstm", gate, value) for gate in ("input_gate", "forget_gate", "output_gate") for value in (0, 1)],
        *[("gru", gate, value) for gate in ("reset_gate", "update_gate") for value in (0, 1)],
        *[(family, "candidate", value) for family in ("lstm", "gru") for value in (-1, 1)],
        *[("tanh", "hidden", value) for value in (-1, 1)],
        ("relu", "hidden", 0),
    ],
)
def test_clamps_at_the_ends_of_the_range(family: str, site: str, value: int, form: str, grad: bool) -> None:
    case = Case(family, layers=2, bidirectional=True, form=form, dtype=torch.float32)
    edits = [EditCase("clamp", site, "", value, None, [0, 2], None, None)]
    with torch.set_grad_enabled(grad):
        expected = case.reference(tuple(edit.spelled_out(case) for edit in edits))
        with rw.edited(case.module, *[edit.ours() for edit in edits]), rw.record(case.module) as recording:
            output, _ = case.call()
    assert_close(case.output_by_position(output), expected.output, 1e-5)
    for name in case.names:
        live = ~recording[name].hidden[..., 0].isnan()
        assert (recording[name][site][live][:, [0, 2]] == value).all()
        assert recording[name].preactivation(site)[live].isfinite().all()
        assert_close(recording[name].preactivation(site), expected.layers[name][f"preactivation:{site}"], 1e-5)


def test_shift_on_a_clamped_gate_changes_the_preactivation_only() -> None:
    case = Case("lstm", layers=2)
    with rw.edited(case.module, rw.clamp("f", 1.0)), rw.record(case.module) as clamped:
        output, _ = case.call()
    with rw.edited(case.module, rw.clamp("f", 1.0), rw.shift("f", -3.0)), rw.record(case.module) as both:
        shifted, _ = case.call()
    assert_close(shifted, output)
    assert_close(both["l0"].preactivation("f"), clamped["l0"].preactivation("f") - 3.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("family", ["lstm", "gru", "tanh"])
def test_what_is_not_finite_does_not_pass_a_clamp(family: str, bad: float) -> None:
    case = Case(family, steps=5, given_state=False)
    case.sequences[0][2] = bad
    site = {"lstm": "input_gate", "gru": "reset_gate", "tanh": "hidden"}[family]
    edit = EditCase("clamp", site, "", 0.0, None, None, None, None)
    expected = case.reference((edit.spelled_out(case),))
    with rw.edited(case.module, edit.ours()), rw.record(case.module) as recording:
        output, _ = case.call()
    assert_close(output, expected.output)
    assert (recording["l0"][site] == 0).all()
    assert output[:, 1].isfinite().all()


def test_everything_clamped_stands_still_whatever_comes_in() -> None:
    case = Case("lstm", steps=6)
    case.sequences[1].fill_(torch.nan)
    with rw.edited(case.module, rw.clamp("i", 0.0), rw.clamp("f", 1.0), rw.clamp("g", 0.5), rw.clamp("o", 1.0)):
        output, _ = case.call()
    assert_close(output, torch.tanh(case.state[1]).expand_as(output))


@pytest.mark.parametrize("family", ["lstm", "gru", "tanh"])
def test_the_initial_state_is_never_edited(family: str) -> None:
    case = Case(family, layers=1)
    with rw.edited(case.module, rw.clamp("hidden", 0.25)), rw.record(case.module) as recording:
        case.call()
    with rw.record(case.module) as plain:
        case.call()
    site = recording["l0"].gates[0] if recording["l0"].gates else "hidden"
    assert_close(recording["l0"].preactivation(site)[0], plain["l0"].preactivation(site)[0])
    assert (recording["l0"].hidden == 0.25).all()


def test_steps_are_input_positions_in_both_directions() -> None:
    case = Case("lstm", bidirectional=True, form="packed", steps=6, batch=3)
    with rw.edited(case.module, rw.clamp("f", 0.5, steps=[0])), rw.record(case.module) as recording:
        case.call()
    for name in case.names:
        assert (recording[name]["f"][0] == 0.5).all()
        assert not (recording[name]["f"][1:] == 0.5).any()


def test_batch_is_the_users_order() -> None:
    case = Case("gru", form="packed", steps=6, batch=4, seed=5)
    assert [len(sequence) for sequence in case.sequences] != sorted((len(s) for s in case.sequences), reverse=True)
    with rw.edited(case.module, rw.clamp("z", 0.5, batch=2)), rw.record(case.module) as recording:
        case.call()
    edited = (recording["l0"]["z"] == 0.5).any(dim=-1).any(dim=0)
    assert edited.tolist() == [False, False, True, False]
