"""Recording for the length of a block."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from torch import nn

from rnnwidget.recording.clients import Client
from rnnwidget.recording.interception import attached
from rnnwidget.recording.module_outputs import chosen_modules, listening
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.recording import Recording


@contextlib.contextmanager
def record(model: nn.Module, gradients: bool = False, also: Sequence[str] | None = ()) -> Iterator[Recording]:
    """Record every recurrent call of ``model`` that this thread makes inside the block.

    Hooks are on the model only inside the block. With ``gradients=True``, run the backward inside the block too and
    ask :meth:`Recording.gradient_flow`. ``also`` names other modules by their paths, ``""`` being the model itself:
    what they give at every step is kept in ``recording.also``, aligned in time with the states.

    Raises
    ------
    TypeError
        ``model`` is not a module, or ``also`` no list of paths.
    KeyError
        There is no module at a path of ``also``.
    ValueError
        It has no recurrent module.
    NotImplementedError
        It has one that cannot be opened: TorchScript and quantised modules hide their steps.

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
    modules = recurrent_modules(model)
    beside = {} if also is None or also == () else chosen_modules(model, also)
    recording = Recording(gradients=gradients, also=tuple(beside))
    client = Client(threading.get_ident(), recorder=recording)
    with attached(modules, client), listening(beside, recording.outputs_beside) if beside else nullcontext():
        try:
            yield recording
        finally:
            recording.close()
