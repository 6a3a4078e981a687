"""Before and after on a copy: what is returned, what is shared, and what is left alone."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import rnnwidget as rw
from rnnwidget.editing import intervention
from tests.cases import Case, assert_close, assert_same_bits
from tests.widgets.models import Numbered


class Answer(nn.Module):
    """One number a sequence; with noise and dropout when it trains."""

    def __init__(self, *, noisy: bool = False) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, num_layers=2, dropout=0.5, dtype=torch.float64)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 1, dtype=torch.float64)
        self.noisy = noisy

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        hidden, _ = self.rnn(gain * x)
        if self.noisy:
            hidden = hidden + torch.randn_like(hidden) + torch.randn(4, dtype=hidden.dtype) + torch.rand(()).double()
        return self.head(self.dropout(hidden[-1]))


def answer(**options: bool) -> Answer:
    torch.manual_seed(0)
    return Answer(**options).eval()


X = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(5, 2, 3)
EDIT = rw.clamp("forget_gate", 1.0, layer="rnn.l0")


def test_baseline_and_output_are_the_plain_and_the_edited_call() -> None:
    model = answer()
    result = rw.intervene(model, X, [EDIT])
    assert_same_bits(result.baseline, model(X))
    with rw.edited(model, EDIT), rw.record(model) as recording:
        output = model(X)
    assert_same_bits(result.output, output)
    assert result.recording.layers == result.baseline_recording.layers == ("rnn.l0", "rnn.l1")
    for name in recording.layers:
        assert_same_bits(result.recording[name]["f"], recording[name]["f"])
        assert_same_bits(result.change[name], result.recording[name].hidden - result.baseline_recording[name].hidden)
    assert result.change["rnn.l1"].abs().max() > 0


def test_no_edit_is_no_change() -> None:
    result = rw.intervene(answer().train(), X, [rw.shift("f", 0.0)])
    assert_same_bits(result.output, result.baseline)
    assert all((change == 0).all() for change in result.change.values())


def test_the_text_form_says_how_far_the_layers_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.LSTM(3, 4, num_layers=2), torch.randn(5, 2, 3)
    result = rw.intervene(model, x, rw.nudge("hidden", 0.25, layer="l1", steps=[4]))
    assert repr(result) == "InterventionResult(max |change|: l0 0, l1 0.25)"
    monkeypatch.setattr(intervention, "QUICKLY_COMPARED", 39)
    assert repr(result) == "InterventionResult(l0, l1)"
    monkeypatch.undo()
    assert repr(rw.intervene(model, x * torch.nan, [])) == (
        "InterventionResult(max |change|: l0 no finite value, l1 no finite value)"
    )
    deep = rw.intervene(nn.GRU(3, 2, num_layers=5), x, [])
    assert repr(deep) == "InterventionResult(max |change|: l0 0, l1 0, l2 0, l3 0, …)"


def test_the_text_form_of_runs_of_other_lengths() -> None:
    class Writer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            first, _ = self.gru(x[:1])
            return self.gru(x[: 2 if bool(first.sum() > 10) else 3])[0]

    result = rw.intervene(Writer(), torch.randn(4, 1, 3), rw.nudge("hidden", 50.0))
    assert repr(result) == "InterventionResult(max |change|: gru.l0 over 3 and 2 steps)"


def test_how_the_model_is_called() -> None:
    model = answer()
    doubled = model(X, 2.0)
    assert_same_bits(rw.intervene(model, (X, 2.0), []).baseline, doubled)
    assert_same_bits(rw.intervene(model, {"x": X, "gain": 2.0}, []).baseline, doubled)
    case = Case("lstm", form="packed")
    result = rw.intervene(case.module, case.arguments[0], [])
    assert_same_bits(result.baseline, case.module(case.arguments[0]))

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 3)

        def forward(self, pair: list[Tensor]) -> Tensor:
            return self.rnn(pair[0] + pair[1])[0]

    summing = Sum()
    pair = [torch.ones(2, 1, 3), torch.ones(2, 1, 3)]
    assert_same_bits(rw.intervene(summing, pair, []).baseline, summing(pair))


def test_outputs_are_the_models_own_objects() -> None:
    result = rw.intervene(nn.LSTM(3, 4), torch.ones(5, 1, 3), [])
    assert type(result.output) is tuple
    assert result.output[0].shape == (5, 1, 4)
    assert len(result.output[1]) == 2


def test_gradients_reach_the_inputs_and_no_parameter() -> None:
    model = answer()
    x = X.clone().requires_grad_()
    result = rw.intervene(model, x, [EDIT])
    assert result.output.requires_grad
    found = torch.autograd.grad(result.output.sum(), x)[0]
    with rw.edited(model, EDIT):
        (expected,) = torch.autograd.grad(model(x).sum(), x)
    assert_close(found, expected)
    rw.intervene(model, x, [EDIT]).output.sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not rw.intervene(model, X, []).output.requires_grad


def test_the_callers_grad_mode_is_kept() -> None:
    x = X.clone().requires_grad_()
    with torch.no_grad():
        assert not rw.intervene(answer(), x, []).output.requires_grad


def test_optimiser_steps_are_followed_without_a_copy() -> None:
    model = answer()
    runner = rw.Intervention(model, X)
    before = runner.run([]).output
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    model(X).sum().backward()
    optimiser.step()
    after = runner.run([]).output
    assert not torch.equal(before, after)
    assert_same_bits(after, model(X))
    twins = dict(runner.twin.model.named_parameters())
    assert all(twins[name].data_ptr() == parameter.data_ptr() for name, parameter in model.named_parameters())


def test_replaced_parameters_and_modes_and_buffers_are_followed() -> None:
    model = answer()
    runner = rw.Intervention(model, X)
    model.head.weight = nn.Parameter(torch.zeros_like(model.head.weight))
    assert_same_bits(runner.run([]).output, model(X))
    model.load_state_dict({name: value + 0.1 for name, value in model.state_dict().items()})
    assert_same_bits(runner.run([]).output, model(X))
    model.train()
    first = runner.run([]).output
    model.eval()
    assert not torch.equal(first, runner.run([]).output)


def test_random_numbers_are_ours_and_the_same_in_every_run() -> None:
    model = answer(noisy=True).train()
    state = torch.get_rng_state()
    runner = rw.Intervention(model, X)
    one, other = runner.run([EDIT]), runner.run([EDIT])
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_bits(one.output, other.output)
    assert_same_bits(runner.run([]).output, runner.baseline)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: nn.functional.dropout(x, 0.5),
        lambda x: nn.functional.dropout2d(x.unsqueeze(0), 0.5)[0],
        lambda x: nn.functional.alpha_dropout(x, 0.5, training=True),
        lambda x: nn.functional.feature_alpha_dropout(x, 0.5, training=True),
        nn.functional.gumbel_softmax,
        lambda x: nn.functional.rrelu(x, training=True),
        lambda x: nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
        lambda x: nn.MultiheadAttention(4, 1, dropout=0.5, dtype=x.dtype)(x, x, x)[0],
        lambda x: x + torch.randn(4),
        lambda x: x + torch.rand_like(x),
        lambda x: x[torch.randperm(len(x))],
        lambda x: x * torch.empty_like(x).uniform_(),
        lambda x: x + torch.normal(0.0, 1.0, (4,)),
        lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
        lambda x: x + torch.distributions.Normal(0.0, 1.0).sample((4,)),
        lambda x: x + torch.distributions.Gamma(torch.ones(4), torch.ones(4)).sample(),
    ],
)
def test_the_process_generator_stays_where_it_was(draw: object) -> None:
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return draw(self.rnn(x)[0])

    model, x = Drawing(), X.float()
    state = torch.get_rng_state()
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            result = rw.intervene(model, x, [])
        assert torch.equal(torch.get_rng_state(), state)
        assert_same_bits(result.output, result.baseline)


def test_a_training_loop_on_another_thread_is_not_disturbed() -> None:
    def train(*, disturbed: bool) -> list[float]:
        torch.manual_seed(1)
        model = answer().train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
        stop = threading.Event()
        looking = answer(noisy=True).train()

        def look() -> None:
            while not stop.is_set():
                rw.intervene(looking, X, [EDIT])
                rw.intervene(model, X, [EDIT])

        torch.manual_seed(2)
        other = threading.Thread(target=look)
        if disturbed:
            other.start()
        losses = []
        for _ in range(30):
            optimiser.zero_grad()
            loss = model(X).square().mean()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        stop.set()
        if disturbed:
            other.join()
        return losses

    torch.manual_seed(0)
    assert train(disturbed=True) == train(disturbed=False)


def test_what_deepcopy_refuses_is_copied_all_the_same() -> None:
    model = answer()
    model.guard = threading.Lock()
    runner = rw.Intervention(model, X)
    assert runner.twin.why_not_copied == ""
    assert runner.twin.model is not model
    assert runner.twin.model.guard is model.guard
    assert_same_bits(runner.baseline, model(X))
    assert_same_bits(runner.run([rw.clamp("f", 1.0)]).output, rw.intervene(answer(), X, [rw.clamp("f", 1.0)]).output)


def test_a_model_that_cannot_be_copied_is_run_itself() -> None:
    model = answer()
    model.part = Numbered(1)
    runner = rw.Intervention(model, X)
    assert "__new__" in runner.twin.why_not_copied
    assert_same_bits(runner.baseline, model(X))
    assert_same_bits(runner.run([rw.clamp("f", 1.0)]).output, rw.intervene(answer(), X, [rw.clamp("f", 1.0)]).output)
    assert not model.rnn._forward_hooks


def test_a_model_that_keeps_tensors_of_a_graph_is_copied() -> None:
    model = answer()
    nn.utils.parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    model.kept = model(X)  # no leaf: deepcopy alone refuses it
    runner = rw.Intervention(model, X)
    assert runner.twin.why_not_copied == ""
    assert runner.twin.model is not model
    assert_same_bits(runner.baseline, model(X))


def test_gradient_flow_of_our_own_run() -> None:
    model = answer()
    result = rw.Intervention(model, X).run([], loss=lambda output: output.square().sum())
    with rw.record(model, gradients=True) as recording:
        model(X).square().sum().backward()
    flow, expected = result.recording.gradient_flow(), recording.gradient_flow()
    for name in expected:
        assert_close(flow[name].hidden, expected[name].hidden)
        assert_close(flow[name].cell, expected[name].cell)
    with torch.no_grad():
        again = rw.Intervention(model, X).run([], loss=lambda output: output.square().sum())
    assert_close(again.recording.gradient_flow()["rnn.l0"].cell, expected["rnn.l0"].cell)


def test_the_models_own_exception_passes_through() -> None:
    with pytest.raises(RuntimeError, match=r"must be equal|Expected"):
        rw.intervene(nn.LSTM(3, 4), torch.ones(5, 1, 7), [])


def packed_and_chaotic() -> tuple[nn.Module, object]:
    torch.manual_seed(12)
    model = nn.RNN(5, 64, num_layers=2, bidirectional=True)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "weight_hh" in name:
                weight.normal_(std=2 / 8)
    x = torch.randn(200, 3, 5) * 0.3
    return model, pack_padded_sequence(x, torch.tensor([200, 170, 110]), enforce_sorted=False)


@torch.no_grad()
def test_sequences_that_no_edit_touches_do_not_move() -> None:
    model, x = packed_and_chaotic()
    edit = rw.nudge("hidden", 0.5, layer="l0", units=[0], batch=[2], steps=slice(0, 90))
    change = rw.intervene(model, x, edit).change
    assert change["l1_reverse"][:, 2].nan_to_num().abs().max() > 0
    for layer in change.values():
        assert layer[:, :2].nan_to_num().abs().max() == 0


@pytest.mark.parametrize("part", ["head.weight", "rnn.weight_hh_l0", "rnn.bias_ih_l1"])
@pytest.mark.parametrize("looked_at", ["run", "baseline"])
def test_weights_that_move_behind_pytorchs_back(part: str, looked_at: str) -> None:
    model = answer()
    runner = rw.Intervention(model, X)
    runner.run(EDIT)
    dict(model.named_parameters())[part].data.mul_(-2)
    baseline = runner.run(EDIT).baseline if looked_at == "run" else runner.baseline
    assert_close(baseline, model(X))


def test_an_input_that_is_used_again_does_not_change_the_intervention() -> None:
    model, x = answer(), X.clone()
    runner = rw.Intervention(model, x)
    edit = rw.clamp("f", 1.0, steps=slice(3, None))
    first = runner.run(edit)
    x.add_(1)
    second = runner.run(edit)
    assert_same_bits(second.output, first.output)
    assert (second.change["rnn.l0"][:3] == 0).all()


def test_results_can_be_changed_in_place() -> None:
    model = answer()
    runner = rw.Intervention(model, X)
    with torch.no_grad():
        runner.run(EDIT).baseline.zero_()
        runner.baseline.zero_()
        assert_same_bits(runner.run(EDIT).baseline, model(X))


def test_every_result_can_be_differentiated_before_and_after() -> None:
    model, x = answer(), X.clone().requires_grad_()
    runner = rw.Intervention(model, x)
    for edit in (EDIT, rw.scale("f", 0.5), rw.clamp("h", 0.5, layer="rnn.l0")):
        result = runner.run(edit)
        before, after = (torch.autograd.grad(out.sum(), x)[0] for out in (result.baseline, result.output))
        assert (before != after).any()
        assert_close(before, torch.autograd.grad(model(x).sum(), x)[0])


def test_a_runner_follows_the_modes_it_is_run_in() -> None:
    torch.manual_seed(0)
    model, x, edit = nn.GRU(3, 8), torch.randn(40, 1, 3), rw.clamp("update_gate", 0.5, steps=slice(35, None))
    with torch.no_grad():
        runner = rw.Intervention(model, x)
        runner.run(edit)
        with torch.autocast("cpu", torch.bfloat16):
            again, fresh = runner.run(edit), rw.intervene(model, x, edit)
    for one, other in ((again.baseline, fresh.baseline), (again.output, fresh.output)):
        assert torch.equal(one[0], other[0])
