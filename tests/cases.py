"""Recurrent modules, the sequences they are called on, and hypothesis strategies for both."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from tests import reference

FEATURES, UNITS, PROJECTED = 3, 4, 2
GATES = {
    "lstm": ("input_gate", "forget_gate", "candidate", "output_gate"),
    "gru": ("reset_gate", "update_gate", "candidate"),
    "tanh": (),
    "relu": (),
}
STATES = {"lstm": ("hidden", "cell"), "gru": ("hidden",), "tanh": ("hidden",), "relu": ("hidden",)}
LETTERS = {
    "lstm": dict(zip("ifgohc", GATES["lstm"] + STATES["lstm"], strict=True)),
    "gru": dict(zip("rznh", GATES["gru"] + STATES["gru"], strict=True)),
    "tanh": {"h": "hidden"},
    "relu": {"h": "hidden"},
}
PREACTIVATIONS = GATES | {"tanh": ("hidden",), "relu": ("hidden",)}
MODES = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}
HALVES = (torch.float16, torch.bfloat16)


WRITERS: dict[str, Callable[[Tensor], object]] = {
    "PyTorch": lambda tensor: tensor.zero_(),
    "NumPy": lambda tensor: tensor.numpy().fill(0),
    ".data": lambda tensor: tensor.data.zero_(),
    "NumPy's sort": lambda tensor: tensor.numpy().sort(axis=0),
}
"""Ways to write into a tensor; only the first moves its version."""


def assert_close(ours: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """|ours − expected| ≤ tolerance · max(1, |expected|), and NaN exactly where NaN is expected."""
    assert ours.shape == expected.shape
    ours, expected = ours.detach().double(), expected.detach().double()
    assert torch.equal(ours.isnan(), expected.isnan())
    same = (ours == expected) | expected.isnan()
    error = ((ours - expected).abs() / expected.abs().clamp(min=1))[~same]
    assert not error.numel() or float(error.max()) <= tolerance, float(error.max())


def assert_same_bits(ours: object, expected: object) -> None:
    """Equal tensor for tensor through tuples, bit for bit; NaN equals NaN."""
    if isinstance(expected, (tuple, list)):
        assert len(ours) == len(expected)
        for one, other in zip(ours, expected, strict=True):
            assert_same_bits(one, other)
    elif isinstance(expected, Tensor):
        assert ours.dtype == expected.dtype
        assert torch.equal(ours.detach().nan_to_num(nan=12345.0), expected.detach().nan_to_num(nan=12345.0))
        assert torch.equal(ours.isnan(), expected.isnan())
    else:
        assert ours == expected


@dataclass(frozen=True)
class Case:
    """One module and one call of it."""

    family: str = "lstm"
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = False
    projected: bool = False
    form: str = "dense"
    given_state: bool = True
    dropout: float = 0.0
    training: bool = False
    steps: int = 4
    batch: int = 2
    dtype: torch.dtype = torch.float64
    autocast: torch.dtype | None = None
    mode: str = "grad"
    device: str = "cpu"
    seed: int = 0
    units: int = UNITS

    @cached_property
    def module(self) -> nn.RNNBase:
        torch.manual_seed(self.seed)
        options = {
            "num_layers": self.layers,
            "bidirectional": self.bidirectional,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dropout": self.dropout if self.layers > 1 else 0.0,
            "dtype": self.dtype,
        }
        if self.family == "lstm":
            built = nn.LSTM(FEATURES, self.units, proj_size=PROJECTED if self.is_projected else 0, **options)
        elif self.family == "gru":
            built = nn.GRU(FEATURES, self.units, **options)
        else:
            built = nn.RNN(FEATURES, self.units, nonlinearity=self.family, **options)
        with torch.no_grad():
            for parameter in built.parameters():
                parameter.mul_(1.5)
        return built.train(self.training).to(self.device)

    @property
    def precision(self) -> torch.dtype:
        """What the numbers are rounded to: autocast leaves float64 as it is."""
        return self.dtype if self.autocast is None or self.dtype == torch.float64 else self.autocast

    @property
    def derived(self) -> torch.dtype:
        """The dtype of everything that is not the model's own."""
        return torch.float32 if self.autocast is not None or self.dtype in HALVES else self.dtype

    @property
    def sequences_count(self) -> int:
        if self.form == "unbatched":
            return 1
        return max(self.batch, 1) if self.form.startswith("packed") else self.batch

    @cached_property
    def sequences(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed + 1)
        lengths = [self.steps] * self.sequences_count
        if self.form.startswith("packed"):
            lengths = torch.randint(1, self.steps + 1, (self.sequences_count,), generator=generator).tolist()
            lengths[-1] = self.steps
            if self.form == "packed sorted":
                lengths.sort(reverse=True)
        drawn = [torch.randn(length, FEATURES, generator=generator, dtype=self.dtype) for length in lengths]
        return [sequence.to(self.device) for sequence in drawn]

    @property
    def is_projected(self) -> bool:
        return self.projected and self.family == "lstm" and self.units > PROJECTED

    @property
    def width(self) -> int:
        return PROJECTED if self.is_projected else self.units

    def width_of(self, site: str) -> int:
        return self.width if site == "hidden" else self.units

    @property
    def directions(self) -> int:
        return 1 + self.bidirectional

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"l{index}{side}" for index in range(self.layers) for side in ("", "_reverse")[: self.directions])

    @cached_property
    def state(self) -> tuple[Tensor, ...]:
        """h_0 (and c_0), each (row, sequence, unit)."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        rows = self.layers * self.directions
        drawn = [
            torch.randn(rows, self.sequences_count, self.width_of(name), generator=generator, dtype=self.dtype)
            for name in STATES[self.family]
        ]
        drawn = [one.to(self.device) for one in drawn]
        return tuple(one if self.given_state else torch.zeros_like(one) for one in drawn)

    @cached_property
    def arguments(self) -> tuple[object, ...]:
        """What the module is called with."""
        if self.form.startswith("packed"):
            x: Tensor | PackedSequence = pack_sequence(self.sequences, enforce_sorted=self.form == "packed sorted")
        elif self.form == "unbatched":
            x = self.sequences[0]
        elif self.batch == 0:
            shape = (0, self.steps) if self.batch_first else (self.steps, 0)
            x = torch.zeros(*shape, FEATURES, dtype=self.dtype, device=self.device)
        else:
            x = torch.stack(self.sequences, dim=0 if self.batch_first else 1)
        if not self.given_state:
            return (x,)
        state = tuple(one[:, 0] for one in self.state) if self.form == "unbatched" else self.state
        return x, (state if self.family == "lstm" else state[0])

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """The case's grad mode and autocast; grad is what the caller has."""
        with contextlib.ExitStack() as stack:
            if self.mode != "grad":
                stack.enter_context(MODES[self.mode]())
            if self.autocast is not None:
                stack.enter_context(torch.autocast(self.device, self.autocast))
            yield

    def call(self, module: nn.Module | None = None) -> tuple[object, tuple[Tensor, ...]]:
        """(output, final states) of the module's own call, always from the same random numbers."""
        called, arguments = module or self.module, self.arguments
        torch.manual_seed(self.seed + 3)
        with self.surroundings():
            output, finals = called(*arguments)
        return output, finals if isinstance(finals, tuple) else (finals,)

    def output_by_position(self, output: object) -> Tensor:
        """The module's output as (time, batch, unit), NaN at padding."""
        if isinstance(output, PackedSequence):
            return pad_packed_sequence(output, padding_value=torch.nan)[0]
        if self.form == "unbatched":
            return output.unsqueeze(1)
        return output.transpose(0, 1) if self.batch_first else output

    @property
    def noises(self) -> list[Tensor]:
        """Dropout's factors between layers as PyTorch's CPU kernel draws them, (time, batch, unit)."""
        if not (self.training and self.dropout and self.layers > 1):
            return []
        wide = self.width * self.directions
        packed = self.arguments[0] if self.form.startswith("packed") else None
        torch.manual_seed(self.seed + 3)
        drawn = []
        for _ in range(self.layers - 1):
            shape = (len(packed.data), wide) if packed else (self.steps, self.sequences_count, wide)
            noise = torch.empty(shape, dtype=self.dtype)
            if self.dropout < 1:
                noise.bernoulli_(1 - self.dropout).div_(1 - self.dropout)
            else:
                noise.zero_()
            drawn.append(pad_packed_sequence(packed._replace(data=noise))[0] if packed else noise)
        return drawn

    def reference(self, changes: tuple[reference.Change, ...] = ()) -> reference.Reference:
        return reference.run(self.module, self.sequences, self.state, changes, self.noises)


EVERY_PRECISION = {
    "dtype": st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    "autocast": st.sampled_from([None, None, torch.bfloat16, torch.float16]),
    "mode": st.sampled_from(sorted(MODES)),
    "batch": st.integers(0, 3),
}


def cases(**fixed: object) -> st.SearchStrategy[Case]:
    """Modules and calls over the whole range of shapes, in float64 and grad mode; ``fixed`` holds some of them."""
    ranges = {
        "family": st.sampled_from(["tanh", "relu", "lstm", "gru"]),
        "layers": st.integers(1, 3),
        "bidirectional": st.booleans(),
        "bias": st.booleans(),
        "batch_first": st.booleans(),
        "projected": st.booleans(),
        "form": st.sampled_from(["dense", "packed", "packed sorted", "unbatched"]),
        "given_state": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.5, 1.0]),
        "training": st.booleans(),
        "steps": st.integers(1, 5),
        "batch": st.integers(1, 3),
        "seed": st.integers(0, 2**16),
        "units": st.sampled_from([UNITS, UNITS, 1, 5]),
    }
    chosen = ranges | {
        name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in fixed.items()
    }
    return st.builds(Case, **chosen)
