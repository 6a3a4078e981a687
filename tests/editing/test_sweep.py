"""A sweep is the answers of so many interventions, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import tqdm.auto
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN
from rnnwidget.editing.progress import watched
from rnnwidget.editing.variants import Variants
from rnnwidget.recording.twin import Twin
from tests.cases import Case, assert_close, assert_same_bits, cases
from tests.edit_cases import EditCase, edited_cases, edits
from tests.loops import CellLoop


@settings(max_examples=20)
@given(drawn=edited_cases(cases(training=False, given_state=False, layers=1)))
def test_every_answer_is_that_of_the_edited_model(drawn: tuple[Case, list[EditCase]]) -> None:
    case, edits = drawn
    (x,) = case.arguments
    ours = [edit.ours() for edit in edits]

    def answer(output: tuple[object, object]) -> Tensor:
        return case.output_by_position(output[0]).nansum()

    curve = rw.sweep(case.module, x, edit_of=lambda count: ours[:count], values=[0, 1, len(ours)], answer=answer)
    assert curve.answers.shape == (3,)
    for count, found in curve:
        with rw.edited(case.module, *ours[:count]):
            assert_close(found, answer(case.call()), 1e-10)
    assert_same_bits(curve.answers[0], curve.baseline)


X = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(5, 2, 3)


def lstm() -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(3, 4, dtype=torch.float64)


def forget(value: float) -> rw.Edit:
    return rw.shift("forget_gate", value)


def variants_of(data: st.DataObject, case: Case, donor: rw.Recording) -> list[list[rw.Edit]]:
    """Lists of edits of a case, a lesion and a patch among them."""
    layers, lists = st.none() | st.sampled_from(case.names), st.lists(edits(case), max_size=3)
    drawn = data.draw(st.lists(lists, min_size=2, max_size=5))
    found = [list(dict.fromkeys(edit.ours() for edit in own)) for own in drawn]
    units = data.draw(st.lists(st.integers(0, case.width - 1), min_size=1, max_size=2))
    found.append([rw.lesion(units, layer=data.draw(layers))])
    found.append([rw.patch("hidden", donor, layer=data.draw(layers), batch=data.draw(st.none() | st.just([0])))])
    return data.draw(st.permutations(found))


def side_by_side(model: nn.Module, x: object) -> Variants[object]:
    twin = Twin(model)
    output, recording = twin.run(x)
    return Variants(twin, x, output, recording.calls(recording.layers[0])[0], lambda found: found)


at_once = cases(training=False, given_state=False, form=st.sampled_from(["dense", "packed", "packed sorted"]))


@settings(max_examples=40)
@given(data=st.data(), case=at_once, grad=st.booleans())
def test_variants_at_once_are_as_many_edited_models(data: st.DataObject, case: Case, grad: bool) -> None:
    (x,), other = case.arguments, replace(case, form="dense", seed=case.seed + 1)
    with rw.record(case.module) as donor:
        case.module(*other.arguments)
    variants = variants_of(data, case, donor)
    with torch.set_grad_enabled(grad):
        before, after = side_by_side(case.module, x).at_once(variants)
    assert_close(case.output_by_position(before[0]), case.output_by_position(case.call()[0]), 1e-10)
    for edits_of_it, (output, states) in zip(variants, after, strict=True):
        with rw.edited(case.module, *edits_of_it):
            expected, finals = case.call()
        assert_close(case.output_by_position(output), case.output_by_position(expected), 1e-10)
        for ours, theirs in zip(states if isinstance(states, tuple) else (states,), finals, strict=True):
            assert_close(ours, theirs, 1e-10)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sequence[rw.Edit]]]:
    """The edits that had runs of their own in a sweep."""
    alone: list[Sequence[rw.Edit]] = []
    run = rw.Intervention.run

    def counted(self: rw.Intervention, edits: Sequence[rw.Edit], **options: object) -> object:
        alone.append(edits)
        return run(self, edits, **options)

    monkeypatch.setattr(rw.Intervention, "run", counted)
    return alone


VALUES = [-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]


def expected_of(
    model: nn.Module, x: object, edit_of: Callable[[float], rw.Edit], read: Callable[..., Tensor]
) -> Tensor:
    return torch.stack([read(rw.intervene(model, x, [edit_of(value)]).output).detach() for value in VALUES])


class Mixed(nn.Module):
    """What a sequence gives depends on the other ones, unless ``kind`` is plain."""

    def __init__(self, kind: str, family: type[nn.Module] = nn.LSTM) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.rnn = kind, family(3, 4, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(4, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        last = self.rnn(x)[0][-1]
        match self.kind:
            case "batch norm":
                return self.norm(last)
            case "attention":
                return (last @ last.T).softmax(-1) @ last
            case "dropout":
                return nn.functional.dropout(last, 0.5)
            case "one size" if len(last) != 2:
                raise RuntimeError("two sequences, please")
        return last


@pytest.mark.parametrize("kind", ["batch norm", "attention", "dropout", "one size"])
def test_a_model_that_mixes_sequences_is_run_one_by_one(kind: str, one_by_one: list[object]) -> None:
    model = Mixed(kind).train()
    found = rw.sweep(model, X, edit_of=forget, values=VALUES).answers
    assert len(one_by_one) == len(VALUES) - 1
    assert_close(found, expected_of(model, X, forget, lambda output: output))


@pytest.mark.parametrize("kind", ["plain", "batch norm"])
def test_values_run_as_one_batch(kind: str, one_by_one: list[object]) -> None:
    edits_of_families = {
        nn.LSTM: forget,
        nn.GRU: lambda v: rw.nudge("hidden", v, units=[1], batch=[1]),
        nn.RNN: lambda v: rw.shift("hidden", torch.tensor([[v], [-v]])),
    }
    for family, edit_of in edits_of_families.items():
        model = Mixed(kind, family).eval()
        curve = rw.sweep(model, X, edit_of=edit_of, values=VALUES)
        assert one_by_one == []
        assert_close(curve.answers, expected_of(model, X, edit_of, lambda output: output), 1e-10)
        assert_same_bits(curve.answers[VALUES.index(0.0)], curve.baseline)
        one_by_one.clear()


def test_packed_sequences_and_dicts_run_as_one_batch(one_by_one: list[object]) -> None:
    packed = pack_sequence([X[:2, 0], X[:, 1]], enforce_sorted=False)

    def answer(output: tuple[PackedSequence, object]) -> dict[str, Tensor]:
        return {"sum": output[0].data.sum(), "last": output[1][0][0]}

    curve = rw.sweep(lstm(), packed, edit_of=forget, values=VALUES, answer=answer)
    assert one_by_one == []
    for value, found in curve:
        expected = answer(rw.intervene(lstm(), packed, [forget(value)]).output)
        assert_close(found["sum"], expected["sum"], 1e-10)
        assert_close(found["last"], expected["last"], 1e-10)


def test_cells_and_registered_layers_are_swept_at_once(one_by_one: list[object]) -> None:
    torch.manual_seed(0)
    edits_of_models = {
        CellLoop(): (lambda v: rw.shift("update_gate", v), lambda v: rw.scale("update_gate", v, steps=[1, 3])),
        LeakyRNN(3, 6).double(): (lambda v: rw.shift("drive", v), lambda v: rw.nudge("hidden", v, steps=[1, 3])),
    }
    for model, each in edits_of_models.items():
        for edit_of in each:
            found = rw.sweep(model, X, edit_of=edit_of, values=VALUES, answer=_last)
            assert one_by_one == []
            assert_close(found.answers, expected_of(model, X, edit_of, _last), 1e-10)
            one_by_one.clear()


def _last(output: object) -> Tensor:
    return output if isinstance(output, Tensor) else output[0][-1]


def test_what_costs_less_one_by_one_runs_so(one_by_one: list[object]) -> None:
    for x, edit_of in (
        (X.repeat(1, 10, 1), forget),
        (X, lambda v: rw.shift("forget_gate", v, steps=slice(3, None))),
        (X.clone().requires_grad_(), forget),
    ):
        rw.sweep(lstm(), x, edit_of=edit_of, values=VALUES)
        assert len(one_by_one) == len(VALUES) - 1
        one_by_one.clear()
    rw.sweep(lstm(), X, edit_of=forget, values=VALUES[:3])
    assert len(one_by_one) == 3


def test_large_sweeps_run_in_parts(monkeypatch: pytest.MonkeyPatch, one_by_one: list[object]) -> None:
    whole = rw.sweep(lstm(), X, edit_of=forget, values=np.linspace(-1, 2, 25))
    monkeypatch.setattr("rnnwidget.editing.batch_sizes.ROWS", 14)
    monkeypatch.setattr("rnnwidget.editing.batch_sizes.NUMBERS_AT_ONCE", 280)
    parts = rw.sweep(lstm(), X, edit_of=forget, values=np.linspace(-1, 2, 25))
    assert one_by_one == []
    assert_close(parts.answers, whole.answers)


def test_an_answer_that_is_another_each_time_is_asked_of_runs_of_their_own(one_by_one: list[object]) -> None:
    asked = iter(range(100))
    rw.sweep(lstm(), X, edit_of=forget, values=VALUES, answer=lambda _: next(asked))
    assert len(one_by_one) == len(VALUES) - 1


def test_what_an_answer_can_be() -> None:
    model, values = lstm(), np.linspace(-1, 1, 3)
    whole = rw.sweep(model, X, edit_of=forget, values=values)
    assert whole.answers.shape == (3, 5, 2, 4)
    assert_same_bits(whole.baseline, model(X)[0])
    number = rw.sweep(model, X, edit_of=forget, values=values, answer=lambda output: float(output[0].sum()))
    assert_close(number.answers, whole.answers.sum((1, 2, 3)))
    named = rw.sweep(
        model, X, edit_of=forget, values=values, answer=lambda output: {"sum": output[0].sum(), "last": output[0][-1]}
    )
    assert_same_bits(named.answers["last"], whole.answers[:, -1])
    assert named.baseline.keys() == {"sum", "last"}
    value, answer = next(iter(named))
    assert (value, answer["sum"]) == (-1.0, named.answers["sum"][0])
    assert len(named) == 3


def test_values_are_of_any_kind() -> None:
    model = lstm()
    for values in ([1, 2], (v for v in (1, 2)), torch.tensor([1, 2])):
        assert rw.sweep(model, X, edit_of=forget, values=values).values == (1, 2)
    layers = rw.sweep(model, X, edit_of=rw.lesion, values=[[0], [1, 2]])
    assert (layers.answers[1][..., [1, 2]] == 0).all()


def test_gradients_reach_the_input_and_no_parameter() -> None:
    model, x = lstm(), X.clone().requires_grad_()
    curve = rw.sweep(model, x, edit_of=forget, values=[0.5], answer=lambda output: output[0].sum())
    (found,) = torch.autograd.grad(curve.answers.sum(), x)
    with rw.edited(model, forget(0.5)):
        (expected,) = torch.autograd.grad(model(x)[0].sum(), x)
    assert_close(found, expected)
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        assert not rw.sweep(model, x, edit_of=forget, values=[0.5], answer=lambda out: out[0]).answers.requires_grad


def test_steps_are_run_when_they_are_asked_for() -> None:
    tried: list[float] = []

    def edit_of(value: float) -> rw.Edit:
        tried.append(value)
        return forget(value)

    runner = rw.Intervention(lstm(), X)
    track = rw.sweep_steps(runner, edit_of, iter([1.0, 2.0, 3.0]), lambda output: output[0].sum())
    first, second = next(track), next(track)
    assert tried == [1.0, 2.0]
    assert first[1] != second[1]


def test_refusals() -> None:
    model = lstm()
    with pytest.raises(ValueError, match="values is empty"):
        rw.sweep(model, X, edit_of=forget, values=[])
    with pytest.raises(TypeError, match="edit_of gives an edit or a list of edits; got float"):
        rw.sweep(model, X, edit_of=lambda value: value, values=[1.0])
    for bad in ("no answer", None, object()):
        with pytest.raises(TypeError, match="an answer is a number, a tensor or a dict"):
            rw.sweep(model, X, edit_of=forget, values=[1.0], answer=lambda _, bad=bad: bad)
    shapes = iter([torch.zeros(2), torch.zeros(2), torch.zeros(3)])
    with pytest.raises(ValueError, match=r"shape \(2,\) at 1.0 and \(3,\) at 2.0"):
        rw.sweep(model, X, edit_of=forget, values=[1.0, 2.0], answer=lambda _: next(shapes))
    names = iter([{"a": 1}, {"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match=r"the answer is \['a'\] at 1.0 and \['b'\] at 2.0"):
        rw.sweep(model, X, edit_of=forget, values=[1.0, 2.0], answer=lambda _: next(names))


def test_a_quick_sweep_shows_no_bar_and_a_slow_one_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for progress in (None, True, False):
        assert list(watched(range(3), name="sweep", progress=progress)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    now = iter(range(100))

    class Clock(tqdm.auto.tqdm):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            self._time = lambda: float(next(now))
            self.start_t = self.last_print_t = -2.0

    monkeypatch.setattr(tqdm.auto, "tqdm", Clock)
    assert list(watched(range(3), name="sweep", total=3, progress=True)) == [0, 1, 2]
    shown = capsys.readouterr().err
    assert "sweep" in shown
    assert "3/3" in shown
    # Nobody looks here, so nothing is shown unless it is asked for.
    for progress in (None, False):
        assert list(watched(range(3), name="sweep", total=3, progress=progress)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


class Stopping(nn.Module):
    """Generates until every sequence has said the last word; ``lengths`` may be read all the same."""

    def __init__(self, *, by_value: bool) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(3, 8, dtype=torch.float64), nn.Linear(8, 3, dtype=torch.float64)
        self.by_value = by_value

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        state, said = None, []
        for _ in range(int(lengths.max())):
            state = self.cell(x, state)
            x = self.head(state)
            said.append(x)
            if self.by_value and bool((x.argmax(-1) == 0).all()):
                break
        return torch.stack(said).sum(0)


@pytest.mark.parametrize("by_value", [True, False])
def test_a_model_that_decides_by_what_it_computes_is_run_one_by_one(by_value: bool, one_by_one: list[object]) -> None:
    torch.manual_seed(0)
    model, lengths, values = Stopping(by_value=by_value), torch.tensor([9, 4]), [-4.0, -2.0, -0.5, 0.5, 2.0, 4.0]
    x = torch.randn(2, 3, dtype=torch.float64)
    curve = rw.sweep(model, (x, lengths), edit_of=lambda v: rw.shift("z", v), values=values, answer=lambda y: y[0, 0])
    assert bool(one_by_one) is by_value
    expected = [rw.intervene(model, (x, lengths), [rw.shift("z", value)]).output[0, 0] for value in values]
    assert_close(curve.answers, torch.stack(expected).detach(), 1e-10)


def test_a_model_of_small_numbers_that_mixes_sequences_is_run_one_by_one(one_by_one: list[object]) -> None:
    model = Mixed("batch norm").train()
    x = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def small(output: Tensor) -> Tensor:
        return 1e-6 * output

    curve = rw.sweep(Scaled(model), x, edit_of=forget, values=[0.2, 0.5, 0.9], answer=lambda y: y.flatten()[0])
    assert one_by_one
    exact = [small(rw.intervene(model, x, [forget(value)]).output).flatten()[0] for value in curve.values]
    assert_close(1e6 * curve.answers, 1e6 * torch.stack(exact).detach(), 1e-4)


class Scaled(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return 1e-6 * self.model(x)


def test_the_rows_of_a_tensor_are_values_too() -> None:
    model, x, directions = nn.LSTM(3, 4), torch.randn(5, 1, 3), torch.randn(3, 4)
    curve = rw.sweep(model, x, edit_of=lambda row: rw.nudge("hidden", row), values=directions)
    assert len(curve.values) == 3
    for row, found in curve:
        assert_close(found, rw.intervene(model, x, [rw.nudge("hidden", row)]).output[0].detach(), 1e-5)
