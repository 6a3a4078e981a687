"""Exceptions and interrupts anywhere in a call: nothing of ours stays active, and later calls are recorded rightly."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from rnnwidget.recording.clients import Client
from rnnwidget.recording.interception import attach, detach
from rnnwidget.recording.modules import recurrent_modules
from tests.cases import assert_same_bits


class Fragile(nn.GRU):
    """Raises what it is told to, once, after its kernel has run."""

    trouble: BaseException | None = None

    def forward(self, *arguments: object) -> object:
        result = super().forward(*arguments)
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        return result


def nothing_is_active(*modules: nn.Module) -> bool:
    hooks = [hook for module in modules for hook in (*module._forward_hooks, *module._forward_pre_hooks)]
    watched = torch.nn.modules.rnn._VF is not torch._VF
    return not (hooks or watched or torch.overrides._get_current_function_mode_stack())


X = torch.ones(3, 1, 3)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("block", [rw.record, lambda model: rw.edited(model, rw.shift("z", 1.0))])
def test_an_exception_leaves_nothing_active(error: type[BaseException], block: Callable[..., object]) -> None:
    module = Fragile(3, 4)
    module.trouble = error("stop")
    with pytest.raises(error, match="stop"), block(module):
        module(X)
    assert nothing_is_active(module)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_call_after_is_recorded_once(error: type[BaseException]) -> None:
    module = Fragile(3, 4)
    module.trouble = error()
    with rw.record(module) as recording:
        with pytest.raises(error):
            module(X)
        output, _ = module(2 * X)
        assert torch.overrides._get_current_function_mode_stack() == []
    assert len(recording.calls("l0")) == 2
    assert_same_bits(recording["l0"].hidden, output)
    assert nothing_is_active(module)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_another_model_after_an_interrupt_is_not_taken_for_this_one(error: type[BaseException]) -> None:
    module, other = Fragile(3, 4), nn.LSTM(3, 5)
    module.trouble = error()
    plain = other(X)
    with rw.record(module) as recording, rw.edited(module, rw.clamp("z", 1.0)):
        with pytest.raises(error):
            module(X)
        output = other(X)
    assert_same_bits(output, plain)
    assert len(recording.calls("l0")) == 1
    assert nothing_is_active(module, other)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_recurrent_module_inside_a_recurrent_module(error: type[BaseException]) -> None:
    class Outer(nn.LSTM):
        def __init__(self) -> None:
            super().__init__(3, 4)
            self.inner = Fragile(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.inner(x)[0]
            except error:
                x = -x
            return super().forward(x)

    model = Outer()
    for trouble in (None, error()):
        model.inner.trouble = trouble
        with rw.record(model) as recording:
            output, _ = model(X)
        assert len(recording.calls("l0")) == len(recording.calls("inner.l0")) == 1
        assert recording["inner.l0"].family == "gru"
        assert_same_bits(recording["l0"].hidden, output)
        assert nothing_is_active(model, model.inner)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["before", "pre-hook", "hook", "after"])
def test_wherever_it_comes_from(error: type[BaseException], place: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            if place == "before":
                raise error
            x, _ = self.rnn(x)
            if place == "after":
                raise error
            return x

    def stop(*_: object) -> None:
        raise error

    model = Model()
    register = {"pre-hook": model.rnn.register_forward_pre_hook, "hook": model.rnn.register_forward_hook}

    def call() -> None:
        with rw.record(model):
            handle = register[place](stop) if place in register else None
            try:
                model(X)
            finally:
                if handle is not None:
                    handle.remove()

    with pytest.raises(error):
        call()
    assert nothing_is_active(model, model.rnn)


def test_what_begins_after_an_interrupt_under_an_inspector_finds_nothing_of_it() -> None:
    module, other = Fragile(3, 4), nn.LSTM(3, 4)
    inspector = rw.RNNInspector(module)
    module.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        module(X)
    change = rw.intervene(other, X, rw.clamp("f", 1.0)).change["l0"]
    assert change.abs().max() > 0
    module.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        module(X)
    inspector.close()
    assert nothing_is_active(module, other)


def test_a_mode_of_the_users_that_was_entered_after_an_interrupt_stays() -> None:
    class Counting(torch.overrides.TorchFunctionMode):
        seen = 0

        def __torch_function__(self, func: object, types: object, args: object = (), kwargs: object = None) -> object:
            self.seen += 1
            return func(*args, **(kwargs or {}))

    module = Fragile(3, 4)
    with rw.record(module):
        module.trouble = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            module(X)
        with Counting() as mode:
            module(X)
            before = mode.seen
            torch.zeros(2).add(1)
            assert mode.seen > before
    assert nothing_is_active(module)


@pytest.mark.parametrize("entered_since", [False, True])
def test_a_block_of_the_users_that_took_off_our_mode_for_its_own_is_made_good(entered_since: bool) -> None:
    module, other, since = Fragile(3, 4), nn.LSTM(3, 4), torch.device("cpu")
    inspector = rw.RNNInspector(module)
    module.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), torch.device("meta"):
        module(X)
    if entered_since:
        with since:
            inspector.close()
            assert len(torch.overrides._get_current_function_mode_stack()) == 1
            assert torch.zeros(1).device.type == "cpu"
    inspector.close()
    assert nothing_is_active(module)
    assert rw.intervene(other, X, rw.clamp("f", 1.0)).change["l0"].abs().max() > 0


def test_an_error_of_the_kernel_is_the_users_to_see() -> None:
    module = nn.LSTM(3, 4)
    with pytest.raises(RuntimeError, match=r"must be equal|Expected"), rw.record(module):
        module(torch.zeros(3, 1, 7))
    assert nothing_is_active(module)


def test_what_pytorch_refuses_under_autocast_is_the_users_to_see() -> None:
    module = nn.LSTM(3, 4, num_layers=2)
    with torch.autocast("cpu", torch.bfloat16):
        try:
            module(X)
        except RuntimeError as error:
            refused = str(error)
        else:
            pytest.skip("this CPU has oneDNN's LSTM in bfloat16")
        with pytest.raises(RuntimeError) as recorded, rw.record(module):
            module(X)
    assert str(recorded.value) == refused
    assert nothing_is_active(module)


def test_a_client_that_goes_while_a_call_runs_on_another_thread() -> None:
    inside, go_on = threading.Event(), threading.Event()
    stack: list[object] = []

    class Slow(nn.GRU):
        def forward(self, x: Tensor) -> object:
            inside.set()
            go_on.wait(timeout=10)
            return super().forward(x)

    module = Slow(3, 4)

    def call() -> None:
        module(X)
        stack.extend(torch.overrides._get_current_function_mode_stack())

    client, modules = Client(None), recurrent_modules(module)
    attach(modules, client)
    worker = threading.Thread(target=call)
    worker.start()
    inside.wait(timeout=10)
    detach(modules, client)
    go_on.set()
    worker.join()
    assert stack == []
    assert nothing_is_active(module)


def test_a_generator_that_is_dropped_with_its_block_open() -> None:
    module = nn.GRU(3, 4)

    def endless() -> object:
        with rw.record(module):
            while True:
                yield module(X)

    steps = endless()
    next(steps)
    steps.close()
    assert nothing_is_active(module)
