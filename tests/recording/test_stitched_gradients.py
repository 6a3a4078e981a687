"""Gradients at every step of calls that go on from each other, against autograd on the one plain loop."""

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

import rnnwidget as rw
from tests import reference
from tests.cases import PREACTIVATIONS, STATES, assert_close, assert_same_bits
from tests.loops import CELLS, Loop, chunks, loops, stepped
from tests.losses import SOURCES, loss_of
from tests.reference import Reference


def plain_loop(loop: Loop) -> list[Reference]:
    """The plain loop, in two pieces where the state is detached."""
    sequences, state = list(loop.x.unbind(1)), loop.state
    if loop.detached is None:
        return [reference.run(loop.stack, sequences, state)]
    cut = sum(loop.parts[: loop.detached])
    first = reference.run(loop.stack, [sequence[:cut] for sequence in sequences], state)
    states = tuple(final.detach() for final in first.finals)
    return [first, reference.run(loop.stack, [sequence[cut:] for sequence in sequences], states)]


def gradient(pieces: list[Reference], name: str, site: str, loss: Tensor) -> Tensor:
    return torch.cat([piece.layers[name].gradient(loss, site) for piece in pieces])


@settings(max_examples=80)
@given(loop=loops(grad=True), sources=SOURCES)
def test_flow_is_autograd_through_the_one_loop(loop: Loop, sources: frozenset[str]) -> None:
    sources = sources if loop.family == "lstm" else (sources - {"c_n"} or frozenset({"h_n"}))
    pieces = plain_loop(loop)
    expected = loss_of(torch.cat([piece.output for piece in pieces]), pieces[-1].finals, sources)
    with rw.record(loop.module, gradients=True) as recording:
        output, finals = loop.run()
        finals = tuple(final.reshape(loop.layers, loop.batch, -1) for final in finals)
        loss_of(output, finals, sources).backward()
    flow = recording.gradient_flow()
    assert tuple(flow) == loop.names
    for name, other in zip(loop.names, loop.reference_names, strict=True):
        assert_close(flow[name].hidden, gradient(pieces, other, "hidden", expected))
        assert_close(flow[name].hidden_local, gradient(pieces, other, "outward", expected))
        if "cell" in STATES[loop.family]:
            assert_close(flow[name].cell, gradient(pieces, other, "cell", expected))
        else:
            assert flow[name].cell is None
        for site in PREACTIVATIONS[loop.family]:
            assert_close(flow[name].preactivation(site), gradient(pieces, other, f"preactivation:{site}", expected))
    theirs = torch.autograd.grad(expected, list(loop.module.parameters()), allow_unused=True)
    for parameter, one in zip(loop.module.parameters(), theirs, strict=True):
        zero = torch.zeros_like(parameter)
        assert_close(zero if parameter.grad is None else parameter.grad, zero if one is None else one)


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_what_only_the_next_step_sends_is_not_local_in_a_cell_s_loop(kind: type[nn.RNNCellBase]) -> None:
    cell = kind(3, 4)
    with rw.record(cell, gradients=True) as recording:
        output, _ = stepped(cell, torch.randn(6, 2, 3))
        output[-1].sum().backward()
    flow = recording.gradient_flow()["cell"]
    assert (flow.hidden_local[:-1] == 0).all()
    assert (flow.hidden_local[-1] == 1).all()
    assert (flow.hidden.abs().amax(dim=-1) > 0).all()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda kind: kind.__name__)
def test_what_only_the_next_chunk_sends_is_not_local(kind: type[nn.RNNBase]) -> None:
    module = kind(3, 4, num_layers=2)
    with rw.record(module, gradients=True) as recording:
        output, _ = chunks(module, torch.randn(6, 2, 3), [1, 3, 2])
        output[-1].sum().backward()
    flow = recording.gradient_flow()["l1"]
    assert (flow.hidden_local[:-1] == 0).all()
    assert (flow.hidden_local[-1] == 1).all()
    assert (flow.hidden.abs().amax(dim=-1) > 0).all()


def test_what_a_loss_takes_from_a_state_on_the_way_is_local() -> None:
    cell, states = nn.LSTMCell(3, 4), []
    with rw.record(cell, gradients=True) as recording:
        state = None
        for x in torch.randn(4, 2, 3):
            state = cell(x, state)
            states.append(state)
        (2 * states[1][0].sum() + 3 * states[2][1].sum()).backward()
    flow = recording.gradient_flow()["cell"]
    assert (flow.hidden_local[[0, 2, 3]] == 0).all()
    assert_close(flow.hidden_local[1], torch.full((2, 4), 2.0), 1e-6)
    assert (flow.cell[2] == 3).all()
    assert (flow.cell[3] == 0).all()
    assert (flow.hidden[3] == 0).all()


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.LSTM, nn.GRU], ids=lambda kind: kind.__name__)
def test_parameter_gradients_have_the_bits_of_the_plain_loop(kind: type[nn.Module]) -> None:
    module, x = kind(3, 4), torch.randn(6, 2, 3)

    def run() -> list[Tensor]:
        module.zero_grad()
        output, _ = stepped(module, x) if issubclass(kind, nn.RNNCellBase) else chunks(module, x, [1, 3, 2])
        output.square().sum().backward()
        return [parameter.grad.clone() for parameter in module.parameters()]

    plain = run()
    with rw.record(module):
        assert_same_bits(run(), plain)
    with rw.record(module, gradients=True):
        for ours, theirs in zip(run(), plain, strict=True):
            assert_close(ours, theirs, 1e-6)


@pytest.mark.parametrize("by_cell", [True, False])
def test_truncated_backpropagation_with_an_optimiser_between_the_chunks(by_cell: bool) -> None:
    torch.manual_seed(0)
    module = (nn.GRUCell if by_cell else nn.GRU)(3, 4, dtype=torch.float64)
    optimiser, x = torch.optim.SGD(module.parameters(), lr=0.5), torch.randn(6, 2, 3, dtype=torch.float64)
    call = stepped if by_cell else nn.Module.__call__
    parts, state = [], None
    with rw.record(module, gradients=True) as recording:
        for part in x.split(3):
            with rw.record(module, gradients=True) as alone:
                output, state = call(module, part, state)
                state = state.detach()
                optimiser.zero_grad()
                output.square().sum().backward()
                optimiser.step()
            parts.append(next(iter(alone.gradient_flow().values())))
    (name,) = recording.layers
    found = recording.gradient_flow()[name]
    assert recording[name].truncations == (3,)
    assert_close(found.hidden, torch.cat([part.hidden for part in parts]))
    assert_close(found.hidden_local, torch.cat([part.hidden_local for part in parts]))
    assert_close(found.preactivation("z"), torch.cat([part.preactivation("z") for part in parts]))


def test_runs_that_no_gradient_reached_hide_nothing() -> None:
    cell, x = nn.GRUCell(3, 4), torch.randn(4, 2, 3)
    with rw.record(cell, gradients=True) as recording:
        output, _ = stepped(cell, x)
        output.sum().backward()
        stepped(cell, x[:2])
    assert len(recording.calls("cell")) == 2
    assert recording.gradient_flow()["cell"].hidden.shape == (4, 2, 4)
