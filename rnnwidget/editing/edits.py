"""The six kinds of edits."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from rnnwidget.cells import gru, lstm
from rnnwidget.cells.activations import RANGES
from rnnwidget.editing.edit import Edit, Value, made
from rnnwidget.editing.recorded_values import RecordedValues
from rnnwidget.editing.scopes import Indices
from rnnwidget.recording.recording import Recording

_BOUNDS = {site: RANGES[activation] for family in (lstm, gru) for site, activation in family.activations.items()}


def clamp(
    site: str,
    value: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` becomes ``value``.

    ``site`` is a gate, candidate or state by name or letter; ``value`` a number or a tensor that broadcasts to the
    scope ``(steps, batch, units)``. ``layer=None`` means every layer that has the site, None elsewhere means all.
    ``steps`` is a step, a list of steps or a slice, by input position; a step past a sequence's end does nothing.

    Raises
    ------
    ValueError
        The value is outside the gate's range: [0, 1] for sigmoid gates, [−1, 1] for the candidate.
    KeyError, IndexError, TypeError
        The site is unknown; an index is negative; an index is no integer.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> with rw.record(model) as recording, rw.edited(model, rw.clamp("forget_gate", 1.0, units=[2])):
    ...     output, _ = model(x)
    >>> recording["l0"]["f"][:, 0, 2].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    edit = made("clamp", site, value, layer, units, steps, batch)
    low, high = _BOUNDS.get(edit.site, (-math.inf, math.inf))
    values = edit.value if isinstance(edit.value, Tensor) else torch.tensor(edit.value, device="cpu")
    if edit.site in _BOUNDS and not bool(((values >= low) & (values <= high)).all()):
        found = (
            f"values from {float(values.min()):g} to {float(values.max()):g}" if values.numel() > 1 else f"{value!r}"
        )
        raise ValueError(
            f"clamp({edit.site!r}): got {found}; a {edit.site.replace('_', ' ')} lies in [{low:g}, {high:g}]"
        )
    return edit


def shift(
    site: str,
    delta: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The pre-activation of ``site`` is added to: gates, the candidate, and ``"hidden"`` of the rnn family.

    For the rnn family this is an injected current. Scope and errors as for :func:`clamp`.

    ``steps`` is a step, a list of steps or a slice, and a step past a sequence's end does nothing.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    >>> with rw.record(model) as plain:
    ...     _ = model(x)
    >>> with rw.record(model) as shifted, rw.edited(model, rw.shift("update_gate", 2.0)):
    ...     _ = model(x)
    >>> moved = shifted["l0"].preactivation("z")[0] - plain["l0"].preactivation("z")[0]
    >>> torch.allclose(moved, torch.full_like(moved, 2.0), atol=1e-6)
    True
    """
    return made("shift", site, delta, layer, units, steps, batch)


def scale(
    site: str,
    factor: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` is multiplied. Scope and errors as for :func:`clamp`.

    ``steps`` is a step, a list of steps or a slice, and a step past a sequence's end does nothing.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3)
    >>> with rw.edited(model, rw.scale("output_gate", 0.0, units=[1])):
    ...     output, _ = model(x)
    >>> output[:, 0, 1].abs().max().item()
    0.0
    """
    return made("scale", site, factor, layer, units, steps, batch)


def nudge(
    site: str,
    delta: Value,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` is added to, after the nonlinearity. Scope and errors as for :func:`clamp`.

    ``steps`` is a step, a list of steps or a slice, and a step past a sequence's end does nothing.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    >>> result = rw.intervene(model, x, rw.nudge("hidden", 0.5, units=[2], steps=[0]))
    >>> round(result.change["l0"][0, 0, 2].item(), 6)
    0.5
    """
    return made("nudge", site, delta, layer, units, steps, batch)


def lesion(
    units: Indices,
    *,
    layer: str | None = None,
    to: Literal["zero", "mean"] = "zero",
    recording: Recording | None = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The hidden state of ``units`` is held at zero, or at its mean over a recording.

    What a unit of an LSTM keeps in its cell then reaches nothing. The mean takes away what a unit says and leaves what
    the rest of the network is used to hear from it, so look at both (Morcos et al. 2018, arXiv:1803.06959).
    ``units=None`` means all. Scope and errors as for :func:`clamp`.

    Raises
    ------
    ValueError
        ``to`` is neither "zero" nor "mean".
    TypeError
        A lesion to the mean without a recording to take it from.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x = torch.nn.GRU(3, 4), torch.randn(5, 1, 3)
    >>> with rw.record(model) as healthy:
    ...     _ = model(x)
    >>> result = rw.intervene(model, x, rw.lesion([2], to="mean", recording=healthy))
    >>> torch.allclose(result.recording["l0"].hidden[..., 2], healthy["l0"].hidden[..., 2].mean(), atol=1e-6)
    True
    """
    if to not in ("zero", "mean"):
        raise ValueError(f"lesion(to={to!r}): a lesion is to 'zero' or to 'mean'")
    if to == "zero":
        return made("lesion", "hidden", 0.0, layer, units, steps, batch)
    if not isinstance(recording, Recording):
        raise TypeError(
            "lesion(to='mean') takes the mean from recording=, a Recording such as rnnwidget.record gives; "
            f"got {type(recording).__name__}"
        )
    return made("lesion", "hidden", RecordedValues(recording, "mean"), layer, units, steps, batch)


def patch(
    site: str,
    recording: Recording,
    *,
    layer: str | None = None,
    units: Indices = None,
    steps: Indices = None,
    batch: Indices = None,
) -> Edit:
    """The value of ``site`` becomes what it was in another recording, at the same step, sequence and unit.

    A recording of one sequence is patched into every sequence. Steps past the end of the recording do nothing. Where a
    layer is called several times, each call takes from the recorded call of the same place, the last one if there are
    fewer. Scope and errors as for :func:`clamp`.

    Raises
    ------
    TypeError
        ``recording`` is no Recording.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> model, x, other = torch.nn.LSTM(3, 4), torch.randn(5, 1, 3), torch.randn(5, 1, 3)
    >>> with rw.record(model) as donor:
    ...     _ = model(other)
    >>> result = rw.intervene(model, x, rw.patch("cell", donor, steps=[2]))
    >>> torch.equal(result.recording["l0"].cell[2], donor["l0"].cell[2])
    True
    """
    if not isinstance(recording, Recording):
        raise TypeError(
            f"patch takes its values from a Recording such as rnnwidget.record gives; got {type(recording).__name__}"
        )
    return made("patch", site, RecordedValues(recording, "values"), layer, units, steps, batch)
