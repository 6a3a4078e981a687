"""Recording for the length of a block."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from torch import nn

from rnnwidget.recording.interception import Client, attached
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.recording import Recording


@contextlib.contextmanager
def record(model: nn.Module, gradients: bool = False, also: Sequence[str] = ()) -> Iterator[Recording]:
    """Record every recurrent call of ``model`` that this thread makes inside the block.

    Hooks are on the model only inside the block. With ``gradients=True``, run the backward inside the block too and
    ask :meth:`Recording.gradient_flow`.

    Raises
    ------
    TypeError
        ``model`` is not a module.
    ValueError
        It has no recurrent module.
    NotImplementedError
        It has one that cannot be opened yet, or ``also`` is given.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model = torch.nn.GRU(3, 4, num_layers=2, bidirectional=True)
    >>> with rw.record(model) as recording:
    ...     output, _ = model(torch.randn(5, 2, 3))
    >>> recording.layers
    ('l0', 'l0_reverse', 'l1', 'l1_reverse')
    >>> recording["l1_reverse"]["update_gate"].shape
    torch.Size([5, 2, 4])
    """
    if also:
        raise NotImplementedError("record(also=…), the outputs of other modules beside the states, is not covered yet")
    recording = Recording(gradients=gradients)
    with attached(recurrent_modules(model), Client(threading.get_ident(), recorder=recording)):
        try:
            yield recording
        finally:
            recording.close()
