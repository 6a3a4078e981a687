"""Lesions of single units, in one batch or one by one, are the lesions of so many interventions."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN
from rnnwidget.editing.lesion_scores import matched_controls
from rnnwidget.editing.unit_lesions import UnitLesions
from rnnwidget.recording.recurrent_call import LayerOutput, RecurrentCall
from tests.cases import Case, assert_close, assert_same_bits, cases
from tests.loops import CellLoop


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The units that were lesioned in runs of their own."""
    alone: list[int] = []
    run = UnitLesions._alone

    def counted(self: UnitLesions, unit: int, value: float) -> tuple[Tensor, Tensor]:
        alone.append(unit)
        return run(self, unit, value)

    monkeypatch.setattr(UnitLesions, "_alone", counted)
    return alone


def expected_of(
    model: nn.Module, x: object, layer: str, to: str, answer: Callable[[object], Tensor], width: int
) -> tuple[Tensor, Tensor]:
    """Answers and effects, by an intervention for each unit, its mean by hand."""
    answers, effects = [], []
    with torch.no_grad():
        baseline = rw.intervene(model, x, []).baseline_recording
        flat = torch.cat([call.hidden[~call.hidden.isnan().all(-1)] for call in baseline.calls(layer)])
        for unit in range(width):
            value = float(flat[:, unit].mean()) if to == "mean" else 0.0
            result = rw.intervene(model, x, [rw.clamp("hidden", value, layer=layer, units=[unit])])
            after, before = answer(result.output), answer(result.baseline)
            answers.append(after)
            effects.append((after - before) if after.numel() == 1 else (after - before).norm())
    return torch.stack(answers), torch.stack(effects)


plain = cases(
    training=False,
    given_state=st.booleans(),
    steps=st.integers(1, 5),
    batch=st.integers(1, 3),
    layers=2,
    units=st.sampled_from([4, 5]),
)


@settings(max_examples=10)
@given(case=plain, to=st.sampled_from(["zero", "mean"]), data=st.data())
def test_effects_are_those_of_interventions(case: Case, to: str, data: st.DataObject) -> None:
    layer = data.draw(st.sampled_from(case.names))
    x = case.arguments if len(case.arguments) > 1 else case.arguments[0]

    def answer(output: tuple[object, object]) -> Tensor:
        return case.output_by_position(output[0])[0].sum()

    scores = rw.lesion_scores(case.module, x, layer=layer, answer=answer, to=to, controls=1, progress=False)
    answers, effects = expected_of(case.module, x, layer, to, answer, case.width)
    assert_close(scores.answers, answers, 1e-10)
    assert_close(scores.effects, effects, 1e-10)
    assert_close(scores.baseline, answer(rw.intervene(case.module, x, []).baseline))
    assert_same_bits(scores.control_effects, scores.effects[scores.controls])
    assert_same_bits(scores.excess, scores.effects.abs() - scores.effects[scores.controls[:, 0]].abs())


class Reader(nn.Module):
    """Two classes for each sequence; ``kind`` is what makes a batch of copies other than the runs."""

    def __init__(self, kind: str = "plain", family: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.rnn = family(3, 8, num_layers=2, batch_first=True, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(8, dtype=torch.float64)
        self.head = nn.Linear(8, 2, dtype=torch.float64)

    def forward(self, x: Tensor, lengths: list[int] | None = None) -> object:
        if self.kind == "refuses" and len(x) > 3:
            raise RuntimeError("three sequences at most")
        if self.kind == "turned":
            x = x.flip(0)
        packed = x if lengths is None else pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = self.rnn(packed)
        if isinstance(output, PackedSequence):
            return output
        hidden = self.norm(output[:, -1]) if self.kind == "normed" else output[:, -1]
        scores = self.head(hidden.flip(0) if self.kind == "turned" else hidden)
        return scores.mean(0) if self.kind == "averaged" else {"scores": scores, "steps": x.size(1)}


X = torch.linspace(-2, 2, 3 * 7 * 3, dtype=torch.float64).reshape(3, 7, 3).sin()


def scores_of(output: object) -> Tensor:
    return output if isinstance(output, Tensor) else output["scores"]


@pytest.mark.parametrize("family", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("layer", ["rnn.l0", "rnn.l1"])
@pytest.mark.parametrize("batch", [1, 3])
def test_lesions_run_as_one_batch(family: type[nn.RNNBase], layer: str, batch: int, one_by_one: list[int]) -> None:
    model = Reader(family=family)
    answers, effects = expected_of(model, X[:batch], layer, "zero", scores_of, 8)
    scores = rw.lesion_scores(model, X[:batch], layer=layer, answer=scores_of, progress=False)
    assert one_by_one == []
    assert_close(scores.answers, answers, 1e-12)
    assert_close(scores.effects, effects, 1e-12)


@pytest.mark.parametrize("family", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
def test_many_rows_go_through_a_layer_in_stretches_of_steps(
    family: type[nn.RNNBase], batch_first: bool, monkeypatch: pytest.MonkeyPatch, one_by_one: list[int]
) -> None:
    torch.manual_seed(0)
    model, x = family(3, 8, num_layers=2, batch_first=batch_first, dtype=torch.float64), X
    expected = rw.lesion_scores(model, x, layer="l0", progress=False)
    run, steps = RecurrentCall.run_layer, []

    def run_layer(self: RecurrentCall, weights: object, inputs: Tensor, initial: tuple[Tensor, ...]) -> LayerOutput:
        steps.append(inputs.size(1 if batch_first else 0))
        return run(self, weights, inputs, initial)

    monkeypatch.setattr(RecurrentCall, "run_layer", run_layer)
    rows = 9 * (3 if batch_first else 7)
    monkeypatch.setattr("rnnwidget.editing.side_by_side.NUMBERS", 2 * rows * 8)
    scores = rw.lesion_scores(model, x, layer="l0", progress=False)
    assert one_by_one == []
    assert_close(scores.answers, expected.answers, 1e-12)
    assert {1, 2} >= set(steps) - {x.size(1 if batch_first else 0)} != set()


@pytest.mark.parametrize("lengths", [[7, 2, 5], torch.tensor([7, 2, 5])])
def test_packed_sequences_and_lengths_run_as_one_batch(lengths: object, one_by_one: list[int]) -> None:
    model = Reader()
    answers, _ = expected_of(model, (X, lengths), "rnn.l0", "zero", lambda output: output.data, 8)
    scores = rw.lesion_scores(model, {"x": X, "lengths": lengths}, layer="rnn.l0", controls=2, progress=False)
    assert one_by_one == []
    assert_close(scores.answers, answers, 1e-12)


@pytest.mark.parametrize("kind", ["normed", "refuses", "turned", "averaged"])
def test_a_model_whose_batch_gives_something_else_is_run_one_by_one(kind: str, one_by_one: list[int]) -> None:
    model = Reader(kind).train()
    answers, effects = expected_of(model, X, "rnn.l1", "mean", scores_of, 8)
    scores = rw.lesion_scores(model, X, layer="rnn.l1", answer=scores_of, to="mean", controls=2, progress=False)
    assert one_by_one == list(range(8))
    assert_close(scores.answers, answers, 1e-12)
    assert_close(scores.effects, effects, 1e-12)


def test_many_rows_are_run_in_parts(monkeypatch: pytest.MonkeyPatch, one_by_one: list[int]) -> None:
    expected = rw.lesion_scores(Reader(), X, layer="rnn.l0", answer=scores_of, progress=False)
    monkeypatch.setattr("rnnwidget.editing.unit_lesions.NUMBERS_AT_ONCE", 3 * 7 * 8 * 3)
    scores = rw.lesion_scores(Reader(), X, layer="rnn.l0", answer=scores_of, progress=False)
    assert one_by_one == []
    assert_close(scores.effects, expected.effects)


def test_cells_and_registered_layers_are_lesioned_as_well() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    models = (
        (CellLoop(), lambda output: output, "cell"),
        (LeakyRNN(3, 6).double(), lambda output: output[0][-1], "cell"),
    )
    for model, answer, layer in models:
        answers, effects = expected_of(model, x, layer, "zero", answer, 6)
        scores = rw.lesion_scores(model, x, layer=layer, answer=answer, controls=2, progress=False)
        assert_close(scores.answers, answers, 1e-12)
        assert_close(scores.effects, effects, 1e-12)


def test_some_units_and_their_controls() -> None:
    whole = rw.lesion_scores(Reader(), X, layer="rnn.l0", answer=scores_of, controls=3, progress=False)
    some = rw.lesion_scores(Reader(), X, layer="rnn.l0", answer=scores_of, units=[5, 2], controls=3, progress=False)
    assert some.units.tolist() == [5, 2]
    assert_same_bits(some.controls, whole.controls[[5, 2]])
    assert_close(some.control_effects, whole.control_effects[[5, 2]])
    assert_close(some.excess, whole.excess[[5, 2]])
    by_hand = (whole.control_effects.abs() >= whole.effects.abs()[:, None]).sum(1)
    assert_same_bits(whole.rank, by_hand)


@given(st.integers(2, 9), st.integers(1, 8), st.integers(0, 1000))
def test_controls_are_the_nearest_others(units: int, controls: int, seed: int) -> None:
    activity = torch.randn(30, units, generator=torch.Generator().manual_seed(seed)) * torch.arange(1, units + 1)
    controls = min(controls, units - 1)
    mean, spread = activity.double().abs().mean(0), activity.double().std(0, correction=0)
    found = matched_controls(activity, controls).tolist()
    for unit, others in enumerate(found):

        def distance(other: int, unit: int = unit) -> float:
            steps = [(each[other] - each[unit]) / each.std(correction=0) for each in (mean, spread)]
            return float(sum(step**2 for step in steps))

        assert unit not in others
        assert len(set(others)) == controls
        nearest = sorted(distance(other) for other in range(units) if other != unit)[:controls]
        assert [distance(other) for other in others] == pytest.approx(nearest)


def test_controls_of_units_that_are_all_alike_or_not_finite() -> None:
    still = torch.zeros(4, 5)
    assert [len(set(row) - {unit}) for unit, row in enumerate(matched_controls(still, 4).tolist())] == [4] * 5
    still[0, 2] = torch.nan
    for unit, row in enumerate(matched_controls(still, 3).tolist()):
        assert unit not in row
        assert unit == 2 or 2 not in row


def test_a_lesion_of_what_is_not_finite_is_carried_out() -> None:
    model, x = Reader(), X.clone()
    x[1, 3] = torch.nan
    scores = rw.lesion_scores(
        model, x, layer="rnn.l0", answer=lambda output: scores_of(output)[1].sum(), progress=False
    )
    assert scores.effects.isnan().all()
    first = rw.lesion_scores(model, x, layer="rnn.l0", answer=lambda output: scores_of(output)[0].sum(), progress=False)
    assert first.effects.isfinite().all()


def test_the_model_and_the_callers_modes_stay_as_they_were() -> None:
    model, x = Reader(), X.clone().requires_grad_()
    random, before = torch.get_rng_state(), [parameter.clone() for parameter in model.parameters()]
    scores = rw.lesion_scores(model, x, layer="rnn.l0", answer=scores_of, progress=False)
    assert torch.is_grad_enabled()
    assert not scores.answers.requires_grad
    assert torch.equal(random, torch.get_rng_state())
    assert_same_bits(list(model.parameters()), before)
    assert not model.rnn._forward_hooks


def test_refusals() -> None:
    def scored(**options: object) -> None:
        rw.lesion_scores(Reader(), X, **({"layer": "rnn.l0", "answer": scores_of, "progress": False} | options))

    with pytest.raises(KeyError, match=r"no layer 'l9'; the model has rnn.l0, rnn.l1"):
        scored(layer="l9")
    with pytest.raises(IndexError, match=r"units \[8\] do not exist; 'rnn.l0' has units 0 to 7"):
        scored(units=[0, 8])
    with pytest.raises(ValueError, match=r"units=\[\] names no unit; 'rnn.l0' has units 0 to 7"):
        scored(units=[])
    for controls in (0, 8):
        with pytest.raises(ValueError, match=r"has 8 units, so that a unit can have 1 to 7 controls"):
            scored(controls=controls)
    with pytest.raises(ValueError, match="to is 'zero' or 'mean', got 'median'"):
        scored(to="median")
    with pytest.raises(TypeError, match="one number or tensor; answer gives a dict of a, b"):
        scored(answer=lambda _: {"a": 1.0, "b": 2.0})


def last_norm(output: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return output[0][-1].norm()


def test_they_are_told_in_one_line() -> None:
    model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    scores = rw.lesion_scores(model, x, layer="l0", answer=last_norm, controls=3, progress=False)
    largest = scores.effects.abs().max()
    unit = int(scores.units[scores.effects.abs().argmax()])
    assert repr(scores) == f"LesionScores('l0', to='zero', units=4; largest |effect| {largest:.3g}, unit {unit})"
