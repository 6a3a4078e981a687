"""The gradients of a loss at every step of every recurrent layer, by a run of our own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from rnnwidget.recording.gradient_flow import GradientFlow
from rnnwidget.recording.twin import Twin


def gradient_flow(model: nn.Module, x: object, loss: Callable[[object], Tensor]) -> GradientFlow:
    """Run ``model`` on ``x``, and ``loss`` on its output, and find where the gradient goes.

    Works on a copy that shares the parameters' memory: no ``.grad`` appears anywhere, frozen parameters and a caller's
    ``no_grad`` are no hindrance. ``x`` of exact type tuple is ``model(*x)``, of exact type dict ``model(**x)``.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        The model cannot be opened (see :func:`rnnwidget.record`).
    RuntimeError
        The loss does not depend on any recurrent output.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> flow = rw.gradient_flow(model, x, lambda output: output[0][-1].sum())
    >>> flow["l0"].hidden_local[:-1].abs().max().item()
    0.0
    >>> bool(flow["l0"].hidden[0].abs().max() > 0)
    True
    """
    _, recording = Twin(model).run(x, loss=loss)
    return recording.gradient_flow()
