"""Models whose forward writes into their own parameters: our runs do not, and each begins where the model stands."""

import copy

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw


class Plastic(nn.Module):
    """Keeps a trace of its activity as a parameter; reads words through an embedding that renorms its rows."""

    def __init__(self, write: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.write = write
        self.embedding = nn.Embedding(9, 3, max_norm=0.5 if write == "max_norm" else None)
        self.cell, self.out = nn.GRUCell(3, 5), nn.Linear(5, 5)
        self.trace = nn.Parameter(torch.zeros(5, 5), requires_grad=False)

    def forward(self, words: Tensor) -> Tensor:
        if self.write == "clamped":
            self.cell.weight_hh.data.clamp_(min=0)
        hidden, outputs = None, []
        for word in words:
            hidden = self.cell(self.embedding(word), hidden)
            outputs.append(self.out(hidden) + hidden @ self.trace.clone())
        with torch.no_grad():
            self.learn(0.1 * hidden.detach().T @ outputs[-1])
        return torch.stack(outputs)

    def learn(self, change: Tensor) -> None:
        match self.write:
            case "data":
                self.trace.data.mul_(0.9).add_(change)
            case "replaced":
                self.trace.data = self.trace.data + change
            case "in place":
                self.trace += change
            case "out":
                torch.add(self.trace, change, out=self.trace)
            case "item":
                self.trace[1:] = change[1:]
            case "row":
                self.trace[2].add_(change[2])
            case "foreach":
                torch._foreach_add_([self.trace, self.out.bias], [change, change[0]])
            case "drawn":
                nn.init.orthogonal_(self.trace).normal_()
            case "functional":
                nn.functional.relu(self.trace.add(change), inplace=True)
                nn.functional.threshold(self.trace, 0.1, 0.7, inplace=True)


WRITES = [
    "data",
    "replaced",
    "in place",
    "out",
    "item",
    "row",
    "foreach",
    "drawn",
    "init",
    "functional",
    "max_norm",
    "clamped",
]
WORDS = torch.arange(12).reshape(6, 2) % 9
EDIT = rw.clamp("update_gate", 0.2, steps=slice(2, 4))


def contents(model: nn.Module) -> list[tuple[Tensor, int]]:
    return [(parameter.detach().clone(), parameter._version) for parameter in model.parameters()]


def assert_untouched(model: nn.Module, before: list[tuple[Tensor, int]]) -> None:
    for parameter, (values, version) in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, values)
        assert parameter._version == version


@pytest.mark.parametrize("write", WRITES)
def test_the_model_stays_as_it_was_and_every_run_begins_from_there(write):
    model = Plastic(write)
    before = contents(model)
    runner = rw.Intervention(model, WORDS)
    result = runner.run(EDIT)
    again = runner.run(EDIT)
    assert_untouched(model, before)
    assert torch.equal(result.output, again.output)
    assert torch.equal(result.recording["cell"].hidden, again.recording["cell"].hidden)
    if write == "drawn":
        return
    fresh = copy.deepcopy(model)
    torch.testing.assert_close(result.baseline, fresh(WORDS))
    fresh = copy.deepcopy(model)
    with rw.edited(fresh, EDIT):
        torch.testing.assert_close(result.output, fresh(WORDS))


@pytest.mark.parametrize("write", WRITES)
def test_neither_a_gradient_flow_a_sweep_nor_an_inspector_writes(write):
    model = Plastic(write)
    before = contents(model)
    rw.gradient_flow(model, WORDS, lambda output: output.square().sum())
    values = [0.2, 0.7, 0.2]
    swept = rw.sweep(model, WORDS, edit_of=lambda value: rw.scale("update_gate", value), values=values, progress=False)
    inspector = rw.RNNInspector(model, inputs=WORDS)
    inspector.edits = [EDIT]
    inspector.close()
    assert_untouched(model, before)
    assert torch.equal(swept.answers[0], swept.answers[2])


@pytest.mark.parametrize("write", ["data", "max_norm"])
def test_a_run_follows_what_training_makes_of_such_parameters(write):
    model = Plastic(write)
    runner = rw.Intervention(model, WORDS)
    runner.run(EDIT)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.8)
        model.trace.fill_(0.25)
    before = contents(model)
    expected = copy.deepcopy(model)(WORDS)
    torch.testing.assert_close(runner.run([]).output, expected)
    torch.testing.assert_close(runner.run(EDIT).baseline, expected)
    assert_untouched(model, before)


def test_parameters_that_share_memory_go_on_sharing_it():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.randn(6, 4)
            self.upper, self.lower = nn.Parameter(whole[:4]), nn.Parameter(whole[2:])
            self.rnn = nn.RNN(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.lower.data.add_(1)
            return self.rnn(x)[0] @ self.upper

    model, x = Tied(), torch.randn(5, 2, 4)
    before = contents(model)
    output = rw.intervene(model, x, rw.shift("hidden", 0.5)).baseline
    assert_untouched(model, before)
    moved = model.upper.detach().clone()
    moved[2:] += 1
    torch.testing.assert_close(output, model.rnn(x)[0] @ moved)


def test_what_the_forward_raises_passes_through():
    class Raises(Plastic):
        def forward(self, words: Tensor) -> Tensor:
            super().forward(words)
            raise ArithmeticError("of its own")

    model = Raises("data")
    before = contents(model)
    with pytest.raises(ArithmeticError, match="of its own"):
        rw.intervene(model, WORDS, EDIT)
    assert_untouched(model, before)
    assert not model.cell._forward_hooks


def test_many_written_parameters_cost_few_forwards():
    class Traces(nn.Module):
        begun = 0

        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(3, 4)
            self.traces = nn.ParameterList([nn.Parameter(torch.zeros(4)) for _ in range(12)])

        def forward(self, x: Tensor) -> Tensor:
            Traces.begun += 1
            hidden, _ = self.rnn(x)
            for trace in self.traces:
                trace.data.add_(hidden.detach().sum((0, 1)))
            return hidden

    model, x = Traces(), torch.randn(5, 2, 3)
    before = contents(model)
    rw.intervene(model, x, rw.shift("hidden", 0.5))
    assert Traces.begun <= 6
    begun = Traces.begun
    rw.intervene(model, x, rw.shift("hidden", 0.5))
    assert Traces.begun - begun <= 4
    assert_untouched(model, before)


@pytest.mark.parametrize("kind", ["buffer", "written"])
def test_gradients_reach_the_input_through_what_a_run_refreshes(kind):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.norm = nn.RNN(3, 4), nn.BatchNorm1d(4)
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            if kind == "written":
                self.weight.data.clamp_(max=0.5)
            hidden, _ = self.rnn(x)
            return self.norm(hidden.flatten(0, 1)) * self.weight

    model = Scaled().eval()
    x = torch.randn(5, 2, 3, requires_grad=True)
    result = rw.intervene(model, x, rw.shift("hidden", 0.5))
    for output in (result.output, result.baseline):
        (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
        assert gradient.abs().max() > 0


def test_a_copy_with_other_parameters_than_the_model_is_one_all_the_same():
    class Untied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.one, self.other = nn.RNN(3, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.other.weight = self.one.weight

        def __deepcopy__(self, memo: dict[int, object]) -> "Untied":
            made = Untied()
            made.load_state_dict(self.state_dict())
            made.other.weight = nn.Parameter(made.one.weight.detach().clone())
            return made

        def forward(self, x: Tensor) -> Tensor:
            return self.other(self.one(self.rnn(x)[0]))

    model, x = Untied(), torch.randn(5, 2, 3)
    torch.testing.assert_close(rw.intervene(model, x, rw.shift("hidden", 0.5)).baseline, model(x))
