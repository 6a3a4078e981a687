"""The model as found, bit for bit, after everything that looks into it or changes it, and after an exception inside."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.found import found


class Classifier(nn.Module):
    """Recurrent parts, dropout, batch norm (buffers that training moves), and a draw of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 3)
        self.first = nn.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.5)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.GRU(8, 4, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4, 2)
        self.trouble: type[BaseException] | None = None
        self.place = ""

    def stumble(self, place: str) -> None:
        if self.trouble is not None and self.place == place:
            raise self.trouble(place)

    def forward(self, tokens: Tensor) -> Tensor:
        self.stumble("before")
        x, _ = self.first(self.embed(tokens))
        self.stumble("between")
        x = self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        x, _ = self.second(self.dropout(x).transpose(0, 1))
        self.stumble("after")
        return self.head(x) + 0.01 * torch.randn(2)


def classifier(*, training: bool) -> Classifier:
    torch.manual_seed(0)
    model = Classifier().train(training)
    model.head.bias.requires_grad_(requires_grad=False)
    model.second.eval()
    model(TOKENS).sum().backward()
    model.embed.weight.grad = None
    return model


TOKENS = torch.arange(10).reshape(5, 2)


@contextlib.contextmanager
def record(model: nn.Module) -> Iterator[None]:
    with rw.record(model) as recording:
        yield
    for name in recording.layers:
        _ = recording[name].replay_error, recording[name].inputs, recording[name]["h"]


@contextlib.contextmanager
def gradients(model: nn.Module) -> Iterator[None]:
    with rw.record(model, gradients=True):
        yield


@contextlib.contextmanager
def folded(model: nn.Module) -> Iterator[None]:
    with rw.edited(model, rw.clamp("f", 1.0), rw.shift("z", 1.0)):
        yield


@contextlib.contextmanager
def stepped(model: nn.Module) -> Iterator[None]:
    with rw.edited(model, rw.scale("hidden", 0.5, steps=[1]), rw.clamp("cell", 0.0, units=[0])):
        yield


@contextlib.contextmanager
def nested(model: nn.Module) -> Iterator[None]:
    with rw.record(model), rw.edited(model, rw.clamp("f", 1.0)), rw.record(model), rw.edited(model, rw.nudge("h", 1.0)):
        yield


BLOCKS = [record, gradients, folded, stepped, nested]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_after_a_block(block: Callable[..., contextlib.AbstractContextManager[None]], training: bool) -> None:
    expected = classifier(training=training)
    expected(TOKENS)
    model = classifier(training=training)
    before = found(model)
    with block(model):
        pass
    assert found(model) == before
    with block(model):
        model(TOKENS)
    # The user's own call moved what it moves anyway: random numbers and the batch norm's buffers.
    ours, theirs = found(model), found(expected)
    assert ours["random"] == theirs["random"]
    for name in before:
        if name not in ("random", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"):
            assert ours[name] == before[name], name


def test_recording_moves_the_buffers_as_the_plain_call_does() -> None:
    expected, model = classifier(training=True), classifier(training=True)
    torch.manual_seed(1)
    plain = expected(TOKENS)
    torch.manual_seed(1)
    with rw.record(model):
        output = model(TOKENS)
    assert torch.equal(output, plain)
    for one, other in zip(model.buffers(), expected.buffers(), strict=True):
        assert torch.equal(one, other)


def intervene(model: nn.Module) -> None:
    result = rw.intervene(model, TOKENS, [rw.clamp("f", 1.0), rw.scale("h", 0.5, steps=[2])])
    assert set(result.change) == set(result.recording.layers)


def intervention(model: nn.Module) -> None:
    runner = rw.Intervention(model, TOKENS)
    for value in (0.0, 0.5, 1.0):
        runner.run([rw.clamp("f", value)])


def intervention_with_gradients(model: nn.Module) -> None:
    runner = rw.Intervention(model, TOKENS)
    result = runner.run([rw.shift("f", 1.0)], loss=lambda output: output.square().sum())
    assert result.recording.gradient_flow()["first.l0"].hidden.isfinite().all()


RUNS = [intervene, intervention, intervention_with_gradients]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("run", RUNS)
def test_after_our_own_runs_nothing_at_all_has_moved(
    run: Callable[[nn.Module], None], mode: Callable[..., contextlib.AbstractContextManager[None]], training: bool
) -> None:
    model = classifier(training=training)
    before = found(model)
    with mode():
        run(model)
    assert found(model) == before


class MadeAnew(Classifier):
    """Is copied and unpickled by being made once more, as some libraries' models are."""

    def __getstate__(self) -> dict[str, object]:
        return {"contents": self.state_dict(), "training": self.training}

    def __setstate__(self, state: dict[str, object]) -> None:
        made = MadeAnew()
        made.load_state_dict(state["contents"])
        vars(self).update(vars(made.train(state["training"])))


@pytest.mark.parametrize("run", [*RUNS, lambda model: rw.RNNInspector(model).close()])
def test_after_runs_on_a_model_whose_copy_is_made_anew(run: Callable[[nn.Module], None]) -> None:
    torch.manual_seed(0)
    model = MadeAnew()
    before = found(model)
    run(model)
    assert found(model) == before


@pytest.mark.parametrize("run", RUNS)
def test_after_runs_on_a_model_that_cannot_be_copied(run: Callable[[nn.Module], None]) -> None:
    model = classifier(training=True)
    model.guard = threading.Lock()
    before = found(model)
    run(model)
    assert found(model) == before


@pytest.mark.parametrize("trouble", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["before", "between", "after"])
@pytest.mark.parametrize("block", BLOCKS)
def test_after_an_exception_in_a_block(
    block: Callable[..., contextlib.AbstractContextManager[None]], place: str, trouble: type[BaseException]
) -> None:
    model = classifier(training=False)
    model.trouble, model.place = trouble, place
    before = found(model)
    with pytest.raises(trouble, match=place), block(model):
        model(TOKENS)
    assert found(model) == before


@pytest.mark.parametrize("trouble", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["before", "between", "after"])
@pytest.mark.parametrize("copied", [True, False])
def test_after_an_exception_in_our_own_run(place: str, trouble: type[BaseException], copied: bool) -> None:
    model = classifier(training=True)
    model.trouble, model.place = trouble, place
    if not copied:
        model.guard = threading.Lock()
    before = found(model)
    with pytest.raises(trouble, match=place):
        rw.intervene(model, TOKENS, [rw.clamp("f", 1.0)])
    assert found(model) == before


@pytest.mark.parametrize(
    "bad",
    [
        lambda model: rw.edited(model, rw.clamp("f", 1.0, layer="nowhere")),
        lambda model: rw.edited(model, rw.clamp("f", 1.0, units=[99])),
        lambda model: rw.edited(model, "forget_gate"),
        lambda model: rw.record(model, also=["nowhere"]),
    ],
)
def test_a_refused_block_attaches_nothing(bad: Callable[..., contextlib.AbstractContextManager[None]]) -> None:
    model = classifier(training=False)
    before = found(model)
    with pytest.raises((KeyError, IndexError, TypeError)), bad(model):
        pytest.fail("the block must not be entered")
    assert found(model) == before


def test_the_next_plain_call_is_bit_identical() -> None:
    model = classifier(training=False)
    torch.manual_seed(3)
    plain = model(TOKENS)
    with rw.record(model), rw.edited(model, rw.clamp("f", 0.0)):
        model(TOKENS)
    rw.intervene(model, TOKENS, [rw.clamp("f", 1.0)])
    torch.manual_seed(3)
    assert torch.equal(model(TOKENS), plain)


def test_hooks_are_gone_between_blocks_and_there_only_inside() -> None:
    model = classifier(training=False)
    with rw.record(model):
        assert model.first._forward_hooks
        assert model.second._forward_pre_hooks
        assert not model.head._forward_hooks
        with rw.edited(model, rw.clamp("f", 1.0)):
            pass
        assert model.first._forward_hooks
    assert not model.first._forward_hooks
