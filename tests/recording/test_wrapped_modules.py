"""Recurrent modules whose weights are computed, tied, checkpointed, distributed or compiled."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import rnnwidget as rw
from rnnwidget.cells import LeakyRNN, PeepholeLSTM
from tests.cases import LETTERS, assert_close, assert_same_bits
from tests.found import found
from tests.loops import stepped

NORMS = [
    nn.utils.parametrizations.weight_norm,
    nn.utils.parametrizations.spectral_norm,
    pytest.param(nn.utils.weight_norm, marks=pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")),
    nn.utils.spectral_norm,
]


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.__module__.rpartition('.')[2]}.{norm.__name__}")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell, nn.GRU, nn.RNNCell], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("training", [True, False])
def test_normed_weights(norm: Callable[..., object], kind: type[nn.Module], training: bool) -> None:
    by_cell = issubclass(kind, nn.RNNCellBase)

    def made() -> nn.Module:
        torch.manual_seed(0)
        module = kind(3, 4, dtype=torch.float64)
        norm(module, "weight_hh" if by_cell else "weight_hh_l0")
        return module.train(training)

    module, other, x = made(), made(), torch.randn(5, 2, 3, dtype=torch.float64)

    def run(of: nn.Module) -> Tensor:
        return stepped(of, x)[0] if by_cell else of(x)[0]

    plain = run(other)
    with rw.record(module, gradients=True) as recording:
        output = run(module)
        output.square().sum().backward()
    plain.square().sum().backward()
    assert_same_bits(output, plain)
    (name,) = recording.layers
    # In training mode spectral_norm moves the weights from one step of a cell's loop to the next.
    assert len(recording.calls(name)) == 1
    assert recording[name].replay_error <= 1e-12
    assert_same_bits(recording[name].hidden, output)
    for ours, theirs in zip(module.parameters(), other.parameters(), strict=True):
        assert_close(ours.grad, theirs.grad)
    flow = recording.gradient_flow()[name]
    assert_close(flow.hidden_local, 2 * output.detach())
    for one, theirs in zip(module.buffers(), other.buffers(), strict=True):
        assert_same_bits(one, theirs)


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.__module__.rpartition('.')[2]}.{norm.__name__}")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell], ids=lambda kind: kind.__name__)
def test_intervening_on_normed_weights(norm: Callable[..., object], kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module, x = kind(3, 4), torch.randn(2, 3)
    x = x if kind is nn.LSTMCell else x.expand(5, 2, 3)
    norm(module, "weight_hh" if kind is nn.LSTMCell else "weight_hh_l0")
    module.eval()
    plain = module(x)
    before = found(module)
    runner = rw.Intervention(module, x)
    assert_same_bits(runner.baseline, plain)
    result = runner.run([rw.clamp("f", 0.5)])
    assert found(module) == before
    # Beside a single step that was made by hand, so is the one without edits.
    torch.testing.assert_close(result.baseline, plain)
    assert (result.recording[result.recording.layers[0]]["f"] == 0.5).all()


def test_two_modules_that_share_their_parameters() -> None:
    first, second = nn.GRU(3, 3), nn.GRU(3, 3)
    for name, parameter in first.named_parameters():
        setattr(second, name, parameter)
    model = nn.ModuleDict({"first": first, "deep": nn.ModuleDict({"second": second})})
    x = torch.randn(4, 2, 3)
    with rw.record(model) as recording:
        middle, state = model["first"](x)
        output, _ = model["deep"]["second"](middle, state)
    assert recording.layers == ("first.l0", "deep.second.l0")
    assert_same_bits(recording["first.l0"].hidden, middle)
    assert_same_bits(recording["deep.second.l0"].inputs, middle)
    assert_same_bits(recording["deep.second.l0"].hidden, output)
    assert_same_bits(recording["deep.second.l0"].initial["hidden"], state[0])
    with rw.edited(model, rw.clamp("z", 1.0, layer="first.l0")), rw.record(model) as edited:
        model["deep"]["second"](model["first"](x)[0])
    assert (edited["first.l0"]["z"] == 1).all()
    assert not (edited["deep.second.l0"]["z"] == 1).any()


@pytest.mark.parametrize("wrapped", [nn.Sequential, nn.ModuleList, nn.ModuleDict])
def test_several_calls_however_deep(wrapped: type[nn.Module]) -> None:
    rnn = nn.RNN(3, 3)
    model = wrapped({"rnn": rnn}) if wrapped is nn.ModuleDict else wrapped([rnn]) if wrapped is nn.ModuleList else None
    model = nn.ModuleDict({"outer": model or nn.Sequential(rnn)})
    xs = [torch.randn(length, 2, 3) for length in (2, 1, 4)]
    with rw.record(model) as recording:
        outputs = [rnn(x)[0] for x in xs]
    name = "outer.rnn.l0" if wrapped is nn.ModuleDict else "outer.0.l0"
    assert recording.layers == (name,)
    for call, x, output in zip(recording.calls(name), xs, outputs, strict=True):
        assert_same_bits(call.inputs, x)
        assert_same_bits(call.hidden, output)


class Checkpointed(nn.Module):
    def __init__(self, *, by_cell: bool, use_reentrant: bool) -> None:
        super().__init__()
        self.rnn = nn.LSTMCell(3, 4) if by_cell else nn.LSTM(3, 4, num_layers=2, dropout=0.5)
        self.use_reentrant = use_reentrant

    def run(self, x: Tensor) -> Tensor:
        return stepped(self.rnn, x)[0] if isinstance(self.rnn, nn.LSTMCell) else self.rnn(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.run, x, use_reentrant=self.use_reentrant)


@pytest.mark.parametrize("by_cell", [True, False])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_what_checkpointing_runs_again_is_no_new_call(by_cell: bool, use_reentrant: bool) -> None:
    torch.manual_seed(0)
    model = Checkpointed(by_cell=by_cell, use_reentrant=use_reentrant)
    x = torch.randn(4, 2, 3, requires_grad=True)

    def step() -> tuple[Tensor, list[Tensor]]:
        model.zero_grad()
        torch.manual_seed(1)
        output = model(x)
        output.square().sum().backward()
        return output, [parameter.grad.clone() for parameter in model.parameters()]

    plain = step()
    with rw.record(model) as recording:
        recorded = step()
    assert_same_bits(recorded, plain)
    assert not model.rnn._forward_hooks
    for name in recording.layers:
        assert len(recording.calls(name)) == 1
        assert recording[name].hidden.shape == (4, 2, 4)
        assert recording[name].replay_error < 1e-6
    assert_same_bits(recording[recording.layers[-1]].hidden, recorded[0])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN, LeakyRNN, PeepholeLSTM])
def test_checkpointing_finds_what_a_backward_needs(kind: type[nn.Module], batch_first: bool) -> None:
    if issubclass(kind, nn.RNNBase):
        model = kind(3, 4, num_layers=2, dropout=0.5, batch_first=batch_first)
    else:
        model = kind(3, 4, batch_first=batch_first)
    x = torch.randn(4, 2, 3, requires_grad=True)

    def gradient() -> Tensor:
        torch.manual_seed(1)
        (found,) = torch.autograd.grad(checkpoint(model, x, use_reentrant=False)[0].square().sum(), x)
        return found

    plain = gradient()
    with rw.record(model):
        recorded = gradient()
    assert_same_bits(recorded, plain)


def test_checkpointing_under_edits_trains_the_edited_model() -> None:
    torch.manual_seed(0)
    model = Checkpointed(by_cell=False, use_reentrant=False).eval()
    x = torch.randn(4, 2, 3)

    def gradients(call: Callable[[Tensor], Tensor]) -> list[Tensor]:
        model.zero_grad()
        with rw.edited(model, rw.nudge("cell", 0.5, steps=[1])):
            call(x).square().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    for ours, theirs in zip(gradients(model), gradients(model.run), strict=True):
        assert_close(ours, theirs, 1e-6)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, num_layers=2)
        self.cell = nn.LSTMCell(4, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.rnn(x)
        state, said = None, []
        for h in hidden:
            state = self.cell(h, state)
            said.append(self.head(state[0]))
        return torch.stack(said)


def assert_net(recording: rw.Recording, model: Net, x: Tensor, times: int = 1) -> None:
    with rw.record(model) as expected:
        model(x)
    assert recording.layers == expected.layers == ("rnn.l0", "rnn.l1", "cell")
    for name in expected.layers:
        assert len(recording.calls(name)) == times, name
        for letter in LETTERS["lstm"]:
            assert_close(recording[name][letter], expected[name][letter], 1e-5)
        assert recording[name].replay_error < 1e-5


@pytest.mark.parametrize("wrapper", [nn.DataParallel, lambda model: nn.ModuleDict({"_orig_mod": model})["_orig_mod"]])
def test_names_without_wrappers(wrapper: Callable[[nn.Module], nn.Module]) -> None:
    model, x = Net(), torch.randn(5, 2, 3)
    with rw.record(wrapped := wrapper(model)) as recording:
        wrapped(x)
    assert_net(recording, model, x)


WORKER = """
import contextlib, sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
import rnnwidget as rw
from tests.recording.test_wrapped_modules import Net

rank, meeting = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
gradients = []
for recorded in (False, True):
    torch.manual_seed(0)
    model = DistributedDataParallel(Net())
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(rank))
    with rw.record(model) if recorded else contextlib.nullcontext() as recording:
        model(x).square().mean().backward()
    gradients.append([parameter.grad for parameter in model.parameters()])
assert all(torch.equal(*pair) for pair in zip(*gradients))
assert recording.layers == ("rnn.l0", "rnn.l1", "cell"), recording.layers
assert torch.equal(recording["rnn.l0"].inputs, x)
assert len(recording.calls("cell")) == 1 and recording["cell"].replay_error < 1e-6
assert not model.module.rnn._forward_hooks
dist.destroy_process_group()
print("done", rank)
"""


@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="needs gloo"
)
def test_each_process_of_a_distributed_model_records_its_own(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "GLOO_SOCKET_IFNAME": "lo"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=Path.cwd(),
        )
        for rank in (0, 1)
    ]
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [text.splitlines()[-1:] for text in said] == [["done 0"], ["done 1"]], "\n".join(said)


BACKENDS = [
    "eager",
    pytest.param("inductor", marks=pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")),
]


@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("called_before", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_call_of_a_compiled_model_is_seen(backend: str, called_before: bool) -> None:
    torch.manual_seed(0)
    model, x = Net(), torch.randn(3, 2, 3)
    expected = model(x)
    compiled = torch.compile(model, backend=backend)
    if called_before:
        compiled(x)
    with rw.record(compiled) as recording:
        output = compiled(x)
        compiled(x)
    assert_close(output, expected, 1e-5)
    assert_net(recording, model, x, times=2)
    assert_close(compiled(x), expected, 1e-5)


@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_model_compiled_inside_the_block_is_seen_and_edited() -> None:
    torch.manual_seed(0)
    model, x = Net(), torch.randn(3, 2, 3)
    with rw.record(model) as recording:
        compiled = torch.compile(model, backend="eager")
        compiled(x)
    assert_net(recording, model, x)
    edit = rw.nudge("hidden", 0.5, layer="cell", steps=[1])
    with rw.edited(model, edit):
        expected = model(x)
    with rw.edited(compiled, edit):
        assert_close(compiled(x), expected, 1e-5)


@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_trains_under_an_inspector(backend: str, in_place: bool) -> None:
    torch.manual_seed(0)
    layer, x = Tagged(nn.LSTM(3, 4)), torch.randn(3, 2, 3)
    layer(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    if in_place:
        layer.compile(backend=backend)
    compiled = layer if in_place else torch.compile(layer, backend=backend)
    inspector = rw.RNNInspector(compiled)
    try:
        compiled(x).square().sum().backward()
        assert inspector.recording is not None
        assert_close(inspector.recording["rnn.l0"].hidden, layer.rnn(x)[0].detach(), 1e-6)
    finally:
        inspector.close()
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        assert_close(parameter.grad, gradient, 1e-5)


class Tagged(nn.Module):
    def __init__(self, rnn: nn.LSTM) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


def test_pruned_weights_are_the_ones_that_the_kernel_had() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    prune.l1_unstructured(model, "weight_hh_l0", amount=0.5)
    with rw.record(model) as recording:
        output, _ = model(x)
    assert_same_bits(recording["l0"].hidden, output.detach())
    assert recording["l0"].replay_error < 1e-6
    with rw.edited(model, rw.clamp("f", 1.0)), rw.record(model) as edited:
        model(x)
    assert (edited["l0"]["f"] == 1).all()


def test_a_functional_call_is_recorded_with_the_weights_it_was_given() -> None:
    model, x = nn.Sequential(nn.GRU(3, 4)), torch.randn(5, 2, 3)
    weights = {name: 2 * value.detach() for name, value in model.named_parameters()}
    with rw.record(model) as recording:
        output, _ = torch.func.functional_call(model, weights, (x,))
    assert_same_bits(recording["0.l0"].hidden, output.detach())
    assert recording["0.l0"].replay_error < 1e-6
    assert not torch.equal(output, model(x)[0])
