"""Edits as the lines of Python that make them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from IPython import get_ipython
from torch import Tensor

from rnnwidget.editing import Edit
from rnnwidget.editing.recorded_values import RecordedValues
from rnnwidget.recording.recording import Recording

NameOf = Callable[[Recording], str]

WIDTH = 100
_ODD_NUMBER = re.compile(r"\b(nan|inf)\b")


def code_of(edits: Sequence[Edit], name_of: NameOf = lambda _: "recording") -> str:
    """A list that evaluates to equal edits where ``rw`` is rnnwidget and ``torch`` is torch.

    ``name_of`` gives the expression for a recording that an edit takes its values from; whoever runs the code has to
    have a ``recording`` where it gives no other.

    Examples
    --------
    >>> import rnnwidget as rw
    >>> print(code_of([rw.clamp("f", 1.0, layer="lstm.l0", units=[3], steps=slice(2, 9))]))
    [rw.clamp("forget_gate", 1.0, layer="lstm.l0", units=[3], steps=slice(2, 9))]
    """
    calls = [_call(edit, name_of) for edit in edits]
    line = f"[{', '.join(calls)}]"
    if len(line) <= WIDTH or not calls:
        return line
    return "[\n" + "".join(f"    {call},\n" for call in calls) + "]"


def assignment(edits: Sequence[Edit], name_of: NameOf = lambda _: "recording", before: Sequence[str] = ()) -> str:
    """The statement that puts ``edits`` in force in an inspector, after those ``before`` it."""
    text = "\n".join((*before, f"inspector.edits = {code_of(edits, name_of)}"))
    return f"import torch\n\n{text}" if "torch." in text else text


def called(inspector: object) -> str:
    """What a notebook calls an inspector; ``inspector`` where nobody knows.

    Examples
    --------
    >>> called(object())
    'inspector'
    """
    shell = get_ipython()
    names = [] if shell is None else [name for name, value in list(shell.user_ns.items()) if value is inspector]
    return next((name for name in names if not name.startswith("_")), "inspector")


def renamed(code: str, name: str) -> str:
    """Lines of code with another name for the inspector that they are about.

    Examples
    --------
    >>> renamed("inspector.retype(['inspector.x'])", "mine")
    "mine.retype(['inspector.x'])"
    """
    return re.sub(r"^(# )?inspector\.", lambda found: f"{found[1] or ''}{name}.", code, flags=re.MULTILINE)


def _call(edit: Edit, name_of: NameOf) -> str:
    units = "None" if edit.units is None else str(list(edit.units))
    if edit.operation == "lesion":
        to_mean = isinstance(edit.value, RecordedValues)
        arguments = [units, *(['to="mean"', f"recording={_value(edit, name_of)}"] if to_mean else [])]
    else:
        arguments = [_quoted(edit.site), _value(edit, name_of)]
    if edit.layer is not None:
        arguments.append(f"layer={_quoted(edit.layer)}")
    if edit.units is not None and edit.operation != "lesion":
        arguments.append(f"units={units}")
    if edit.steps is not None:
        arguments.append(f"steps={_slice(edit.steps) if isinstance(edit.steps, slice) else list(edit.steps)}")
    if edit.batch is not None:
        arguments.append(f"batch={list(edit.batch)}")
    return f"rw.{edit.operation}({', '.join(arguments)})"


def _value(edit: Edit, name_of: NameOf) -> str:
    value = edit.value
    if isinstance(value, RecordedValues):
        return name_of(value.recording)
    return _tensor(value) if isinstance(value, Tensor) else _numbers(float(value))


def _tensor(value: Tensor) -> str:
    settings = f"dtype={value.dtype}" + ("" if value.device.type == "cpu" else f', device="{value.device}"')
    if value.numel() > 1 and bool((value == value.reshape(-1)[0]).all()):
        return f"torch.full({tuple(value.shape)}, {_numbers(value.reshape(-1)[0].item())}, {settings})"
    if value.numel() == 0:
        return f"torch.zeros({tuple(value.shape)}, {settings})"
    return f"torch.tensor({_numbers(value.detach().to('cpu', _exact(value)).tolist())}, {settings})"


def _exact(value: Tensor) -> torch.dtype:
    """A type that Python's own numbers hold to the last bit."""
    return torch.float64 if value.is_floating_point() else value.dtype


def _numbers(numbers: object) -> str:
    return _ODD_NUMBER.sub(r"torch.\1", repr(numbers))


def _slice(steps: slice) -> str:
    bounds = (steps.start, steps.stop) if steps.step is None else (steps.start, steps.stop, steps.step)
    return f"slice({', '.join(map(str, bounds))})"


def _quoted(name: str) -> str:
    text = repr(name)
    return f'"{text[1:-1]}"' if text[0] == "'" and '"' not in text else text
