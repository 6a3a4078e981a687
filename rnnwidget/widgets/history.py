"""Undo and redo: a line of states and the place on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

State = TypeVar("State")

LONGEST = 200


class History(Generic[State]):
    """The states that a thing has been in.

    Moves of one ``gesture``, such as a drag, are one step: each replaces the one before it. A gesture that ends where
    it began leaves no step behind.
    """

    def __init__(self, first: State) -> None:
        self._states = [first]
        self._gesture: object = None
        self.position = 0

    def __len__(self) -> int:
        return len(self._states)

    def record(self, state: State, gesture: object = None) -> None:
        """Go on to ``state``; what had been undone is forgotten."""
        if state == self._states[self.position]:
            return
        del self._states[self.position + 1 :]
        if gesture is not None and gesture == self._gesture:
            self._states.pop()
            if state == self._states[-1]:
                gesture = None
        if gesture is not None or state != self._states[-1]:
            self._states.append(state)
        del self._states[: max(0, len(self._states) - LONGEST)]
        self._gesture, self.position = gesture, len(self._states) - 1

    def rewrite(self, change: Callable[[State], State]) -> None:
        """Change every state on the line, where what they speak of is no longer there."""
        self._states = [change(state) for state in self._states]

    def go(self, position: int) -> State:
        """Move to a place on the line, or to its nearer end, and give the state there."""
        self.position = min(max(position, 0), len(self._states) - 1)
        self._gesture = None
        return self._states[self.position]
