"""PyTorch's compiler: loaded meanwhile, beside its user's own settings, and calling us from what it has compiled."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rnnwidget as rw
from tests.cases import assert_close
from tests.recording.test_wrapped_modules import Net, Tagged
from tests.threads import in_a_new_thread

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def by_itself(code: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr


COMPILED_LATER = """
import sys, torch, rnnwidget as rw
model, x = torch.nn.Sequential(torch.nn.LSTM(3, 4)), torch.randn(3, 2, 3)
before = list(sys.meta_path)
inspector = rw.RNNInspector(model)
assert "torch._dynamo" not in sys.modules
compiled = torch.compile(model, backend="eager")
compiled(x)[0].sum().backward()
assert inspector.recording is not None, inspector
assert sys.meta_path == before
inspector.close()
"""


def test_a_model_that_is_compiled_after_an_inspector_was_attached() -> None:
    by_itself(COMPILED_LATER)


# PyTorch loads Dynamo for the first optimiser that a person makes, which takes a second or more.
LOADED_MEANWHILE = """
import importlib.util, sys, threading, torch, rnnwidget as rw
from importlib.abc import MetaPathFinder
from tests.recording.test_wrapped_modules import Net

model, x = Net(), torch.randn(5, 2, 3)
halfway, go_on = threading.Event(), threading.Event()

class Halfway(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == MODULE:
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            self.run, spec.loader.exec_module = spec.loader.exec_module, self.wait
            return spec

    def wait(self, module):
        halfway.set()
        assert go_on.wait(60)
        self.run(module)

assert "torch._dynamo" not in sys.modules
with rw.record(model) as around:
    sys.meta_path.insert(0, Halfway())
    loading = threading.Thread(target=importlib.import_module, args=["torch._dynamo"], daemon=True)
    loading.start()
    assert halfway.wait(60)

    def record():
        with rw.record(model) as recording:
            model(x)
        recordings.append(recording)

    recordings = []
    meanwhile = threading.Thread(target=record, daemon=True)
    meanwhile.start()
    meanwhile.join(30)
    waited = not recordings
    go_on.set()
    loading.join(60)
    assert not loading.is_alive(), "the import waits for the block"
    assert not waited, "the block waits for the import"
    assert torch._dynamo.eval_frame._stance.stance == "force_eager"
    output = torch.compile(model, backend="eager")(x)
assert recordings[0].layers == around.layers == ("rnn.l0", "rnn.l1", "cell")
assert len(around.calls("cell")) == 1 and torch.equal(model.head(around.calls("cell")[-1].hidden), output)
assert torch._dynamo.eval_frame._stance.stance == "default"
"""


@pytest.mark.parametrize("module", ["torch._dynamo.trace_rules", "torch._dynamo.decorators", "torch._dynamo.pgo"])
def test_a_block_beside_a_thread_that_loads_the_compiler(module: str) -> None:
    by_itself(f"MODULE = {module!r}\n{LOADED_MEANWHILE}")


COMPILED_INSIDE = """
import sys, torch, rnnwidget as rw
from tests.recording.test_wrapped_modules import Net
model, x = Net(), torch.randn(5, 2, 3)
assert "torch._dynamo" not in sys.modules
with rw.record(model) as recording:
    output = torch.compile(model, backend="eager")(x)
assert recording.layers == ("rnn.l0", "rnn.l1", "cell")
assert torch.equal(model.head(recording["cell"].hidden), output)
"""


def test_a_model_that_is_compiled_inside_a_block_by_a_process_without_a_compiler() -> None:
    by_itself(COMPILED_INSIDE)


OTHER_FINDERS = {
    "ours twice": "rw.record(model).__enter__(); del sys.modules['rnnwidget.recording.eager']\n"
    "from rnnwidget.recording import eager; eager.keep_dynamo_out()",
    "one that asks all others": """
class Asking(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in others if spec), None) if name == "torch._dynamo" else None
sys.meta_path.insert(0, Asking())
""",
    "one that loads when it is asked": """
class Lazily(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch._dynamo":
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            spec.loader = importlib.util.LazyLoader(spec.loader)
            return spec
sys.meta_path.insert(0, Lazily())
importlib.import_module("torch._dynamo")
with rw.record(model):
    model(x)
assert "set_stance" not in object.__getattribute__(sys.modules["torch._dynamo"], "__dict__")
""",
}
BESIDE_OTHERS = """
import importlib.util, pickle, sys, torch, rnnwidget as rw
from importlib.abc import MetaPathFinder
model, x = torch.nn.LSTM(3, 4), torch.randn(5, 2, 3)
with rw.record(model):
    model(x)
{other}
optimiser = torch.optim.Adam(model.parameters())
with rw.record(model):
    assert torch._dynamo.eval_frame._stance.stance == "force_eager"
"""


@pytest.mark.parametrize("other", OTHER_FINDERS)
def test_the_compiler_is_loaded_beside_other_finders_of_modules(other: str) -> None:
    by_itself(BESIDE_OTHERS.replace("{other}", OTHER_FINDERS[other]))


def stance() -> str:
    return torch._dynamo.eval_frame._stance.stance


def test_a_block_is_eager_for_its_own_thread_and_undoes_no_setting_of_the_users() -> None:
    model = Net()
    first, second = rw.record(model), rw.edited(model)
    with first:
        assert (stance(), in_a_new_thread(stance)) == ("force_eager", "default")
    first.__enter__()
    with torch.compiler.set_stance("eager_on_recompile"):
        first.__exit__(None, None, None)
        assert stance() == "eager_on_recompile"
        with second:
            assert (stance(), in_a_new_thread(stance)) == ("force_eager", "eager_on_recompile")
        assert stance() == "eager_on_recompile"
        second.__enter__()
    assert (stance(), in_a_new_thread(stance)) == ("force_eager", "default")
    second.__exit__(None, None, None)
    assert stance() == "default"


@quiet
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("loss", [None, Tensor.sum])
@pytest.mark.parametrize("edits", [[], [rw.clamp("forget_gate", 1.0)]])
def test_an_inspector_with_work_to_do_follows_a_compiled_model(
    loss: Callable[..., Tensor] | None, edits: list[rw.Edit]
) -> None:
    torch.manual_seed(0)
    model, x = Tagged(nn.LSTM(3, 4)), torch.randn(5, 2, 3)
    plain = model(x).detach()
    compiled = torch.compile(model, backend="eager")
    inspector = rw.RNNInspector(model, loss=loss)
    try:
        inspector.edits = edits
        assert_close(compiled(x), plain, 1e-6)
        assert inspector._page.score._status["message"] == ""
        assert inspector.recording is not None
        assert bool((inspector.recording["rnn.l0"]["f"] == 1).all()) is bool(edits)
        assert torch.equal(inspector.output, plain) is not bool(edits)
    finally:
        inspector.close()


ASKED_INSIDE = """
import torch, rnnwidget as rw
from tests.recording.test_wrapped_modules import Tagged
model, x = Tagged(torch.nn.LSTM(3, 4)), torch.randn(5, 2, 3)
expected, outputs = rw.intervene(model, x, rw.clamp("f", 1.0)).output, []

@torch.compile(backend="eager")
def asked(x):
    twice = 2 * x
    outputs.append(rw.intervene(model, x, rw.clamp("f", 1.0)).output)
    return twice + 1

assert torch.equal(asked(x), 2 * x + 1)
assert torch.equal(outputs[0], expected)
"""


def test_a_model_is_asked_inside_a_function_that_is_compiled() -> None:
    by_itself(ASKED_INSIDE)


ENDED_BY_A_COLLECTION = """
import gc, torch, rnnwidget as rw
from rnnwidget.recording import eager, interception, listening, unseen
model, x = torch.nn.Sequential(torch.nn.LSTM(3, 4)), torch.randn(3, 2, 3)

class Holder: pass

def stream(kind):
    block = rw.edited(model, rw.clamp("f", 1.0)) if kind == "edited" else rw.record(model, also=["0"])
    with block:
        yield

for n in range(600):
    holder = Holder()
    holder.itself, holder.stream = holder, stream(("edited", "recorded")[n % 2])
    next(holder.stream)
    del holder
    gc.set_threshold(1 + n % 97, 1, 1)
    with rw.record(model, also=["0"]) as recording:
        output, _ = model(x)
    with rw.edited(model, rw.clamp("f", 0.5)):
        model(x)
    gc.set_threshold(0)
    assert recording.layers == ("0.l0",) and len(recording.also["0"]) == 3, n
gc.collect()
assert not eager._open and not unseen._watches and not interception._attachments
assert not any(listening._listeners.values())
assert not model._forward_hooks and not model[0]._forward_hooks and not model[0]._forward_pre_hooks
with rw.record(model) as recording:
    model(x)
assert not (recording["0.l0"]["f"] == 1).any()
"""


def test_blocks_that_a_collection_of_garbage_ends_in_the_middle_of_another() -> None:
    by_itself(ENDED_BY_A_COLLECTION)
