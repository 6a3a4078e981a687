"""The content of a memory as a ledger: how much of it was written at which step."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rnnwidget.recording.arithmetic import our_arithmetic
from rnnwidget.recording.layer_recording import LayerRecording
from rnnwidget.recording.layer_source import Part
from rnnwidget.recording.recording import Recording


@dataclass(frozen=True, eq=False, repr=False)
class Ledger:
    """What a state consists of at one step of each sequence; the terms add up to it.

    ``steps`` is that step, by input position. ``written`` is what each step wrote, as much as is left of it there: 0 at
    steps that are read later, NaN at padding. ``edited`` is likewise what an edit of the state itself put in at its
    step, beside what the gates wrote, and 0 without such edits. ``initial`` is what is left of the state before the
    first step. ``total`` is their sum, and ``reached`` the recorded state.
    """

    state: str
    steps: Int[Tensor, " batch"]
    written: Float[Tensor, "time batch unit"]
    edited: Float[Tensor, "time batch unit"]
    initial: Float[Tensor, "batch unit"]
    total: Float[Tensor, "batch unit"]
    reached: Float[Tensor, "batch unit"]

    def __repr__(self) -> str:
        steps, batch, units = self.written.shape
        return f"Ledger({self.state!r}, steps={steps}, sequences={batch}, units={units}; error {self.error:.0e})"

    @property
    def error(self) -> float:
        """max |total − reached| / max(1, |reached|); NaN where a state is not finite, 0.0 for an empty batch."""
        error = (self.total - self.reached).abs() / self.reached.abs().clamp(min=1)
        return float(error.max()) if error.numel() else 0.0


@dataclass(frozen=True)
class _Memory:
    """A state that is multiplied by ``kept`` and added to at every step."""

    state: str
    kept: Callable[[LayerRecording], Tensor]
    wrote: Callable[[LayerRecording], Tensor]


_CELL = _Memory("cell", lambda layer: layer["forget_gate"], lambda layer: layer["input_gate"] * layer["candidate"])
_MEMORIES = {
    "lstm": _CELL,
    "peephole_lstm": _CELL,
    "gru": _Memory(
        "hidden", lambda layer: layer["update_gate"], lambda layer: (1 - layer["update_gate"]) * layer["candidate"]
    ),
    "min_gru": _Memory(
        "hidden",
        lambda layer: 1 - layer["update_gate"],
        lambda layer: layer["update_gate"] * layer["candidate_state"],
    ),
}
_REVERSE = re.compile(r"(?:^|\.)l\d+_reverse$")


def cell_ledger(layer: LayerRecording, step: int | None = None) -> Ledger:
    """How much of a memory's content at ``step`` was written at each step, exactly, for every unit.

    For an LSTM c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t unrolls to c_T = Σ_s (Π_{u>s} f_u) ⊙ i_s ⊙ g_s + (Π f_u) ⊙ c_0, and a
    GRU's hidden state to h_T = Σ_s (Π_{u>s} z_u) ⊙ (1 − z_s) ⊙ n_s + (Π z_u) ⊙ h_0. That says when the content was
    written, not why: the gates of later steps have themselves been moved by what stood in the memory.

    ``step`` is an input position, by default the last that the layer reads of each sequence, which for a reverse layer
    is the first position; sequences that end before it are NaN.

    Raises
    ------
    TypeError
        ``layer`` is no layer of a recording.
    ValueError
        The layer's family has no such memory, or it has read no steps.
    IndexError
        There is no such step.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model = torch.nn.LSTM(3, 4)
    >>> with rw.record(model) as recording:
    ...     _ = model(torch.randn(6, 2, 3))
    >>> ledger = rw.cell_ledger(recording["l0"])
    >>> ledger.written.shape, torch.allclose(ledger.total, recording["l0"].cell[-1], atol=1e-6)
    (torch.Size([6, 2, 4]), True)
    """
    if not isinstance(layer, LayerRecording):
        raise TypeError(f"cell_ledger reads one layer, such as recording['lstm.l0']; got {_what_it_is(layer)}")
    memory = _MEMORIES.get(layer.family)
    if memory is None:
        raise ValueError(
            f"layer {layer.name!r} is of family {layer.family!r}, whose state is not kept by a gate and added to; "
            f"a ledger is there for {', '.join(_MEMORIES)}"
        )
    live = layer.source.live
    if step is not None and not 0 <= step < live.size(0):
        raise IndexError(f"step {step} is outside the run of layer {layer.name!r}: it has {live.size(0)} steps")
    if live.size(0) == 0:
        raise ValueError(f"layer {layer.name!r} has read no steps")
    with our_arithmetic(live.device.type):
        rank = _reading_rank(layer.source.parts, reverse=_REVERSE.search(layer.name) is not None)
        return _accounted(layer, memory, _Reading(rank, live, rank.masked_fill(~live, -1)), step)


def _what_it_is(given: object) -> str:
    if isinstance(given, Recording):
        return f"a whole recording, which has {', '.join(map(repr, given.layers)) or 'no layers'}"
    return f"{type(given).__name__}: {given!r:.80}"


@dataclass(frozen=True)
class _Reading:
    """``rank`` says when each input position is read; it is its own inverse. ``live_rank`` is −1 at padding."""

    rank: Int[Tensor, "time batch"]
    live: Bool[Tensor, "time batch"]
    live_rank: Int[Tensor, "time batch"]

    def in_order(self, tensor: Tensor) -> Tensor:
        """From input positions to the order of reading, and back."""
        return tensor.gather(0, self.rank.unsqueeze(-1).expand_as(tensor))


def _reading_rank(parts: tuple[Part, ...], *, reverse: bool) -> Tensor:
    ranks = []
    for part in parts:
        place = torch.arange(part.live.size(0), device=part.live.device).unsqueeze(1).expand_as(part.live)
        mirrored = torch.where(part.live, part.live.sum(0) - 1 - place, place)
        ranks.append(part.start + (mirrored if reverse else place))
    return torch.cat(ranks)


def _accounted(layer: LayerRecording, memory: _Memory, reading: _Reading, step: int | None) -> Ledger:
    live, state, initial = reading.live, layer[memory.state], layer.initial[memory.state]
    kept, wrote = memory.kept(layer), memory.wrote(layer)
    ends = reading.live_rank.amax(0) if step is None else reading.live_rank[step]
    counts = (live & (reading.rank <= ends)).unsqueeze(-1)
    # In float64, so that the sum of many terms is as exact as the recorded state.
    factors = reading.in_order(torch.where(counts, kept.double(), 1.0))
    whole = torch.cat([factors, torch.ones_like(factors[:1])]).flip(0).cumprod(0).flip(0)
    after = reading.in_order(whole[1:])

    def left(amount: Tensor) -> Tensor:
        return torch.where(counts, after * amount, 0.0)

    written = left(wrote.double())
    edited = left(_put_in(layer, memory, reading, kept, wrote))
    first = whole[0] * initial.double()
    total = first + (written + edited).sum(0)

    places = reading.live_rank.argmax(0) if step is None else torch.full_like(ends, step)
    reached = state.gather(0, places.view(1, -1, 1).expand(1, *state.shape[1:]))[0]
    never = (ends < 0).unsqueeze(-1)
    padding = ~live.unsqueeze(-1) | never

    def shown(tensor: Tensor, hidden: Tensor) -> Tensor:
        return tensor.masked_fill(hidden, torch.nan).to(kept.dtype)

    return Ledger(
        memory.state,
        places,
        shown(written, padding),
        shown(edited, padding),
        shown(first, never),
        shown(total, never),
        shown(reached, never),
    )


def _put_in(layer: LayerRecording, memory: _Memory, reading: _Reading, kept: Tensor, wrote: Tensor) -> Tensor:
    """What edits of the state itself added at their steps: the state, less what its gates make of the one before."""
    mask = torch.cat([_edited(part, memory.state, kept.size(-1)) for part in layer.source.parts])
    if not bool(mask.any()):
        return torch.zeros((), dtype=torch.float64, device=kept.device)
    state = reading.in_order(layer[memory.state].double())
    live = reading.in_order(reading.live.unsqueeze(-1)).squeeze(-1)
    counted = torch.arange(1, live.size(0) + 1, device=live.device).unsqueeze(1)
    last_live = torch.where(live, counted, 0).cummax(0).values
    before = torch.cat([torch.zeros_like(last_live[:1]), last_live[:-1]])
    states = torch.cat([layer.initial[memory.state].double().unsqueeze(0), state])
    previous = reading.in_order(states.gather(0, before.unsqueeze(-1).expand_as(state)))
    amount = layer[memory.state].double() - (kept.double() * previous + wrote.double())
    return torch.where(mask, amount, 0.0)


def _edited(part: Part, state: str, units: int) -> Bool[Tensor, "time batch unit"]:
    mask = torch.zeros(*part.live.shape, units, dtype=torch.bool, device=part.live.device)
    for edit in part.edits.edits:
        if edit.site == state:
            mask |= torch.ones_like(mask) if edit.mask is None else edit.mask
    return mask
