"""How many of what, in words."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "step"), counted(12, "step"), counted(2, "class", "classes")
    ('1 step', '12 steps', '2 classes')
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def steps_told(start: int, stop: int) -> str:
    """The steps [start, stop).

    Examples
    --------
    >>> steps_told(5, 6), steps_told(5, 9)
    ('step 5', 'steps 5 to 8')
    """
    return f"step {start}" if stop - start == 1 else f"steps {start} to {stop - 1}"
