"""The text of each step, as a person hands it over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnnwidget.recording.recording import Recording
from rnnwidget.widgets.counted import counted


def token_lists(tokens: Any) -> list[list[str]] | None:
    """A list of strings for each sequence; one flat list is one sequence. TypeError or ValueError otherwise."""
    if tokens is None:
        return None
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise TypeError(f"tokens must be a list of strings for each sequence, got {type(tokens).__name__}")
    if not tokens:
        raise ValueError("tokens is an empty list: give a list of strings for each sequence, or leave tokens out")
    nested = [tokens] if all(isinstance(token, str) for token in tokens) else tokens
    for index, sequence in enumerate(nested):
        if isinstance(sequence, str) or not isinstance(sequence, Sequence):
            raise TypeError(f"tokens[{index}] must be a list of strings, got {type(sequence).__name__}")
        for token in sequence:
            if not isinstance(token, str):
                found = f"{token!r:.40} of type {type(token).__name__}"
                raise TypeError(f"tokens[{index}] holds {found}; tokens are strings")
    return [list(sequence) for sequence in nested]


def check_tokens(tokens: Sequence[Sequence[str]] | None, recording: Recording) -> None:
    """ValueError unless there is one token for each step that the model read."""
    if tokens is None:
        return
    lengths = recording[recording.layers[0]].lengths.tolist()
    if len(tokens) != len(lengths):
        raise ValueError(
            f"tokens hold {counted(len(tokens), 'sequence')}, the model read {len(lengths)}: "
            "give one list of strings for each sequence"
        )
    for index, (sequence, steps) in enumerate(zip(tokens, lengths, strict=True)):
        if len(sequence) != steps:
            raise ValueError(
                f"tokens[{index}] has {counted(len(sequence), 'token')}, the model read {counted(steps, 'step')} of "
                "that sequence: give one token for each step, padding included where the model reads it"
            )
