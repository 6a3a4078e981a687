"""Calls that go on from the state handed out are one call: cells in a loop, chunks, step-by-step generation."""

import threading
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import rnnwidget as rw
from tests import reference
from tests.cases import FEATURES, LETTERS, PREACTIVATIONS, UNITS, Case, assert_close, assert_same_bits
from tests.loops import CELLS, Loop, as_stack, chunks, loops, stepped


def assert_is_the_long_call(recording: rw.Recording, loop: Loop) -> None:
    expected = loop.reference()
    assert recording.layers == loop.names
    for name, of_reference in zip(loop.names, loop.reference_names, strict=True):
        assert len(recording.calls(name)) == 1
        layer = recording[name]
        for site in LETTERS[loop.family].values():
            assert_close(layer[site], expected.layers[of_reference][site])
        for site in PREACTIVATIONS[loop.family]:
            assert_close(layer.preactivation(site), expected.layers[of_reference][f"preactivation:{site}"])
        assert_close(layer.inputs, expected.inputs[of_reference])
        assert layer.lengths.tolist() == [loop.steps] * loop.batch
        assert layer.replay_error <= 1e-12
        for begin in range(loop.steps):
            window = layer.window("hidden", slice(begin, begin + 2), units=[1])
            assert_same_bits(window, layer.hidden[begin : begin + 2, :, 1:2])
            for site in PREACTIVATIONS[loop.family]:
                assert_close(layer.window(site, slice(begin, begin + 2)), layer[site][begin : begin + 2])


@settings(max_examples=80)
@given(loop=loops())
@example(loop=Loop(by_cell=False, layers=2, bias=False, parts=(1, 3, 1), grad=False))  # only the long one is kept whole
def test_a_loop_is_the_one_long_call(loop: Loop) -> None:
    plain = loop.run()
    with rw.record(loop.module) as recording:
        output, finals = loop.run()
    assert_same_bits((output, finals), plain)
    assert_is_the_long_call(recording, loop)
    assert_close(recording[loop.names[-1]].hidden, output)
    cuts = [] if loop.detached is None else [sum(loop.parts[: loop.detached])]
    assert all(recording[name].truncations == (tuple(cuts) if loop.grad else ()) for name in loop.names)


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("given_state", [True, False])
def test_a_cell_called_once_is_one_step(kind: type[nn.RNNCellBase], given_state: bool) -> None:
    cell, x = kind(3, 4), torch.randn(2, 3)
    state = torch.randn(2, 4)
    given_states = ((state, 2 * state) if kind is nn.LSTMCell else state) if given_state else None
    with rw.record(cell) as recording:
        result = cell(x, given_states)
    hidden = result[0] if isinstance(result, tuple) else result
    assert recording.layers == ("cell",)
    assert_same_bits(recording["cell"].hidden, hidden.unsqueeze(0))
    assert_same_bits(recording["cell"].initial["hidden"], state if given_state else torch.zeros(2, 4))
    assert recording["cell"].replay_error < 1e-6


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_unbatched_cells(kind: type[nn.RNNCellBase]) -> None:
    cell, xs, state = kind(3, 4), torch.randn(5, 3), None
    with rw.record(cell) as recording:
        for x in xs:
            state = cell(x, state)
    assert recording["cell"].hidden.shape == (5, 1, 4)
    assert len(recording.calls("cell")) == 1
    assert_same_bits(recording["cell"].hidden[-1, 0], state[0] if isinstance(state, tuple) else state)


def clone(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.clone() for tensor in state)


def moved(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        for tensor in state:
            tensor.mul_(0.5)
    return state


def one_moved(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        state[-1].add_(1.0)
    return state


def fewer(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor[:, :1].contiguous() for tensor in state)


def moved_unseen(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    state[0].data.zero_()
    return state


def swapped(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return state[::-1]


@pytest.mark.parametrize("change", [None, clone, moved, moved_unseen, one_moved, fewer, swapped])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_any_other_state_starts_a_new_call(change: object, mode: type) -> None:
    model = nn.LSTM(3, 4)
    with mode(), rw.record(model) as recording:
        _, state = model(torch.randn(3, 2, 3))
        given_state = None if change is None else change(state)
        model(torch.randn(2, 1 if change is fewer else 2, 3), given_state)
    assert [len(call.hidden) for call in recording.calls("l0")] == [3, 2]
    assert recording["l0"].truncations == ()


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_state_handed_out_goes_on_in_every_mode(mode: type) -> None:
    model = nn.LSTM(3, 4, num_layers=2)
    with mode(), rw.record(model) as recording:
        _, state = model(torch.randn(3, 2, 3))
        model(torch.randn(2, 2, 3), state)
    assert [len(call.hidden) for call in recording.calls("l1")] == [5]


@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_an_empty_batch_goes_on_too(kind: type[nn.RNNCellBase]) -> None:
    cell, state = kind(3, 4), None
    with rw.record(cell) as recording:
        for x in torch.randn(5, 0, 3):
            state = cell(x, state)
    assert [call.hidden.shape for call in recording.calls("cell")] == [(5, 0, 4)]


def test_a_leaf_made_of_a_state_is_a_truncation() -> None:
    cell, h = nn.GRUCell(3, 4), None
    with rw.record(cell) as recording:
        for step, x in enumerate(torch.randn(6, 2, 3)):
            h = cell(x, h)
            h = h.detach().requires_grad_() if step in (1, 3) else h
    assert recording["cell"].truncations == (2, 4)


class NamedState(nn.LSTM):
    def forward(self, x: Tensor, state: object = None) -> object:  # type: ignore[override]
        return super().forward(x, state)


class Apart(nn.LSTMCell):
    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> object:  # type: ignore[override]
        return super().forward(x, (h, c))


class Looping(nn.GRUCell):
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        h, output = None, []
        for x_t in x:
            h = super().forward(x_t, h)
            output.append(h)
        return torch.stack(output)


def by_name(model: nn.Module, x: Tensor) -> Tensor:
    state, output = None, []
    for x_t in x.split(1):
        part, state = model(x_t, state=state)
        output.append(part)
    return torch.cat(output)


def apart(model: nn.Module, x: Tensor) -> Tensor:
    h, c, output = torch.zeros(2, 4), torch.zeros(2, 4), []
    for x_t in x:
        h, c = model(x_t, h, c)
        output.append(h)
    return torch.stack(output)


@pytest.mark.parametrize(
    ("kind", "run"),
    [(NamedState, by_name), (Apart, apart), (Looping, lambda model, x: model(x))],
    ids=["by another name", "apart", "in its own loop"],
)
def test_a_subclass_that_takes_its_state_otherwise(kind: type[nn.Module], run: Callable[..., Tensor]) -> None:
    model, x = kind(3, 4), torch.randn(5, 2, 3)
    plain = run(model, x)
    with rw.record(model) as recording:
        output = run(model, x)
    assert_same_bits(output, plain)
    (name,) = recording.layers
    assert len(recording.calls(name)) == 1
    assert_same_bits(recording[name].hidden, output.detach())
    gate = recording[name].gates[0]
    with rw.record(model) as recording, rw.edited(model, rw.clamp(gate, 0.25, steps=[3])):
        run(model, x)
    held = (recording[name][gate] == 0.25).flatten(1).all(1)
    assert held.tolist() == [False, False, False, True, False]


def test_gradients_through_a_subclass_in_its_own_loop() -> None:
    model, x = Looping(3, 4).double(), torch.randn(5, 2, 3, dtype=torch.float64)
    with rw.record(model, gradients=True) as recording:
        model(x)[-1].square().sum().backward()
    states = [torch.zeros(2, 4, dtype=torch.float64)]
    for x_t in x:
        states.append(nn.GRUCell.forward(model, x_t, states[-1]))
        states[-1].retain_grad()
    states[-1].square().sum().backward()
    assert_close(recording.gradient_flow()["cell"].hidden, torch.stack([state.grad for state in states[1:]]))


def test_a_state_from_two_calls_ago_starts_a_new_call() -> None:
    model, x = nn.GRU(3, 4), torch.randn(2, 1, 3)
    with rw.record(model) as recording:
        _, first = model(x)
        model(x, first)
        model(x, first)
    assert [len(call.hidden) for call in recording.calls("l0")] == [4, 2]
    assert_same_bits(recording["l0"].initial["hidden"], first[0])


def test_a_state_handed_out_before_the_block_starts_a_call() -> None:
    model, x = nn.GRU(3, 4), torch.randn(2, 1, 3)
    _, state = model(x)
    with rw.record(model) as recording:
        _, state = model(x, state)
        model(x, state)
    assert [len(call.hidden) for call in recording.calls("l0")] == [4]


def test_a_recording_that_was_looked_at_goes_on() -> None:
    cell, state = nn.GRUCell(3, 4), None
    with rw.record(cell) as recording:
        for step, x in enumerate(torch.randn(4, 2, 3)):
            state = cell(x, state)
            assert len(recording["cell"].hidden) == step + 1
            assert recording["cell"].replay_error < 1e-6
    assert_same_bits(recording["cell"].hidden[-1], state)


def test_two_modules_interleaved() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"lower": nn.LSTMCell(3, 4), "upper": nn.LSTMCell(4, 4)}).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    with rw.record(model) as recording:
        lower = upper = None
        for x_t in x:
            lower = model["lower"](x_t, lower)
            upper = model["upper"](lower[0], upper)
    assert recording.layers == ("lower", "upper")
    stack = nn.LSTM(3, 4, num_layers=2, dtype=torch.float64)
    for index, cell in enumerate(model.values()):
        as_stack(cell, stack, index)
    with rw.record(stack) as expected:
        stack(x)
    for name, other in (("lower", "l0"), ("upper", "l1")):
        assert len(recording.calls(name)) == 1
        for letter in "ifgohc":
            assert_close(recording[name][letter], expected[other][letter])


def test_a_module_shared_between_encoder_and_decoder() -> None:
    shared = nn.GRU(3, 3)
    model = nn.ModuleDict({"encoder": shared, "decoder": shared})
    x = torch.randn(5, 2, 3)
    with rw.record(model) as recording:
        _, context = model["encoder"](x)
        token, state = x[:1], context
        for _ in range(3):
            token, state = model["decoder"](token, state)
        model["encoder"](x)
        output, _ = model["decoder"](x[:2], 0.5 * context)
    assert recording.layers == ("encoder.l0",)
    assert [len(call.hidden) for call in recording.calls("encoder.l0")] == [8, 5, 2]
    assert_same_bits(recording["encoder.l0"].hidden, output)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("by_cell", [False, True])
def test_each_chunk_of_truncated_backpropagation_keeps_its_own_weights(optimiser: type, by_cell: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    model = (nn.LSTMCell if by_cell else nn.LSTM)(3, 4, dtype=torch.float64)
    updates, snapshots, state = optimiser(model.parameters(), lr=0.1), [], None
    call = stepped if by_cell else nn.Module.__call__
    with rw.record(model) as recording:
        for part in x.split(2):
            snapshots.append({name: weight.detach().clone() for name, weight in model.state_dict().items()})
            output, state = call(model, part, state)
            state = tuple(tensor.detach() for tensor in state)
            updates.zero_grad()
            output.square().sum().backward()
            updates.step()
    layer = recording[recording.layers[0]]
    assert len(recording.calls(layer.name)) == 1
    assert layer.truncations == (2, 4)
    assert layer.replay_error <= 1e-12
    states = tuple(torch.zeros(1, 2, 4, dtype=torch.float64) for _ in range(2))
    fresh = nn.LSTM(3, 4, dtype=torch.float64)
    for index, (part, weights) in enumerate(zip(x.split(2), snapshots, strict=True)):
        for name, weight in weights.items():
            getattr(fresh, name if name.endswith("_l0") else f"{name}_l0").data = weight
        expected = reference.run(fresh, [part[:, 0], part[:, 1]], states)
        states = tuple(state.detach() for state in expected.finals)
        for letter, site in LETTERS["lstm"].items():
            assert_close(layer[letter][2 * index : 2 * index + 2], expected.layers["l0"][site])


def test_packed_chunks_and_reverse_layers_go_on_too() -> None:
    case = Case("lstm", layers=2, bidirectional=True, form="packed sorted", batch=3)
    x, state = case.arguments
    with rw.record(case.module) as recording:
        _, state = case.module(x, state)
        case.module(x, state)
    assert recording["l1_reverse"].replay_error <= 1e-12
    assert [len(call.hidden) for call in recording.calls("l0")] == [8]


def test_recordings_inside_recordings_stitch_for_themselves() -> None:
    cell, state = nn.GRUCell(3, 4), None
    with rw.record(cell) as outer:
        for index, x in enumerate(torch.randn(6, 2, 3)):
            if index == 3:
                with rw.record(cell) as inner:
                    state = cell(x, state)
                    state = cell(x, state)
            state = cell(x, state)
    assert [len(call.hidden) for call in outer.calls("cell")] == [8]
    assert [len(call.hidden) for call in inner.calls("cell")] == [2]


def test_threads_stitch_for_themselves() -> None:
    cell, failures = nn.LSTMCell(3, 4), []
    ready = threading.Barrier(4)

    def work(seed: int) -> None:
        try:
            xs, state = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(seed)), None
            with rw.record(cell) as recording:
                for x in xs:
                    ready.wait()
                    state = cell(x, state)
            assert len(recording.calls("cell")) == 1
            assert_same_bits(recording["cell"].inputs, xs)
            assert_same_bits(recording["cell"].hidden[-1], state[0])
            assert recording["cell"].replay_error < 1e-6
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not cell._forward_hooks


@settings(max_examples=60)
@given(loop=loops(), data=st.data())
def test_steps_of_edits_count_along_the_loop(loop: Loop, data: st.DataObject) -> None:
    site = data.draw(st.sampled_from([*PREACTIVATIONS[loop.family], "hidden"]))
    steps = data.draw(st.lists(st.integers(0, loop.steps), min_size=1, max_size=3, unique=True))
    operation = data.draw(st.sampled_from(["scale", "nudge"]))
    mask = torch.zeros(loop.steps, loop.batch, UNITS, dtype=torch.bool)
    mask[[step for step in steps if step < loop.steps], :, 1] = True
    change = reference.Change(operation, site, torch.full(mask.shape, 0.75, dtype=torch.float64), mask)
    expected = loop.reference((change,))
    edit = getattr(rw, operation)(site, 0.75, steps=steps, units=[1])
    with rw.edited(loop.module, edit), rw.record(loop.module) as recording:
        output, finals = loop.run()
    assert_close(output, expected.output)
    for ours, theirs in zip(finals, expected.finals, strict=True):
        assert_close(ours.reshape(theirs.shape), theirs)
    for name, of_reference in zip(loop.names, loop.reference_names, strict=True):
        assert len(recording.calls(name)) == 1
        for letter in LETTERS[loop.family].values():
            assert_close(recording[name][letter], expected.layers[of_reference][letter])
        assert recording[name].replay_error <= 1e-12


def test_a_new_call_counts_its_steps_from_the_first() -> None:
    model, x = nn.GRU(3, 4), torch.randn(3, 2, 3)
    with rw.edited(model, rw.clamp("z", 0.5, steps=[1, 4])), rw.record(model) as recording:
        _, state = model(x)
        model(x, state)
        model(x, state.clone())
    first, second = recording.calls("l0")
    assert (first["z"] == 0.5).all(dim=-1).all(dim=-1).tolist() == [False, True, False, False, True, False]
    assert (second["z"] == 0.5).all(dim=-1).all(dim=-1).tolist() == [False, True, False]


def test_edits_of_all_steps_go_along() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(6, 2, 3)
    with rw.edited(model, rw.clamp("forget_gate", 0.0)):
        torch.testing.assert_close(chunks(model, x, [2, 2, 2])[0], model(x)[0], rtol=0, atol=1e-6)


class Generator(nn.Module):
    """Its own output is its next input."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.rnn = kind(FEATURES, UNITS, dtype=torch.float64)
        self.head = nn.Linear(UNITS, FEATURES, dtype=torch.float64)

    def forward(self, x: Tensor, steps: int = 5) -> Tensor:
        said, state = [], None
        for _ in range(steps):
            if isinstance(self.rnn, nn.RNNBase):
                output, state = self.rnn(x.unsqueeze(0), state)
                x = self.head(output[0])
            else:
                state = self.rnn(x, state)
                x = self.head(state[0] if isinstance(state, tuple) else state)
            said.append(x)
        return torch.stack(said)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, *CELLS], ids=lambda kind: kind.__name__)
def test_intervening_on_a_model_that_generates(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = Generator(kind), torch.randn(2, FEATURES, dtype=torch.float64)
    edit = rw.nudge("hidden", 1.0, steps=[2], units=[0])
    result = rw.intervene(model, x, [edit])
    assert_close(result.baseline, model(x))
    (name,) = result.recording.layers
    assert len(result.recording[name].hidden) == 5
    change = result.change[name].abs()
    assert (change[:2] == 0).all()
    assert (change[2:].amax(dim=-1) > 0).all()
    assert_close(change[2], torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(2, -1))
    said = (result.output - result.baseline).abs()
    assert (said[:2] == 0).all()
    assert (said[2:] > 0).any(dim=-1).all()
    with rw.edited(model, edit):
        assert_close(result.output, model(x))


class Masked(nn.LSTM):
    def forward(self, x: Tensor, hx: object = None, mask: Tensor | None = None) -> object:  # type: ignore[override]
        output, state = super().forward(x, hx)
        return output if mask is None else output * mask, state


def test_a_subclass_with_a_further_tensor() -> None:
    model, x, mask = Masked(3, 4), torch.randn(6, 2, 3), torch.ones(1)
    for call in (lambda part, state: model(part, state, mask), lambda part, state: model(part, state, mask=mask)):
        state = None
        with rw.record(model) as recording, rw.edited(model, rw.clamp("f", 0.25, steps=[4])):
            for part in x.split(3):
                _, state = call(part, state)
        assert len(recording.calls("l0")) == 1
        held = (recording["l0"]["f"] == 0.25).flatten(1).all(1)
        assert held.tolist() == [False, False, False, False, True, False]


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_a_subclass_in_its_own_loop_under_edits_of_some_steps(use_reentrant: bool) -> None:
    model, x = Looping(3, 4).double(), torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)

    def gradient(call: Callable[[Tensor], Tensor]) -> Tensor:
        x.grad = None
        with rw.edited(model, rw.clamp("hidden", 0.5, steps=[3])):
            call(x).square().sum().backward()
        return x.grad

    plain = gradient(model)
    again = gradient(lambda given: checkpoint(model, given, use_reentrant=use_reentrant))
    assert_close(again, plain)
