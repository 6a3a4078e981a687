"""What is said of an answer before and after: which number is told of, what it is called, and what has overtaken it."""

from __future__ import annotations

import torch

from rnnwidget.widgets.answers import Reading
from rnnwidget.widgets.isolation import isolated

SMALL = 0.05
SIGNS = {"\n": "↵", "\t": "⇥"}


def headline(before: Reading, after: Reading, picked: int) -> str:
    """The line that says what changed, such as ``P(positive)  0.07 → 0.61``."""
    name = told_name(before.names[picked], before.limits)
    old, new = float(before.vector[picked]), float(after.vector[picked])
    few = 3 if before.limits == (0.0, 1.0) and max(old, new) < SMALL else 2
    digits = next((digits for digits in range(few, 5) if f"{old:.{digits}f}" != f"{new:.{digits}f}"), few)
    return f"{name}  {_figure(old, digits)} → {_figure(new, digits)}"


def overtaken(before: Reading, after: Reading, picked: int) -> str:
    """What is the most probable after, where it is not the one told of and was not before; empty where it is."""
    if before.limits != (0.0, 1.0) or len(before.names) < 3:
        return ""
    first, highest = (int(torch.nan_to_num(one.vector, nan=-torch.inf).argmax()) for one in (before, after))
    if highest in (picked, first) or bool(after.vector[highest].isnan()):
        return ""
    return f"now {told_name(after.names[highest], after.limits)} {_figure(float(after.vector[highest]), 2)}"


def picked_label(before: Reading, told: str = "") -> int:
    """The label to tell of: the second of two classes, else the highest before the edits; ``told`` if it was chosen.

    It stays the same while a dial moves, so that the headline, the lane and the tracks speak of one number.
    """
    if told and told in before.names:
        return list(before.names).index(told)
    if len(before.names) == 2 and before.limits == (0.0, 1.0):
        return 1
    return int(torch.nan_to_num(before.vector, nan=-torch.inf).argmax())


def told_name(label: str, limits: tuple[float, float] | None) -> str:
    """What a label's number is called, white space made visible.

    Examples
    --------
    >>> told_name("positive", (0.0, 1.0)), told_name(" ", (0.0, 1.0)), told_name("output 2", None)
    ('P(positive)', 'P(␣)', 'output 2')
    """
    shown = isolated(label) if label.strip() else "".join(SIGNS.get(sign, "␣") for sign in label) or "∅"
    return f"P({shown})" if limits == (0.0, 1.0) else shown


def _figure(value: float, digits: int) -> str:
    size = abs(value)
    text = f"{value:.{digits}f}" if size < 100 else f"{value:.4g}" if size < 9999.5 else f"{value:,.0f}"
    text = text if size < 1e9 else f"{value:.4g}"
    return text.replace("-", "−").replace("inf", "∞").replace("nan", "NaN")
