"""Recording and editing against the plain forward and against a hand-written loop."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import rnnwidget as rw
from tests.benchmarks.comparison import Row, compare
from tests.benchmarks.hand_written import with_gates


@dataclass(frozen=True)
class Workload:
    """A module and a batch of sequences; packed ones have lengths from half of ``steps`` up."""

    kind: type[nn.LSTM] | type[nn.GRU]
    layers: int
    units: int
    steps: int
    batch: int
    packed: bool = False

    @property
    def name(self) -> str:
        sides = "bidirectional " if self.packed else ""
        form = ", packed" if self.packed else ""
        return f"{sides}{self.kind.__name__} {self.layers}×{self.units}, T={self.steps}, B={self.batch}{form}"

    def build(self) -> tuple[nn.LSTM | nn.GRU, Tensor, Tensor | None]:
        torch.manual_seed(0)
        module = self.kind(self.units, self.units, num_layers=self.layers, bidirectional=self.packed)
        x = torch.randn(self.steps, self.batch, self.units)
        lengths = torch.randint(self.steps // 2, self.steps + 1, (self.batch,)) if self.packed else None
        if lengths is not None:
            lengths[0] = self.steps
        return module, x, lengths


WORKLOADS = (
    Workload(nn.LSTM, 2, 128, 200, 1),
    Workload(nn.LSTM, 2, 256, 500, 1),
    Workload(nn.LSTM, 2, 256, 200, 32),
    Workload(nn.LSTM, 1, 64, 1000, 64),
    Workload(nn.GRU, 2, 256, 200, 32),
    Workload(nn.LSTM, 2, 128, 200, 32, packed=True),
)


def recorded(module: nn.Module, x: Tensor | PackedSequence) -> rw.Recording:
    with rw.record(module) as recording:
        module(x)
    return recording


def everything(module: nn.Module, x: Tensor | PackedSequence) -> dict[str, Tensor]:
    """Record, and look at every gate and every state of every layer."""
    recording = recorded(module, x)
    layers = [recording[name] for name in recording.layers]
    return {f"{layer.name} {site}": layer[site] for layer in layers for site in layer.gates + layer.states}


def clamped(module: nn.Module, x: Tensor | PackedSequence, edit: rw.Edit) -> object:
    with rw.edited(module, edit):
        return module(x)


def rows(seconds: float) -> Iterator[Row]:
    """Every comparison, the noise first; without gradients, in float32."""
    for load in WORKLOADS:
        module, x, lengths = load.build()
        given = x if lengths is None else pack_padded_sequence(x, lengths, enforce_sorted=False)
        edit = rw.clamp("forget_gate" if load.kind is nn.LSTM else "update_gate", 1.0, units=[0])
        with torch.no_grad():
            _assert_the_same(module, x, given, lengths)
            yield compare(
                f"noise: everything, {load.name}",
                lambda m=module, x=given: everything(m, x),
                lambda m=module, x=given: everything(m, x),
                "the same again",
                seconds=seconds,
            )
            plain = (lambda m=module, x=given: m(x), "plain forward")
            yield compare(f"record, {load.name}", lambda m=module, x=given: recorded(m, x), *plain, seconds=seconds)
            yield compare(
                f"everything, {load.name}", lambda m=module, x=given: everything(m, x), *plain, seconds=seconds
            )
            yield compare(
                f"everything, {load.name}",
                lambda m=module, x=given: everything(m, x),
                lambda m=module, x=x, n=lengths: with_gates(m, x, n),
                "hand-written loop with gates",
                seconds=seconds,
            )
            yield compare(
                f"clamp of a gate, {load.name}",
                lambda m=module, x=given, e=edit: clamped(m, x, e),
                *plain,
                seconds=seconds,
            )
    yield stepping(seconds)
    yield window(seconds)
    yield from memory()
    yield from imports(seconds)


def stepping(seconds: float) -> Row:
    """A cell in a loop, recorded and looked at, against the loop itself."""
    torch.manual_seed(0)
    cell, x = nn.LSTMCell(64, 128), torch.randn(500, 1, 64)

    def loop() -> None:
        state = None
        for now in x:
            state = cell(now, state)

    def looked_at() -> list[Tensor]:
        with rw.record(cell) as recording:
            loop()
        layer = recording["cell"]
        return [layer[site] for site in layer.gates + layer.states]

    with torch.no_grad():
        return compare("everything, LSTMCell 128 in a loop of 500", looked_at, loop, "the plain loop", seconds=seconds)


def window(seconds: float) -> Row:
    """One gate, 64 units × 256 steps, of a long recording and of a short one; each look is a first look."""
    torch.manual_seed(0)
    module = nn.LSTM(64, 128)
    with torch.no_grad():
        long, short = (recorded(module, torch.randn(steps, 1, 64)) for steps in (100_000, 1_000))
    return compare(
        "64 units × 256 steps of a gate, 100,000 steps",
        lambda: long["l0"].window("forget_gate", slice(500, 756), units=slice(0, 64)),
        lambda: short["l0"].window("forget_gate", slice(500, 756), units=slice(0, 64)),
        "of 1,000 steps",
        seconds=seconds,
    )


def memory() -> Iterator[Row]:
    """Bytes that a recording holds before anyone looks, against inputs, outputs and weights; in MB, not ms."""
    for load in WORKLOADS:
        module, x, lengths = load.build()
        given = x if lengths is None else pack_padded_sequence(x, lengths, enforce_sorted=False)
        with torch.no_grad():
            recording = recorded(module, given)
            output, _ = module(given)
        held = sum(_bytes(tensor) for tensor in _held(recording))
        data = [given, output] if lengths is None else [given.data, output.data]
        one_of_each = sum(map(_bytes, [*data, *module.parameters()]))
        between = (load.layers - 1) * _bytes(data[1])
        yield Row(
            f"held by a recording, {load.name}", held / 1e6, one_of_each / 1e6, "input + output + weights", 1, "MB"
        )
        if between:
            what = "the same with what passes between the layers"
            yield Row(f"held by a recording, {load.name}", held / 1e6, (one_of_each + between) / 1e6, what, 1, "MB")


def imports(seconds: float) -> Iterator[Row]:
    """What `import rnnwidget` costs once torch is there, against `import torch`; each in an interpreter of its own.

    What a name needs is loaded when it is asked for: the second row asks for a recording and edits.
    """
    asked = {
        "import rnnwidget, torch being imported": "import rnnwidget",
        "the same with record, edited and intervene": "from rnnwidget import record, edited, intervene",
    }
    for what, statement in asked.items():
        timed = f"import time; s = time.perf_counter(); import torch; t = time.perf_counter(); {statement}; "
        timed += "print(t - s, time.perf_counter() - t)"
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            environment["PYTHONPYCACHEPREFIX"] = folder
            for _ in range(1 + max(3, int(seconds * 3))):
                done = subprocess.run(
                    [sys.executable, "-c", timed], check=True, capture_output=True, text=True, env=environment
                )
                runs.append(tuple(1000 * float(part) for part in done.stdout.split()))
        runs = runs[1:]  # the first one compiles
        torch_alone, ours = (sorted(column)[len(runs) // 2] for column in zip(*runs, strict=True))
        yield Row(what, ours, torch_alone, "import torch", len(runs))


def _held(recording: rw.Recording) -> list[Tensor]:
    """Every tensor that a recording can reach, once for each storage."""
    found: dict[int, Tensor] = {}
    seen: set[int] = set()
    queue: list[object] = [recording]
    while queue:
        value = queue.pop()
        if id(value) in seen or isinstance(value, (type, nn.Module, str, bytes, int, float)):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            found[value.untyped_storage().data_ptr()] = value
        elif isinstance(value, dict):
            queue += value.values()
        elif isinstance(value, (list, tuple, set, frozenset)):
            queue += value
        elif hasattr(value, "__dict__"):
            queue += vars(value).values()
    return list(found.values())


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _assert_the_same(
    module: nn.LSTM | nn.GRU, x: Tensor, given: Tensor | PackedSequence, lengths: Tensor | None
) -> None:
    """Both sides of the comparison compute the same numbers."""
    ours, theirs = everything(module, given), with_gates(module, x, lengths)
    letters = {"input_gate": "i", "forget_gate": "f", "output_gate": "o", "reset_gate": "r", "update_gate": "z"}
    letters |= {"hidden": "h", "cell": "c", "candidate": "g" if isinstance(module, nn.LSTM) else "n"}
    for name, tensor in ours.items():
        layer, site = name.split()
        expected = theirs[f"{layer} {letters[site]}"]
        torch.testing.assert_close(
            tensor, expected.masked_fill(tensor.isnan(), torch.nan), rtol=1e-4, atol=1e-4, equal_nan=True
        )
