"""Before and after belong together: of one state of the weights, one input, one set of hooks."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import rnnwidget as rw
from rnnwidget.recording.twin import Twin
from tests.cases import assert_same_bits
from tests.editing.test_intervene import EDIT, X, answer


@pytest.mark.parametrize("stepped", ["rnn", "head"])
@pytest.mark.parametrize("forwards_before", [0, 1])
def test_before_and_after_are_of_one_state_of_the_weights(forwards_before: int, stepped: str) -> None:
    """Where a training loop steps them between the two, or within a run."""

    class Stepped(nn.Module):
        trained: ClassVar[list[nn.Module | None]] = []

        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(3, 4, dtype=torch.float64), nn.Linear(4, 2, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            hidden, _ = self.rnn(x)
            part = self.trained.pop() if self.trained else None
            if part is not None:
                with torch.no_grad():
                    for parameter in part.parameters():
                        parameter.add_(0.1)
            return self.head(hidden)

    model = Stepped()
    with torch.no_grad():
        runner = rw.Intervention(model, X)
        for edit in (rw.shift("f", 0.0), rw.nudge("c", 0.0), rw.nudge("c", 0.0, steps=[1])):
            Stepped.trained[:] = [getattr(model, stepped), *[None] * forwards_before]
            result = runner.run([edit])
            assert not Stepped.trained
            assert_same_bits(result.output, result.baseline)
            assert_same_bits(runner.baseline, model(X))


def test_a_loss_beside_a_training_loop_is_tried_again() -> None:
    model, moves = answer(), [1]

    def loss(output: Tensor) -> Tensor:
        if moves.pop():
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1)
        return output.square().sum()

    moves[:0] = [0, 0]
    result = rw.Intervention(model, X).run([EDIT], loss=loss)
    assert result.recording.gradient_flow()["rnn.l0"].hidden.isfinite().all()
    moves[:] = [0]
    with pytest.raises(RuntimeError, match="our own"):
        rw.Intervention(model, X).run([EDIT], loss=lambda output: raising("our own"))


def raising(message: str) -> Tensor:
    raise RuntimeError(message)


@pytest.mark.parametrize("edit", [rw.clamp("f", 0.0), rw.scale("f", 0.5), rw.nudge("c", 3.0, steps=[2])])
def test_what_a_backward_would_run_again_without_the_edits_is_refused(edit: rw.Edit) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 4, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(lambda given: self.rnn(given)[0], x, use_reentrant=False)

    model, x = Checkpointed(), X.clone().requires_grad_()
    output = rw.intervene(model, x, [edit]).output
    with pytest.raises(RuntimeError, match=r"activation checkpointing runs LSTM again .* rnnwidget.edited"):
        output.sum().backward()
    flow = rw.Intervention(model, X).run([edit], loss=lambda output: output.sum()).recording.gradient_flow()
    plain = rw.intervene(model.rnn, X, [edit]).recording
    assert flow["rnn.l0"].hidden.shape == plain["l0"].hidden.shape
    model(x).sum().backward()
    assert not model.rnn._forward_pre_hooks


@pytest.mark.parametrize("kept", [lambda x: x.numpy(), lambda x: SimpleNamespace(x=x, name="stimulus")])
def test_an_input_of_any_kind_is_kept_as_it_was(kept: Callable[[Tensor], object]) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4, dtype=torch.float64)

        def forward(self, given: object) -> Tensor:
            return self.rnn(given.x if isinstance(given, SimpleNamespace) else torch.from_numpy(given))[0]

    model, x = Reader(), X.clone()
    given = kept(x)
    runner = rw.Intervention(model, given)
    x.zero_()
    result = runner.run([rw.shift("z", 0.0)])
    assert_same_bits(result.output, result.baseline)
    assert_same_bits(result.baseline, model.rnn(X)[0])


class Odd:
    """Holds a tensor, and cannot be copied, or is its own copy."""

    def __init__(self, x: Tensor, copied: object) -> None:
        self.x, self.copied, self.parent = x, copied, self

    def __copy__(self) -> object:
        if self.copied is None:
            raise TypeError("there is but one")
        return self


@pytest.mark.parametrize("copied", [None, "itself"])
def test_an_input_that_cannot_be_copied_is_read_as_it_is(copied: object) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4, dtype=torch.float64)

        def forward(self, given: Odd) -> Tensor:
            return self.rnn(given.x)[0]

    model, given, x = Reader(), Odd(X, copied), X
    assert_same_bits(rw.intervene(model, given, []).output, model(given))
    assert given.x is x


@pytest.mark.parametrize("change", ["parameter", "buffer"])
def test_what_is_replaced_by_its_like_does_not_make_every_run_twice(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Averaging(Last):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("average", torch.zeros(4, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            last = super().forward(x)
            self.average = (self.average * 0.9).add_(last.mean(0).detach())
            return last

    apart: list[object] = []
    still = Twin.still
    monkeypatch.setattr(Twin, "still", lambda twin: (apart.append(twin), still(twin))[1])
    model = Averaging() if change == "buffer" else Last()
    runner = rw.Intervention(model, X)
    model(X)
    with torch.no_grad():
        model.rnn.weight_ih_l0.add_(0.1)
    model.rnn.weight_ih_l0 = nn.Parameter(model.rnn.weight_ih_l0.data)
    for value in (0.1, 0.2, 0.3):
        runner.run([rw.clamp("f", value)])
    assert apart == []


@pytest.mark.parametrize("kind", ["order", "transposed", "hook"])
def test_the_unedited_run_is_made_again_where_only_the_order_or_a_hook_is_new(kind: str) -> None:
    model = nn.Sequential(Last(), nn.Linear(4, 4, dtype=torch.float64))
    runner = rw.Intervention(model, X)
    match kind:
        case "order":
            model[1].weight.data.copy_(model[1].weight.data.flip(0))
        case "transposed":
            model[1].weight.data = model[1].weight.data.t()
        case "hook":
            model[1].register_forward_hook(lambda module, given, output: 2 * output)
    assert_same_bits(runner.baseline, model(X))
    assert_same_bits(runner.run([rw.shift("f", 0.0)]).output, model(X))


@pytest.mark.parametrize("around", [nn.Identity(), nn.Flatten()])
def test_weights_that_the_kernel_is_given_beside_the_parameters(around: nn.Module) -> None:
    rnn = nn.LSTM(3, 4, dtype=torch.float64)
    model = rnn if isinstance(around, nn.Identity) else nn.Sequential(Last(), around)
    rnn = model if model is rnn else model[0].rnn
    with torch.no_grad():
        runner = rw.Intervention(model, X)
        runner.run([rw.clamp("f", 0.5, steps=slice(2, None))])
        for factor in (2, 3):
            rnn._flat_weights = [factor * weight for weight in rnn.parameters()]
            assert_same_bits(runner.run([rw.shift("f", 0.0)]).output, model(X))


class Drop(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return nn.functional.dropout(weight, 0.5, training=True)


def test_a_weight_that_is_drawn_is_not_drawn_for_a_copy() -> None:
    model = nn.LSTM(3, 4, dtype=torch.float64)
    nn.utils.parametrize.register_parametrization(model, "weight_hh_l0", Drop())
    before = torch.get_rng_state()
    with torch.no_grad():
        runner = rw.Intervention(model, X)
        first, second = (runner.run([rw.clamp("f", 0.5)]).output[0] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_bits(first, second)


@pytest.mark.parametrize("value", [None, 3, torch.tensor(1.0)])
def test_a_persons_own_attribute_may_be_called_as_one_of_pytorchs(value: object) -> None:
    model = Last()
    model._flat_weights = value
    runner = rw.Intervention(model, X)
    for _ in range(2):
        assert_same_bits(runner.run([rw.shift("f", 0.0)]).output, model(X))


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0][-1]
