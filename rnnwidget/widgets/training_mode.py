"""What of a model computes otherwise while it is in training mode."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd


def training_noise(parts: Sequence[nn.Module], training: Sequence[bool]) -> str:
    """In words, which of the ``parts`` that are ``training`` drop units or go by the batch; empty where none does.

    Examples
    --------
    >>> from torch import nn
    >>> training_noise([nn.LSTM(2, 3, num_layers=2, dropout=0.5), nn.BatchNorm1d(3)], [True, False])
    'training mode: dropout is active'
    """
    active = [part for part, trains in zip(parts, training, strict=False) if trains]
    dropout = "dropout" if any(map(_drops, active)) else ""
    norm = "batch norm" if any(isinstance(part, _BatchNorm) for part in active) else ""
    told = " and ".join(filter(None, (dropout, norm)))
    return f"training mode: {told} {'are' if dropout and norm else 'is'} active" if told else ""


def _drops(part: nn.Module) -> bool:
    if isinstance(part, nn.RNNBase):
        return part.dropout > 0 and part.num_layers > 1
    return isinstance(part, _DropoutNd) and part.p > 0
