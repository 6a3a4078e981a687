"""A stack whose gates are edited runs at once where nobody looks at its layers, with the bits of its layers."""

from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnwidget as rw
from rnnwidget.editing import kept_weights, whole_stack
from rnnwidget.editing.whole_stack import run_whole_stack
from tests.cases import GATES, PREACTIVATIONS, Case, assert_same_bits, cases


def whole(case: Case, edits: list[rw.Edit]) -> tuple[object, int]:
    """What the edited call gives, and how often it was run at once."""
    times = []

    def counted(*arguments: object) -> object:
        found = run_whole_stack(*arguments)
        times.append(found is not None)
        return found

    with patch("rnnwidget.editing.edited.run_whole_stack", counted), rw.edited(case.module, *edits):
        return case.call(), sum(times)


def by_layer(case: Case, edits: list[rw.Edit]) -> object:
    with rw.record(case.module), rw.edited(case.module, *edits):
        return case.call()


def edits_of(case: Case) -> st.SearchStrategy[list[tuple[str, str, float, dict[str, Any]]]]:
    """Shifts and clamps of gates, each as its function's name and arguments."""
    units = st.none() | st.lists(st.integers(0, case.units - 1), min_size=1, max_size=2, unique=True)
    scope = st.fixed_dictionaries({"units": units, "layer": st.none() | st.sampled_from(case.names)})
    made = st.tuples(st.just("shift"), st.sampled_from(PREACTIVATIONS[case.family]), st.floats(-2, 2), scope)
    if GATES[case.family]:
        values = st.sampled_from([0.0, 0.3, 0.9])
        made |= st.tuples(st.just("clamp"), st.sampled_from(GATES[case.family]), values, scope)
    return st.lists(made, min_size=1, max_size=3)


CASES = cases(mode="no_grad", steps=st.integers(4, 7), dtype=st.sampled_from([torch.float32, torch.float64]))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=100, deadline=None)
@given(
    drawn=CASES.flatmap(lambda case: st.tuples(st.just(case), st.lists(edits_of(case), min_size=1, max_size=3))),
    much=st.sampled_from([0, kept_weights.MUCH]),
)
def test_it_gives_the_bits_that_the_layers_give(drawn: tuple[Case, list[list[Any]]], much: int) -> None:
    case, tried = drawn
    case.module.eval()
    with patch.object(kept_weights, "MUCH", much):
        for made in tried:
            edits = [getattr(rw, operation)(site, value, **scope) for operation, site, value, scope in made]
            found, _ = whole(case, edits)
            assert_same_bits(found, by_layer(case, edits))


@pytest.mark.parametrize(
    "edit",
    [
        rw.scale("f", 0.5),
        rw.clamp("hidden", 0.1, units=[0], layer="l1"),
        rw.lesion([0], layer="l0"),
        rw.clamp("hidden", 0.0, layer="l1"),
        rw.clamp("cell", 0.1),
        rw.shift("f", 1.0, steps=[1]),
        rw.shift("f", torch.linspace(-1, 1, 4)),
    ],
    ids=repr,
)
def test_what_is_not_one_number_for_rows_of_weights_goes_by_layer(edit: rw.Edit) -> None:
    case = Case("lstm", layers=2, mode="no_grad", steps=6)
    found, times = whole(case, [edit])
    assert times == 0
    assert_same_bits(found, by_layer(case, [edit]))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("family", ["lstm", "gru"])
@pytest.mark.parametrize("form", ["dense", "packed", "unbatched"])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("projected", [True, False])
def test_units_that_are_lesioned_on_top_of_a_run_from_zero(
    family: str, form: str, given: bool, projected: bool
) -> None:
    case = Case(family, layers=2, mode="no_grad", steps=6, form=form, given_state=given, projected=projected)
    edits = [rw.lesion([0, 1], layer="l1"), rw.shift("z" if family == "gru" else "f", 1.0)]
    found, times = whole(case, edits)
    assert times == (not given)
    assert_same_bits(found, by_layer(case, edits))


@pytest.mark.parametrize("mode", ["grad", "no_grad"])
@pytest.mark.parametrize("form", ["dense", "packed", "unbatched"])
def test_it_happens_without_gradients(mode: str, form: str) -> None:
    case = Case("lstm", layers=3, bidirectional=True, mode=mode, steps=6, form=form)
    assert whole(case, [rw.clamp("f", 0.5), rw.shift("i", 1.0, layer="l1")])[1] == (mode == "no_grad")


@torch.no_grad()
def test_a_row_that_is_not_finite_beside_a_clamp() -> None:
    model, x = nn.LSTM(3, 4, num_layers=2), torch.randn(6, 2, 3)
    x[2] = torch.inf
    with rw.edited(model, *[rw.clamp(gate, 0.5, layer="l0") for gate in ("i", "f", "g", "o")]):
        output, _ = model(x)
    assert output.isfinite().all()


def test_a_stack_that_is_too_large_to_be_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("lstm", layers=3, mode="no_grad", steps=6)
    expected = by_layer(case, [rw.clamp("f", 0.5)])
    monkeypatch.setattr(whole_stack, "MOST", 0)
    found, times = whole(case, [rw.clamp("f", 0.5)])
    assert times == 1
    assert_same_bits(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_edited_inside_a_transform_leaves_nothing_behind(layers: int) -> None:
    model, x = nn.GRU(3, 4, num_layers=layers).double(), torch.randn(6, 2, 3, dtype=torch.float64)
    other, edit = nn.GRU(3, 4, num_layers=layers).double(), rw.clamp("r", 0.4)
    names = dict(model.named_parameters())

    def called(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        with rw.edited(model, edit):
            return torch.func.functional_call(model, weights, (x,))[0]

    expected = called(names)
    output, slope = torch.func.jvp(called, (names,), ({name: torch.ones_like(each) for name, each in names.items()},))
    torch.testing.assert_close(output, expected)
    assert slope.isfinite().all()
    with rw.edited(other, edit):
        assert other(x)[0].isfinite().all()


@torch.no_grad()
def test_memory_that_is_kept_is_bounded() -> None:
    of_place = kept_weights._OfThread().of_place
    with patch.object(kept_weights._of_thread, "of_place", of_place):
        model = nn.LSTM(2, 2**11)
        with rw.edited(model, rw.clamp("f", 0.5)):
            model(torch.randn(5, 1, 2))
    assert all(each._memory is None for each in of_place.values())
