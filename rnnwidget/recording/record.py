"""Recording for the length of a block."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from torch import nn

from rnnwidget.recording.clients import Client
from rnnwidget.recording.interception import attached, check_not_entered
from rnnwidget.recording.listening import chosen_modules, listening
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.recording.recording import Recording


class record:  # noqa: N801 - reads as the block that it is
    """Record every recurrent call of ``model`` that this thread makes inside the block.

    Hooks are on the model only inside the block. With ``gradients=True``, run the backward inside the block too and
    ask :meth:`Recording.gradient_flow`. ``also`` names other modules by their paths, ``""`` being the model itself:
    what they give at every step is kept in ``recording.also``, aligned in time with the states. Tasks of ``asyncio``
    share a thread: while the block awaits, their calls are recorded as well.

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
    RuntimeError
        The same ``record(…)`` is entered again before its block has ended.

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

    def __init__(self, model: nn.Module, gradients: bool = False, also: Sequence[str] | None = ()) -> None:
        self._model, self._gradients, self._also = model, gradients, also
        self._attached: attached | None = None

    def __enter__(self) -> Recording:
        check_not_entered(self._attached, "record(model)")
        modules = recurrent_modules(self._model)
        beside = {} if self._also is None or self._also == () else chosen_modules(self._model, self._also)
        self._recording = Recording(gradients=self._gradients, also=tuple(beside))
        block = attached(modules, Client(threading.get_ident(), recorder=self._recording))
        block.__enter__()
        block.at_its_end(self._recording.close)
        if beside:
            undo = ExitStack()
            block.at_its_end(undo.close)
            try:
                undo.enter_context(listening(beside, self._recording.outputs_beside))
            except BaseException:
                block.leave()
                raise
            undo.callback(self._recording.close)
        self._attached = block
        return self._recording

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._attached is not None
        block, self._attached = self._attached, None
        block.leave()
