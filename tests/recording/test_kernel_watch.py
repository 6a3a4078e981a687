"""Kernels are seen whoever calls them, and PyTorch finds its own name again, whatever happens."""

import contextlib
import functools
import gc
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.modules import rnn

import rnnwidget as rw
from rnnwidget.recording import kernel_watch
from rnnwidget.recording.clients import Client
from rnnwidget.recording.interception import attach, detach
from rnnwidget.recording.modules import recurrent_modules
from tests.cases import assert_same_bits

X = torch.ones(3, 1, 3)


def modes_inside(module: nn.Module) -> list[object]:
    """What stands between PyTorch and its operators while a module runs."""
    seen: list[object] = []
    handle = module.register_forward_hook(
        lambda *_: seen.extend(torch.overrides._get_current_function_mode_stack()), prepend=True
    )
    module(X)
    handle.remove()
    return seen


class Own(nn.LSTM):
    """Calls the kernel itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros = x.new_zeros(1, 1, self.hidden_size)
        return torch.lstm(x, (zeros, zeros), self._flat_weights, True, 1, 0.0, False, False, False)[0]


def with_another_forward(module: nn.Module) -> None:
    """Puts a forward into the module itself, as libraries do that move models between devices."""
    module.forward = functools.partial(Own.forward, module)


def test_a_forward_of_pytorchs_runs_under_no_mode() -> None:
    module, own = nn.LSTM(3, 4), Own(3, 4)
    with rw.record(module), rw.record(own):
        assert modes_inside(module) == []
        assert len(modes_inside(own)) == 1
        assert rnn._VF is torch._VF


@pytest.mark.parametrize("change", [None, with_another_forward])
@pytest.mark.parametrize("of", [nn.LSTM, Own])
def test_whatever_forward_a_module_has(of: type[nn.Module], change: Callable[[nn.Module], None] | None) -> None:
    module = of(3, 4)
    if change is not None:
        change(module)
    with rw.record(module) as recording:
        output = module(X)
    assert_same_bits(recording["l0"].hidden, output if isinstance(output, torch.Tensor) else output[0])
    assert rw.intervene(module, X, rw.clamp("f", 0.0)).change["l0"].abs().max() > 0


def test_a_kernel_that_somebody_else_has_replaced_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = nn.LSTM(3, 4), []

    def replaced(*arguments: object) -> object:
        calls.append(arguments)
        return torch.lstm(*arguments)

    monkeypatch.setattr(torch._VF, "lstm", replaced)
    with rw.record(module) as recording:
        output, _ = module(X)
    assert len(calls) == 1
    assert_same_bits(recording["l0"].hidden, output)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_pytorchs_forward(error: type[BaseException]) -> None:
    module, other = nn.LSTM(3, 4), nn.LSTM(3, 5)

    def stop(*_: object) -> None:
        raise error

    with rw.record(module) as recording:
        handle = module.register_forward_pre_hook(stop)
        with pytest.raises(error):
            module(X)
        handle.remove()
        other(X)
        assert recording.layers == ()
        output, _ = module(X)
        assert rnn._VF is torch._VF
    assert_same_bits(recording["l0"].hidden, output)


def test_threads_are_watched_each_for_itself() -> None:
    """One is inside a call when another's ends, and a third makes calls that nobody watches."""
    module, other, unwatched = nn.LSTM(3, 4), nn.LSTM(3, 5), nn.LSTM(3, 6)
    inside, go_on = threading.Event(), threading.Event()
    found: list[torch.Tensor] = []

    def wait(*_: object) -> None:
        inside.set()
        assert go_on.wait(30)

    def slow() -> None:
        with rw.record(module) as recording:
            handle = module.register_forward_pre_hook(wait)
            found.append(module(X)[0])
            handle.remove()
        found.append(recording["l0"].hidden)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(30)
    with rw.record(other) as recording:
        output, _ = other(X)
    assert_same_bits(recording["l0"].hidden, output)
    assert rnn._VF is not torch._VF
    unwatched(X)
    go_on.set()
    thread.join()
    assert_same_bits(*found)
    assert rnn._VF is torch._VF


def test_a_thread_that_ends_inside_a_call_leaves_nothing() -> None:
    module = nn.LSTM(3, 4)

    def stop(*_: object) -> None:
        raise SystemExit

    def end() -> None:
        with contextlib.suppress(SystemExit):
            module(X)

    client, modules = Client(thread=None), recurrent_modules(module)
    attach(modules, client)
    handle = module.register_forward_pre_hook(stop)
    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    gc.collect()
    assert rnn._VF is torch._VF
    handle.remove()
    detach(modules, client)


def test_a_watch_that_was_interrupted_while_it_began_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(list):
        def append(self, call: object) -> None:
            raise KeyboardInterrupt

    module, other = nn.LSTM(3, 4), nn.LSTM(3, 5)
    with monkeypatch.context() as patched:
        patched.setattr(kernel_watch._of_thread, "calls", Interrupting())
        with pytest.raises(KeyboardInterrupt):
            kernel_watch.watched_by(object(), module)
    gc.collect()
    assert rnn._VF is torch._VF
    with rw.record(module) as recording, rw.record(other):
        handle = module.register_forward_pre_hook(lambda *_: other(X) and None)
        output, _ = module(X)
        handle.remove()
    assert_same_bits(recording["l0"].hidden, output)
