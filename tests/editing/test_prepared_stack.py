"""A call like an earlier one under the same edits gives what it would have given without the earlier one."""

import gc
import weakref
from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad

import rnnwidget as rw
from rnnwidget.editing import kept_weights, prepared_stack, whole_stack
from rnnwidget.editing.prepared_stack import run_as_before
from rnnwidget.editing.variants import Variants
from tests.cases import Case, assert_same_bits, cases
from tests.editing.test_whole_stack import by_layer, edits_of
from tests.threads import in_a_new_thread


def again(case_or_call: Case | Callable[[], object], model: nn.Module, *edits: rw.Edit) -> tuple[object, int]:
    """What a call gives under edits, and how often it went straight to the kernel."""
    times = []

    def counted(*arguments: object) -> object:
        found = run_as_before(*arguments)
        times.append(found is not None)
        return found

    call = case_or_call.call if isinstance(case_or_call, Case) else case_or_call
    with patch("rnnwidget.editing.edited.run_as_before", counted), rw.edited(model, *edits):
        return call(), sum(times)


CASES = cases(mode="no_grad", steps=st.integers(4, 7), dtype=st.sampled_from([torch.float32, torch.float64]))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=100, deadline=None)
@given(drawn=CASES.flatmap(lambda case: st.tuples(st.just(case), edits_of(case))), lesioned=st.booleans())
def test_it_gives_the_bits_that_the_layers_give(drawn: tuple[Case, list[tuple]], lesioned: bool) -> None:
    case, made = drawn
    case.module.eval()
    edits = [getattr(rw, operation)(site, value, **scope) for operation, site, value, scope in made]
    edits += [rw.lesion([0], layer=case.names[-1])] if lesioned and case.family != "relu" else []
    for _ in range(3):
        with torch.no_grad():
            for parameter in case.module.parameters():
                parameter.data.mul_(0.9)  # in a way that PyTorch does not count
        assert_same_bits(again(case, case.module, *edits)[0], by_layer(case, edits))


X = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0))
EDITS = {
    "clamp": rw.clamp("f", 0.3),
    "clamp of units": rw.clamp("f", 0.3, units=[1]),
    "saturated": rw.clamp("f", 1.0),
    "shift": rw.shift("i", 0.5),
    "shift of units": rw.shift("i", 0.5, units=[0]),
    "lesion": rw.lesion([2]),
}


def lstm(units: int = 4) -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(3, units)


def plainly(model: nn.Module, *edits: rw.Edit, x: Tensor = X) -> object:
    with rw.record(model), rw.edited(model, *edits):
        return model(x)


@torch.no_grad()
@pytest.mark.parametrize("name", EDITS)
def test_the_second_call_goes_straight_to_the_kernel(name: str) -> None:
    model, edit = lstm(), EDITS[name]
    for time in range(3):
        found, times = again(lambda: model(X), model, edit)
        assert times == (time > 0)
        assert_same_bits(found, plainly(model, edit))
        model.weight_ih_l0 = nn.Parameter(model.weight_ih_l0 * 1.1)
    expected = plainly(model, edit)
    with rw.edited(model, edit):
        assert_same_bits([model(X), model(X)], [expected, expected])


@torch.no_grad()
@pytest.mark.parametrize("name", EDITS)
def test_another_module_of_the_same_form_has_its_own_weights(name: str) -> None:
    model, other = lstm(), lstm()
    other.weight_hh_l0.neg_()
    again(lambda: model(X), model, EDITS[name])
    found, times = again(lambda: other(X), other, EDITS[name])
    assert times == 1
    assert_same_bits(found, plainly(other, EDITS[name]))


@torch.no_grad()
def test_an_edit_of_one_of_two_modules_of_the_same_form() -> None:
    model = nn.ModuleDict({"one": lstm(), "other": lstm()})
    edit = rw.clamp("f", 0.3, layer="one.l0")
    for _ in range(2):
        with rw.edited(model, edit):
            found = [model[name](X) for name in model]
        assert_same_bits(found, [plainly(model["one"], rw.clamp("f", 0.3)), model["other"](X)])


@torch.no_grad()
def test_memory_that_another_form_has_taken_meanwhile() -> None:
    model, wide, edit = lstm(), lstm(5), EDITS["clamp"]
    for called, straight in ((model, 0), (wide, 0), (model, 0), (model, 1)):
        found, times = again(lambda called=called: called(X), called, edit)
        assert times == straight
        assert_same_bits(found, plainly(called, edit))


@torch.no_grad()
def test_what_is_unlike_the_earlier_call_is_read_as_ever() -> None:
    model, edit, state = lstm(), EDITS["lesion"], (torch.ones(1, 2, 4), torch.ones(1, 2, 4))
    again(lambda: model(X), model, edit)
    unlike: dict[str, tuple[nn.Module, Callable[[], object], list[rw.Edit]]] = {
        "a state": (model, lambda: model(X, state), [edit]),
        "fewer steps": (model, lambda: model(X[:3]), [edit]),
        "another batch": (model, lambda: model(X[:, :1]), [edit]),
        "an equal edit": (model, lambda: model(X), [rw.lesion([2])]),
        "one more edit": (model, lambda: model(X), [edit, EDITS["shift"]]),
        "none": (model, lambda: model(X), []),
        "other weights": (wide := lstm(5), lambda: wide(X), [edit]),
        "another precision": (double := lstm().double(), lambda: double(X.double()), [edit]),
        "two layers": (stack := nn.LSTM(3, 4, num_layers=2), lambda: stack(X), [edit]),
        "batch first": (turned := nn.LSTM(3, 4, batch_first=True), lambda: turned(X), [edit]),
    }
    for what, (called, call, edits) in unlike.items():
        found, times = again(call, called, *edits)
        assert times == 0, what
        with rw.record(called), rw.edited(called, *edits):
            assert_same_bits(found, call())


def test_who_looks_and_another_who_edits_are_not_passed_by() -> None:
    model, edit = lstm(), EDITS["clamp"]
    with torch.no_grad():
        for straight in (0, 1):
            assert again(lambda: model(X), model, edit)[1] == straight
        with rw.record(model) as recording:
            assert again(lambda: model(X), model, edit)[1] == 0
        assert recording["l0"].replay_error < 1e-5
        again(lambda: model(X), model, EDITS["shift"])
        with rw.edited(model, EDITS["shift"]):
            found, straight = again(lambda: model(X), model, edit)
        assert straight == 0
        assert_same_bits(found, plainly(model, EDITS["shift"], edit))


@torch.no_grad()
@pytest.mark.parametrize("outer", [[EDITS["shift"]], []])
def test_edits_of_an_inner_block_end_with_it(outer: list[rw.Edit]) -> None:
    model, expected = lstm(), plainly(lstm(), *outer)
    with rw.edited(model, *outer):
        for _ in range(2):
            assert_same_bits(model(X), expected)
            with rw.edited(model, EDITS["clamp"]):
                model(X)
    with rw.edited(model, *outer):
        assert_same_bits(model(X), expected)


@torch.no_grad()
def test_a_sweep_of_edits_that_were_used_before_is_run_at_once() -> None:
    model, values, x = nn.LSTM(3, 40), [value / 20 for value in range(1, 20)], X[:, :1]
    edits, at_once, found = {value: rw.clamp("f", value) for value in values}, Variants.at_once, []
    copies = x.expand(-1, 1 + len(values), -1).contiguous()
    again(lambda: model(copies), model, *edits.values())

    def counted(*arguments: object) -> object:
        found.append(at_once(*arguments))
        return found[-1]

    def straight(*arguments: tuple[Tensor, ...]) -> object:
        returned = run_as_before(*arguments)
        assert returned is None or arguments[3][0].size(1) == 1
        return returned

    with patch.object(Variants, "at_once", counted), patch("rnnwidget.editing.edited.run_as_before", straight):
        for time in range(3):
            rw.sweep(model, x, edit_of=edits.__getitem__, values=values, progress=False)
            assert len(found) == time + 1


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", EDITS)
def test_what_is_traced_computes_the_weights_anew(name: str) -> None:
    model, edit = nn.Sequential(lstm(), Outputs()), EDITS[name]
    with rw.edited(model, edit):
        model(X)
    with rw.edited(model, edit):
        traced = torch.jit.trace(model, X, check_trace=False)
        expected = model(2 * X)
    torch.testing.assert_close(traced(2 * X), expected)


class Outputs(nn.Module):
    """The output alone of what PyTorch's modules return."""

    def forward(self, returned: tuple[Tensor, object]) -> Tensor:
        return returned[0]


@torch.no_grad()
@pytest.mark.parametrize("edit", [rw.clamp("z", 0.3), rw.shift("z", 0.5), rw.lesion([2])], ids=repr)
def test_forward_derivatives(edit: rw.Edit) -> None:
    model, x = nn.GRU(3, 4).double(), X.double()
    weights = dict(model.named_parameters())

    def called(step: float | None) -> Tensor:
        with rw.edited(model, edit):
            if step is not None:
                return torch.func.functional_call(model, {name: w + step for name, w in weights.items()}, (x,))[0]
            dual = {name: forward_ad.make_dual(w, torch.ones_like(w)) for name, w in weights.items()}
            return torch.func.functional_call(model, dual, (x,))[0]

    for _ in range(2):
        with forward_ad.dual_level():
            slope = forward_ad.unpack_dual(called(None)).tangent
        torch.testing.assert_close(slope, (called(1e-6) - called(-1e-6)) / 2e-6, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_stacks_that_are_too_large_are_not_held() -> None:
    edit = rw.clamp("f", 0.3)
    with patch.object(prepared_stack._of_thread, "prepared", []), patch.object(whole_stack, "MOST", 0):
        model = nn.LSTM(3, 4, num_layers=2)
        assert [again(lambda: model(X), model, edit)[1] for _ in range(2)] == [0, 0]
        assert not prepared_stack._of_thread.prepared


@torch.no_grad()
@pytest.mark.parametrize("name", EDITS)
def test_a_model_that_is_let_go_of_is_gone(name: str) -> None:
    model = lstm()
    again(lambda: model(X), model, EDITS[name])
    kept = [weakref.ref(tensor) for tensor in model.parameters()]
    del model
    gc.collect()
    assert not any(reference() is not None for reference in kept)


@torch.no_grad()
def test_fake_tensors_leave_no_memory_of_theirs() -> None:
    model, edit = lstm(), rw.shift("i", 0.5)
    with patch.object(kept_weights._of_thread, "of_place", {}):
        with FakeTensorMode(allow_non_fake_inputs=True), rw.edited(model, edit):
            model(X)
        for _ in range(2):
            assert_same_bits(again(lambda: model(X), model, edit)[0], plainly(model, edit))


@torch.no_grad()
def test_a_value_that_is_written_into() -> None:
    model, clamp, shift = lstm(), EDITS["clamp"], rw.shift("i", torch.zeros(4))
    for value in (0.0, 0.0, 3.0):
        shift.value.fill_(value)
        assert_same_bits(again(lambda: model(X), model, clamp, shift)[0], plainly(model, clamp, shift))


def test_modes_in_which_memory_is_not_used_again() -> None:
    model, edit, x = nn.GRU(3, 4).double(), rw.clamp("z", 0.3), X.double()
    with torch.no_grad():
        for straight in (0, 1):
            assert again(lambda: model(x), model, edit)[1] == straight
        with torch.autocast("cpu", torch.bfloat16):
            assert again(lambda: model(x), model, edit)[1] == 0
        expected = plainly(model, edit, x=x)
        times: list[int] = []

        def called(x: Tensor) -> Tensor:
            (output, _), straight = again(lambda: model(x), model, edit)
            times.append(straight)
            return output

        _, slope = torch.func.jvp(called, (x,), (torch.ones_like(x),))
        assert times == [0]
        assert slope.isfinite().all()
    found, straight = again(lambda: model(x), model, edit)
    assert straight == 0
    torch.testing.assert_close(found[0], expected[0])
    found[0].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_an_edit_of_as_many_steps_as_a_call_has_ends_before_the_next_one() -> None:
    model, edit = lstm(), rw.clamp("f", 0.3, steps=slice(0, 6))
    whole, _ = plainly(model, edit, x=torch.cat([X, X]))
    for _ in range(2):
        with rw.edited(model, edit):
            first, state = model(X)
            second, _ = model(X, state)
        torch.testing.assert_close(torch.cat([first, second]), whole)


@torch.no_grad()
def test_a_number_that_is_not_finite_is_not_lost_beside_a_clamp() -> None:
    model, edit = lstm(), rw.clamp("f", 0.3)
    again(lambda: model(X), model, edit)
    x = X.clone()
    x[2] = torch.inf
    assert_same_bits(again(lambda: model(x), model, edit)[0], plainly(model, edit, x=x))


@torch.no_grad()
def test_each_thread_remembers_a_few_of_its_own() -> None:
    model, edits = lstm(), [rw.clamp("f", value / 10) for value in range(9)]
    for edit in edits:
        again(lambda: model(X), model, edit)
    assert len(prepared_stack._of_thread.prepared) == prepared_stack.KEPT
    assert again(lambda: model(X), model, edits[-1])[1] == 1
    assert again(lambda: model(X), model, edits[0])[1] == 0

    @torch.no_grad()
    def elsewhere() -> int:
        return again(lambda: model(X), model, edits[-1])[1]

    assert in_a_new_thread(elsewhere) == 0
