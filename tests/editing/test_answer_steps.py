"""The answer at every step is the model's answer to the beginning of its input."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import rnnwidget as rw
from rnnwidget.recording.prefixes import Prefixes, TimeAxis
from rnnwidget.recording.twin import Twin
from tests.cases import Case, assert_close, assert_same_bits, cases
from tests.edit_cases import EditCase, edited_cases

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Classifier(nn.Module):
    """Reads tokens, and answers from the last hidden state; with lengths it packs them."""

    def __init__(self, family: str = "lstm", *, batch_first: bool = True, classes: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 3, dtype=torch.float64)
        self.rnn = KINDS[family](3, 4, num_layers=2, batch_first=batch_first, dtype=torch.float64)
        self.head = nn.Linear(4, classes, dtype=torch.float64)

    def forward(self, tokens: Tensor, lengths: Tensor | list[int] | None = None, gain: float = 1.0) -> Tensor:
        x = self.words(tokens)
        if lengths is not None:
            x = pack_padded_sequence(x, lengths, batch_first=self.rnn.batch_first, enforce_sorted=False)
        _, state = self.rnn(x)
        return gain * self.head((state[0] if isinstance(state, tuple) else state)[-1])


class Counted(nn.Module):
    """A model that counts its calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.calls = model, []

    def forward(self, *arguments: object) -> object:
        self.calls.append(1)
        return self.model(*arguments)


def built(make: Callable[..., nn.Module], *arguments: object, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return make(*arguments, **options)


def begun(case: Case, steps: int) -> object:
    """The case's input up to a step, cut by hand."""
    (x,) = case.arguments
    if isinstance(x, PackedSequence):
        cut = [sequence[:steps] for sequence in case.sequences]
        return pack_sequence(cut, enforce_sorted=case.form == "packed sorted")
    return x[:, :steps] if case.batch_first and case.form != "unbatched" else x[:steps]


def last_of_each(case: Case, output: object, steps: int) -> Tensor:
    by_position = case.output_by_position(output)
    ends = [min(len(sequence), steps) - 1 for sequence in case.sequences]
    return torch.stack([by_position[end, sequence] for sequence, end in enumerate(ends)])


one_way = cases(bidirectional=False, training=False, given_state=False, steps=st.integers(1, 6))


@settings(max_examples=30)
@given(case=one_way)
def test_a_bare_layer_answers_with_its_last_step(case: Case) -> None:
    (x,) = case.arguments
    found = list(rw.answer_steps(case.module, x))
    assert [t for t, _ in found] == list(range(1, case.steps + 1))
    for t, answer in found:
        output, _ = case.module(begun(case, t))
        assert_close(answer.reshape(case.sequences_count, -1), last_of_each(case, output, t))


@settings(max_examples=25)
@given(drawn=edited_cases(one_way))
def test_under_edits_every_step_is_the_edited_beginning(drawn: tuple[Case, list[EditCase]]) -> None:
    case, edits = drawn
    (x,) = case.arguments
    ours = [edit.ours() for edit in edits]
    in_full = [edit.spelled_out(case) for edit in {edit.ours(): edit for edit in edits}.values()]
    expected = case.reference(tuple(in_full)).output
    for t, (output, _) in rw.answer_steps(case.module, x, edits=ours, answer=lambda output: output):
        by_position = case.output_by_position(output)
        assert len(by_position) == t
        live = expected[:t][~by_position.isnan()]
        assert_close(by_position[~by_position.isnan()], live, 1e-10)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("batch", [1, 2, 6])
def test_a_classifier_is_run_on_every_beginning(family: str, batch: int, *, batch_first: bool) -> None:
    model = built(Classifier, family, batch_first=batch_first, classes=6)
    tokens = torch.randint(0, 20, (batch, 6) if batch_first else (6, batch))
    found = list(rw.answer_steps(model, tokens))
    for t, answer in found:
        assert_close(answer, model(tokens[:, :t] if batch_first else tokens[:t]))
    assert len(found) == 6


@pytest.mark.parametrize("as_list", [True, False])
def test_lengths_end_where_the_beginning_does(*, as_list: bool) -> None:
    model, tokens, lengths = built(Classifier), torch.randint(0, 20, (3, 8)), [2, 6, 5]
    given_lengths = lengths if as_list else torch.tensor(lengths)
    for x in ((tokens, given_lengths), {"tokens": tokens, "lengths": given_lengths, "gain": 1.0}):
        found = list(rw.answer_steps(model, x))
        assert len(found) == 6
        for t, answer in found:
            assert_close(answer, model(tokens[:, :t], [min(length, t) for length in lengths]))


def test_outputs_that_do_not_look_ahead_are_run_a_few_times_only() -> None:
    model = built(Counted, nn.LSTM(3, 4, num_layers=2))
    runner, x = Twin(model), torch.randn(50, 2, 3)
    found = dict(rw.answer_steps(runner, x))
    assert len(found) == 50
    assert len(runner.model.calls) <= 4
    output, _ = model(x)
    assert_same_bits(torch.stack([found[t] for t in range(1, 51)]), output)


class LooksAhead(nn.Module):
    """An output for every step that depends on what comes later."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.rnn(x)
        return hidden - hidden.mean(0)


def test_outputs_that_look_ahead_are_those_of_the_beginnings() -> None:
    model, x = built(LooksAhead), torch.randn(7, 2, 3)
    for t, answer in rw.answer_steps(model, x):
        assert_same_bits(answer, model(x[:t])[-1])


def test_it_runs_when_asked_and_stops_when_nobody_asks() -> None:
    model = built(Counted, Classifier())
    twin = Twin(model)
    steps = rw.answer_steps(twin, torch.randint(0, 20, (1, 40)))
    for _ in range(3):
        next(steps)
    steps.close()
    assert len(twin.model.calls) < 10


def test_values_with_a_number_for_each_step_are_cut_as_well() -> None:
    model, x = built(nn.LSTM, 3, 4).double(), torch.randn(6, 1, 3, dtype=torch.float64)
    drift = torch.linspace(0, 1, 6, dtype=torch.float64).reshape(6, 1, 1)
    for edit in (rw.shift("f", drift), rw.clamp("f", drift[1:5], steps=slice(1, 5))):
        with rw.edited(model, edit):
            output, _ = model(x)
        for t, answer in rw.answer_steps(model, x, edits=edit):
            assert_close(answer, output[t - 1])


def test_cells_in_a_loop_and_gradients_of_the_input() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for x_t in x:
                state = self.cell(x_t, state)
            return state

    model, x = built(Loop), torch.randn(5, 2, 3, requires_grad=True)
    for t, answer in rw.answer_steps(model, x, answer=lambda output: output.sum()):
        assert_same_bits(answer, model(x[:t]).sum())
        (gradient,) = torch.autograd.grad(answer, x)
        assert gradient[:t].abs().min() > 0
        assert not gradient[t:].any()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_refusals() -> None:
    x = torch.randn(5, 2, 3)
    with pytest.raises(NotImplementedError, match="'l0_reverse' reads from the end"):
        rw.answer_steps(nn.LSTM(3, 4, bidirectional=True), x)

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x.reshape(5, 2, 3))[0]

    with pytest.raises(ValueError, match=r"time axis of the input cannot be told: .* 5 steps of 2 sequences.*\(30,\)"):
        rw.answer_steps(Hidden(), torch.randn(30))

    class Idle(Hidden):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ValueError, match="no recurrent layer was called"):
        rw.answer_steps(Idle(), x)
    with pytest.raises(KeyError, match="no layer 'l7'"):
        rw.answer_steps(nn.LSTM(3, 4), x, edits=rw.clamp("f", 1.0, layer="l7"))


def test_what_has_no_time_is_passed_on() -> None:
    time = TimeAxis(4, torch.tensor([4, 4]), batch_first=True, padded=False)
    x, mask, labels = torch.randn(2, 4, 3), torch.ones(2, 4), torch.tensor([0, 1])
    cut = Prefixes((x, {"mask": mask, "labels": labels}, "mode", None), time).until(3)
    assert_same_bits(cut[0], x[:, :3])
    assert_same_bits(cut[1]["mask"], mask[:, :3])
    assert cut[1]["labels"] is labels
    assert cut[2:] == ("mode", None)
    square = TimeAxis(2, torch.tensor([2, 2]), batch_first=False, padded=False)
    assert Prefixes(torch.ones(2, 2, 3), square).until(1).shape == (1, 2, 3)
