"""A model that is one recurrent module runs under edits without its forward, with the bits of a run through it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import rnnwidget as rw
from rnnwidget.editing.intervention import InterventionResult
from rnnwidget.editing.only_call import OnlyCall
from rnnwidget.recording.twin import Twin
from tests.cases import HALVES, Case, assert_same_bits, cases
from tests.edit_cases import EditCase, edited_cases
from tests.refusals import skip_where_refused

EDIT = rw.clamp("f", 0.9, steps=slice(3, None))


@contextmanager
def counted() -> Iterator[list[int]]:
    """One entry for each run that did without the forward."""
    made: list[int] = []
    run = OnlyCall.run

    def counting(self: OnlyCall, *arguments: object) -> object:
        found = run(self, *arguments)
        made.extend([1] if found is not None else [])
        return found

    with patch.object(OnlyCall, "run", counting):
        yield made


def runs(model: nn.Module, x: object, *edits: rw.Edit) -> int:
    """How many of two runs did without the forward."""
    with counted() as made:
        runner = rw.Intervention(model, x)
        runner.run(edits)
        runner.run(edits)
    return len(made)


def assert_same_results(ours: InterventionResult, expected: InterventionResult) -> None:
    assert type(ours.output) is type(expected.output)
    assert_same_bits(ours.output, expected.output)
    assert_same_bits(ours.baseline, expected.baseline)
    for one, other in (
        (ours.recording, expected.recording),
        (ours.baseline_recording, expected.baseline_recording),
    ):
        assert one.layers == other.layers
        for name in one.layers:
            assert one[name].edits.path == other[name].edits.path
            assert_same_bits(one[name].inputs, other[name].inputs)
            for site in one[name].gates + one[name].states:
                assert_same_bits(one[name][site], other[name][site])


@settings(max_examples=80)
@given(edited_cases(cases(steps=st.integers(4, 9), mode=st.sampled_from(["grad", "no_grad"]))))
def test_it_gives_what_the_forward_gives(drawn: tuple[Case, list[EditCase]]) -> None:
    case, edits = drawn
    with patch.object(OnlyCall, "of", lambda *_: None), torch.set_grad_enabled(case.mode == "grad"):
        through = rw.Intervention(case.module, case.arguments)
        expected = [through.run([edit.ours() for edit in chosen]) for chosen in (edits, edits[:1], [])]
    with torch.set_grad_enabled(case.mode == "grad"):
        runner = rw.Intervention(case.module, case.arguments)
        for chosen, result in zip((edits, edits[:1], []), expected, strict=True):
            assert_same_results(runner.run([edit.ours() for edit in chosen]), result)


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
@pytest.mark.parametrize("mode", ["grad", "no_grad"])
def test_the_forward_is_not_run(kind: str, mode: str) -> None:
    case = Case(kind, layers=2, bidirectional=True, steps=6)
    with torch.set_grad_enabled(mode == "grad"):
        assert runs(case.module, case.arguments, rw.nudge("h", 0.5)) == 2


class Own(nn.LSTM):
    def forward(self, x: Tensor) -> object:
        return super().forward(2 * x)


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> object:
        return self.lstm(2 * x)


def with_a_hook() -> nn.LSTM:
    model = nn.LSTM(3, 4)
    model.register_forward_pre_hook(lambda _, given: (2 * given[0],))
    return model


def with_another_forward() -> nn.LSTM:
    model = nn.LSTM(3, 4)
    model.forward = lambda x: nn.LSTM.forward(model, 2 * x)
    return model


@pytest.mark.parametrize("made", [lambda: Own(3, 4), Around, with_a_hook, with_another_forward])
@torch.no_grad()
def test_a_persons_own_code_is_run(made: Callable[[], nn.Module]) -> None:
    assert runs(made(), torch.randn(6, 2, 3), EDIT) == 0


class Refuses:
    """An attribute that leads to its own model and cannot be copied."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __deepcopy__(self, memo: object) -> object:
        raise TypeError


@torch.no_grad()
def test_a_model_that_cannot_be_copied_is_run_with_what_is_around_it() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    model.extra = Refuses(model)
    with rw.edited(model, rw.shift("f", 1.0)), rw.record(model) as recording, counted() as made:
        runner = rw.Intervention(model, x)
        seen = recording.received
        runner.run([EDIT])
        assert recording.received > seen
    assert not made


@torch.no_grad()
def test_what_is_patched_later_is_run() -> None:
    model, x, forward = nn.LSTM(3, 4), torch.randn(6, 2, 3), nn.LSTM.forward
    runner = rw.Intervention(model, x)
    runner.run([EDIT])
    with patch.object(nn.LSTM, "forward", lambda self, given: forward(self, 2 * given)), counted() as made:
        assert_same_bits(runner.run([EDIT]).output, runner.run([EDIT]).output)
        with rw.edited(model, EDIT):
            torch.testing.assert_close(rw.intervene(model, x, EDIT).output, model(x))
    called, call = [], nn.Module.__call__
    with patch.object(nn.Module, "__call__", lambda self, *given: (called.append(self), call(self, *given))[1]):
        runner.run([EDIT])
    assert called
    with Doubling(), counted() as doubled:
        result = runner.run([rw.nudge("h", 1e-9)])
    assert_same_bits(result.baseline[0], runner.baseline[0])
    torch.testing.assert_close(result.output, result.baseline)
    assert not made + doubled


class Doubling(TorchFunctionMode):
    """A person's own way to see, and change, what PyTorch's functions give."""

    def __torch_function__(self, func: Callable[..., object], types: object, args: object = (), kwargs: object = None):
        found = func(*args, **(kwargs or {}))
        return (2 * found[0], *found[1:]) if getattr(func, "__name__", "") == "lstm" else found


@pytest.mark.parametrize(
    "case",
    [
        Case(form="unbatched", steps=6),
        Case(form="packed", steps=6),
        Case(layers=2, dropout=0.5, training=True, steps=6),
        *(Case(dtype=dtype, steps=6) for dtype in HALVES),
    ],
    ids=["unbatched", "packed", "dropout", *map(str, HALVES)],
)
def test_what_its_forward_does_is_left_to_it(case: Case) -> None:
    assert runs(case.module, case.arguments, rw.nudge("h", 0.5)) == 0


def test_modes_are_left_to_the_forward() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    with torch.inference_mode():
        assert runs(model, x, EDIT) == 0
    assert runs(model, x.clone().requires_grad_(), EDIT) == 0
    assert runs(model, x, rw.nudge("h", torch.ones(4, requires_grad=True))) == 0
    with torch.no_grad():
        assert runs(model, x, rw.nudge("h", torch.ones(4, requires_grad=True))) == 2


def test_autocast_to_half_precision_is_left_to_the_forward() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        skip_where_refused(lambda: model(x))
        assert runs(model, x, EDIT) == 0


def test_a_mode_that_begins_later_is_left_to_the_forward() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    with torch.no_grad(), counted() as made:
        runner = rw.Intervention(model, x)
        runner.run([EDIT])
        with torch.inference_mode():
            assert runner.run([EDIT]).output[0].is_inference()
        handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
        try:
            runner.run([EDIT])
        finally:
            handle.remove()
        assert len(made) == 1
    with torch.inference_mode():
        begun = rw.Intervention(model, x)
    with torch.no_grad(), counted() as made:
        assert_same_bits(begun.run([EDIT]).output, rw.Intervention(model, x).run([EDIT]).output)
        assert len(made) == 1
        model.register_forward_pre_hook(lambda _, given: (2 * given[0],))
        with rw.edited(model, EDIT):
            expected = model(x)
        assert_same_bits(runner.run([EDIT]).output, expected)
        assert len(made) == 1


CHANGES: dict[str, Callable[[nn.LSTM], object]] = {
    "a step": lambda model: model.weight_hh_l0.mul_(0.5),
    "through .data": lambda model: model.weight_hh_l0.data.mul_(0.5),
    "another parameter": lambda model: setattr(model, "weight_hh_l0", nn.Parameter(torch.randn(16, 4))),
    "another bias": lambda model: model.bias_ih_l0.data.add_(1),
    "another setting": lambda model: setattr(model, "batch_first", True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_that_changes_is_followed(change: Callable[[nn.LSTM], object]) -> None:
    torch.manual_seed(0)
    model, x = nn.LSTM(3, 4), torch.randn(6, 6, 3)
    with torch.no_grad():
        runner = rw.Intervention(model, x)
        runner.run([EDIT])
        change(model)
        for _ in range(2):
            with counted() as made:
                result = runner.run([EDIT])
            with rw.edited(model, EDIT):
                torch.testing.assert_close(result.output, model(x))
            torch.testing.assert_close(result.baseline, model(x))
        assert made


@pytest.mark.parametrize("runs_before", [0, 3])
@torch.no_grad()
def test_what_ran_while_weights_were_others_is_forgotten(runs_before: int) -> None:
    torch.manual_seed(0)
    model, x = nn.LSTM(3, 4), torch.randn(12, 2, 3)
    runner = rw.Intervention(model, x)
    for _ in range(runs_before):
        runner.run([EDIT])
    on_copy, other = Twin.on_copy, rw.clamp("i", 0.4, steps=slice(5, None))

    def beside_a_thread(twin: Twin, *arguments: object) -> object:
        for parameter in model.parameters():
            parameter.data.mul_(2)  # in a way that PyTorch does not count
        found = on_copy(twin, *arguments)
        for parameter in model.parameters():
            parameter.data.div_(2)
        return found

    with patch.object(Twin, "on_copy", beside_a_thread):
        runner.run([other])
    for edit in (other, EDIT, other):
        torch.testing.assert_close(runner.run([edit]).output, rw.intervene(model, x, edit).output)


class Emptied(dict):
    """Whatever is put into it is taken out by another thread at once."""

    def __setitem__(self, key: object, value: object) -> None:
        pass


@torch.no_grad()
def test_an_unedited_run_that_another_thread_drops_is_told_nevertheless() -> None:
    runner = rw.Intervention(nn.LSTM(3, 4), torch.randn(6, 2, 3))
    expected = runner.run([EDIT])
    runner._runs._by_path = Emptied()
    assert_same_results(runner.run([EDIT]), expected)


@pytest.mark.parametrize("edit", [EDIT, rw.nudge("h", 0.5), rw.scale("f", 1.0), rw.clamp("c", 0.1, steps=[2])])
def test_what_is_handed_out_is_nobody_elses(edit: rw.Edit) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        runner = rw.Intervention(nn.LSTM(3, 4, 2), torch.randn(6, 2, 3))
        results = [runner.run([edit]) for _ in range(3)]
        output, (hidden, cell) = results[0].output
        for tensor in (output, hidden, cell):
            tensor.fill_(7)
        recording = results[0].recording
        for tensor in (recording["l1"].hidden, recording["l0"].inputs, recording["l0"]["f"]):
            assert not (tensor == 7).any()
            tensor.fill_(7)
        assert_same_results(results[1], runner.run([edit]))
        assert_same_results(results[1], results[2])
