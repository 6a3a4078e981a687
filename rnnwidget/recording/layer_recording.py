"""One recurrent layer at every timestep, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from jaxtyping import Float, Int
from torch import Tensor

from rnnwidget.cells.edits import LayerEdits
from rnnwidget.recording.coarse_levels import CoarseLevel, coarse_level
from rnnwidget.recording.layer_source import LayerSource


class NoCellError(AttributeError, KeyError):
    """A layer's family has no cell state: ``hasattr`` is told so, and whoever asks for a site by name."""

    __str__ = Exception.__str__


class LayerRecording:
    """One layer and direction in one call, or in calls that each went on from the state of the one before.

    Index t is input position t in both directions: at t the reverse layer has read from the end down to t. Steps past
    a sequence's end are NaN. Tensors are detached, on the model's device; those derived from a half-precision model
    are float32.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model = torch.nn.LSTM(3, 4)
    >>> with rw.record(model) as recording:
    ...     output, _ = model(torch.randn(5, 2, 3))
    >>> layer = recording["l0"]
    >>> layer["forget_gate"].shape == layer["f"].shape == (5, 2, 4)
    True
    >>> layer.replay_error < 1e-5
    True
    """

    def __init__(self, source: LayerSource, coarse: Mapping[str, CoarseLevel] | None = None) -> None:
        self.source = source
        self._coarse = dict(coarse or {})
        self._sites: dict[str, Tensor] = {}
        self._preactivations: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """The layer's name: its module's dotted path and PyTorch's own parameter suffix."""
        return self.source.name

    @property
    def family(self) -> str:
        """``"lstm"``, ``"gru"``, ``"rnn"`` or a registered name."""
        return self.source.family.name

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of the gates and the candidate."""
        return self.source.family.gates

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states."""
        return self.source.family.states

    @property
    def edits(self) -> LayerEdits:
        """The edits that were in force, laid out by input position; those of stitched calls are not kept together."""
        return self.source.edits.cloned()

    def __getitem__(self, site: str) -> Float[Tensor, "time batch unit"]:
        """A gate or state by name or letter: i f g o, r z n, h c.

        Raises
        ------
        KeyError
            The family has no such site; the message lists those it has.
        """
        full = self.source.family.site(site)
        if full not in self._sites:
            self._sites[full] = self.source.site(full)
        return self._sites[full]

    @property
    def hidden(self) -> Float[Tensor, "time batch unit"]:
        """h_t as the model gave it, in its dtype."""
        return self["hidden"]

    @property
    def cell(self) -> Float[Tensor, "time batch unit"]:
        """c_t; an AttributeError that is a KeyError too for a family without a cell state."""
        if "cell" not in self.states:
            known = ", ".join(self.states)
            raise NoCellError(f"layer {self.name!r} of family {self.family!r} has no cell state; its states: {known}")
        return self["cell"]

    def preactivation(self, site: str) -> Float[Tensor, "time batch unit"]:
        """The affine value before the nonlinearity of ``site``, shifts included; for the rnn family of ``"hidden"``.

        Raises
        ------
        KeyError
            The site has no pre-activation of its own.
        """
        full = self.source.family.site_with_preactivation(site)
        if full not in self._preactivations:
            self._preactivations[full] = self.source.preactivation(full)
        return self._preactivations[full]

    def window(
        self,
        site: str,
        steps: slice = slice(None),
        *,
        units: Sequence[int] | slice | None = None,
        batch: Sequence[int] | slice | None = None,
    ) -> Float[Tensor, "time batch unit"]:
        """Some steps of a gate or state: in a long recording a window costs what it shows, not what there is.

        States that build up over time, such as the cell state, are computed whole the first time and kept.

        Raises
        ------
        TypeError, ValueError
            ``steps`` is no slice, or one that leaves steps out.

        Examples
        --------
        >>> import torch, rnnwidget as rw
        >>> model = torch.nn.GRU(3, 8)
        >>> with rw.record(model) as recording:
        ...     _ = model(torch.randn(5000, 1, 3))
        >>> recording["l0"].window("update_gate", slice(4000, 4100), units=[1, 2]).shape
        torch.Size([100, 1, 2])
        """
        full = self.source.family.site(site)
        if not isinstance(steps, slice):
            one = f"; slice({steps}, {steps + 1}) is that one step" if isinstance(steps, int) and steps >= 0 else ""
            raise TypeError(f"a window is a slice of steps, such as slice(10, 20); got {steps!r:.80}{one}")
        start, stop, stride = steps.indices(self.source.steps)
        if stride != 1:
            raise ValueError(f"a window is a run of neighbouring steps, got {steps}")
        part = self._sites[full][start:stop] if full in self._sites else self.source.site(full, (start, stop))
        if batch is not None:
            part = part[:, batch]
        return part if units is None else part[..., units]

    def coarse(self, site: str) -> CoarseLevel:
        """A gate or state at the resolution of a screen: mean, least and greatest of neighbouring steps.

        A run of more than 2048 steps comes in at most as many columns of ``steps`` steps each, a shorter one step by
        step. A file holds this beside the data, so that a long recording is looked over without being read.

        Examples
        --------
        >>> import torch, rnnwidget as rw
        >>> model = torch.nn.GRU(3, 8)
        >>> with rw.record(model) as recording:
        ...     _ = model(torch.randn(5000, 1, 3))
        >>> level = recording["l0"].coarse("update_gate")
        >>> level.steps, level.mean.shape, bool((level.low <= level.mean).all())
        (3, torch.Size([1667, 1, 8]), True)
        """
        full = self.source.family.site(site)
        if full not in self._coarse:
            self._coarse[full] = coarse_level(self[full])
        return self._coarse[full]

    @cached_property
    def inputs(self) -> Float[Tensor, "time batch feature"]:
        """What the layer read at each step, after dropout between layers."""
        return self.source.inputs

    @cached_property
    def lengths(self) -> Int[Tensor, " batch"]:
        """The number of steps of each sequence."""
        return self.source.lengths

    @property
    def batch_first(self) -> bool | None:
        """Whether the call passed (batch, time, feature); None for a ``PackedSequence``."""
        return self.source.batch_first

    @property
    def truncations(self) -> tuple[int, ...]:
        """The steps before which the state came back without its graph: truncated backpropagation through time."""
        return self.source.truncations

    @cached_property
    def initial(self) -> dict[str, Float[Tensor, "batch unit"]]:
        """The state before the layer's first step, by state name."""
        return dict(zip(self.states, self.source.initial, strict=True))

    @cached_property
    def replay_error(self) -> float:
        """One-step residual: max |h rebuilt from the gates − h the model gave| / max(1, |h|).

        Each step starts from the hidden state that the model gave, so errors do not add up. NaN where a live state is
        not finite, 0.0 for an empty batch.
        """
        return self.source.residual

    def __repr__(self) -> str:
        steps, batch, units = self["hidden"].shape
        return f"LayerRecording({self.name!r}, {self.family}, time={steps}, batch={batch}, units={units})"
