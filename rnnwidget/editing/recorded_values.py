"""Values of an edit that come from a recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from rnnwidget.recording.recording import Recording


@dataclass(frozen=True, eq=False)
class RecordedValues:
    """What a site had in a recording, step by step, or its mean over live steps and sequences."""

    recording: Recording
    of: Literal["values", "mean"]
    _means: dict[tuple[str, str], Tensor] = field(default_factory=dict, repr=False)
    _values: dict[tuple[str, str, int], tuple[int, Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordedValues) and self.recording is other.recording and self.of == other.of

    def __hash__(self) -> int:
        return hash((id(self.recording), self.of))

    def __repr__(self) -> str:
        return repr(self.recording)

    def mean(self, layer: str, site: str) -> Float[Tensor, " unit"]:
        """The mean of each unit over every live step of every sequence and call."""
        if (layer, site) not in self._means:
            rows = [call[site][call.source.live].double() for call in self.recording.calls(layer)]
            self._means[layer, site] = torch.cat(rows).mean(dim=0)
        return self._means[layer, site]

    def values(
        self, layer: str, site: str, ordinal: int
    ) -> tuple[Shaped[Tensor, "time batch unit"], Bool[Tensor, "time batch 1"]]:
        """The values of the ``ordinal``-th call, or of the last one that there is, and where they are no padding."""
        key, received = (layer, site, ordinal), self.recording.received
        if key not in self._values or self._values[key][0] != received:  # a loop asks at every step
            calls = self.recording.calls(layer)
            call = calls[min(ordinal, len(calls) - 1)]
            self._values[key] = received, call[site], call.source.live.unsqueeze(-1)
        return self._values[key][1:]
