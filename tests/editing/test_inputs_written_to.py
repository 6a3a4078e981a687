"""Models that write into what they are given: every run begins from the input as it was."""

import threading
from collections.abc import Iterator, MutableMapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.cases import assert_same_bits


class Writes(nn.Module):
    """Changes its input in place, and a list of states that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor, states: list[Tensor]) -> Tensor:
        x.mul_(0.5).add_(1)
        output, states[0] = self.rnn(x, states[0])
        return self.head(output)


class ReadsArrays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: np.ndarray) -> Tensor:
        x *= 0.5
        return self.rnn(torch.from_numpy(x))[0]


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Tensor) -> None:
        self.x = x


class Nested:
    def __init__(self, x: Tensor) -> None:
        self.store, self.lengths = {"x": x}, [1, 2]

    @property
    def x(self) -> Tensor:
        return self.store["x"]


class Locked(Slotted):
    """Cannot be copied deep."""

    def __init__(self, x: Tensor) -> None:
        super().__init__(x)
        self.y, self.lock = x, threading.Lock()


class ReadsBatches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, batch: Slotted | Nested) -> Tensor:
        return self.rnn((batch.y if isinstance(batch, Locked) else batch.x).mul_(0.5))[0]


@pytest.mark.parametrize("of", [Slotted, Nested, Locked])
@torch.no_grad()
def test_batches_of_a_class_of_ones_own(of: type[Slotted] | type[Nested]) -> None:
    torch.manual_seed(0)
    model, x = ReadsBatches(), torch.randn(5, 2, 3)
    batch, kept, expected = of(x.clone()), x.clone(), model(of(x.clone()))
    runner = rw.Intervention(model, batch)
    for _ in range(2):
        assert_same_bits(runner.run(rw.scale("z", 1.0)).output, expected)
    assert_same_bits(batch.x, kept)


class Kept(MutableMapping):
    """Keeps its items in a dictionary, which its copy shares."""

    def __init__(self, **items: object) -> None:
        self.items_ = items

    def __getitem__(self, key: str) -> object:
        return self.items_[key]

    def __setitem__(self, key: str, value: object) -> None:
        self.items_[key] = value

    def __delitem__(self, key: str) -> None:
        del self.items_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


NONE = object()


class ReadsMore(nn.Module):
    """Compares by identity, and counts on a large data set."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, batch: Nested | Kept, again: Tensor, graph: Tensor) -> Tensor:
        store = batch.store if isinstance(batch, Nested) else batch
        same = store["x"] is again and store["mode"] is NONE and len(store["data"]) == 5000
        return self.rnn(torch.sparse.mm(graph, store["x"].flatten(1)).view_as(again).mul_(1.0 if same else 0.5))[0]


@pytest.mark.parametrize("of", [Nested, Kept])
def test_only_tensors_are_copied(of: type[Nested] | type[Kept]) -> None:
    torch.manual_seed(0)
    model, x, data = ReadsMore(), torch.randn(5, 2, 3), [[i] for i in range(5000)]
    batch = of(x) if of is Nested else of(x=x)
    (batch.store if of is Nested else batch.items_).update(mode=NONE, data=data)
    given = batch, x, torch.eye(5).to_sparse_csr()
    torch.testing.assert_close(rw.intervene(model, given, rw.scale("z", 1.0)).output, model(*given).detach())
    rw.gradient_flow(model, given, lambda output: output.sum())
    assert (batch.store if of is Nested else batch)["x"] is x


@pytest.fixture
def model() -> Writes:
    torch.manual_seed(0)
    return Writes()


def given() -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(1)
    return torch.randn(6, 2, 3), [torch.randn(1, 2, 4)]


def test_before_and_after_are_of_one_input(model: Writes) -> None:
    expected, x = model(*given()), given()
    result = rw.intervene(model, x, rw.scale("z", 1.0))
    assert_same_bits(result.output, result.baseline)
    torch.testing.assert_close(result.output, expected)
    for mine, theirs in zip((x[0], x[1][0]), (given()[0], given()[1][0]), strict=True):
        assert_same_bits(mine, theirs)


@torch.no_grad()
def test_runs_do_not_drift(model: Writes) -> None:
    runner = rw.Intervention(model, given())
    edit = rw.shift("z", 1.0, steps=slice(3, None))
    first = runner.run(edit).output
    assert_same_bits(runner.run(edit).output, first)
    assert_same_bits(first[:3], runner.baseline[:3])
    with rw.edited(model, edit):
        torch.testing.assert_close(model(*given()), first)


@torch.no_grad()
def test_sweeps_and_lesions_are_of_one_input(model: Writes) -> None:
    curve = rw.sweep(
        model, given(), edit_of=lambda v: rw.nudge("hidden", v), values=[0.5, 0.5, 0.5], answer=lambda o: o.sum()
    )
    assert len(set(curve.answers.tolist())) == 1
    scores = rw.lesion_scores(model, given(), layer="rnn.l0", answer=lambda o: o.sum(), controls=1)
    with rw.edited(model, rw.lesion([2])):
        alone = model(*given()).sum()
    torch.testing.assert_close(scores.effects[2], (alone - model(*given()).sum()).double(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_arrays_that_a_model_writes_into() -> None:
    torch.manual_seed(0)
    model, x = ReadsArrays(), np.ones((5, 2, 3), dtype=np.float32)
    result = rw.intervene(model, x, rw.scale("z", 1.0))
    assert_same_bits(result.output, result.baseline)
    assert (x == 1).all()


def test_gradients_reach_the_input_whatever_ran_before(model: Writes) -> None:
    x, states = given()
    x.requires_grad_()
    runner = rw.Intervention(model, (x, states))
    with torch.no_grad():
        runner.run(rw.shift("z", 1.0))
    runner.run(rw.shift("z", 1.0)).output.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
