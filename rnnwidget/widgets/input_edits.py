"""What a person changes about the input: words retyped, inserted or removed, a pulse of a stimulus moved or scaled."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rnnwidget.recording.recording import Recording
from rnnwidget.recording.twin import Arguments
from rnnwidget.widgets.counted import counted
from rnnwidget.widgets.isolation import isolated
from rnnwidget.widgets.pulses import Pulse
from rnnwidget.widgets.tokens import check_tokens, token_lists

Encode = Callable[[Any], object]
Words = tuple[tuple[str, ...], ...]

NO_ENCODE = "give the inspector encode=, a function from the words to the model's input, and they can be retyped here"
NO_WORDS = (
    "there are no words to retype: give the inspector tokens=, the words of its inputs=, and encode=, a function from "
    "such words to the model's input"
)
WORDS_GONE = (
    "the input in force was set from Python and has no words; inspector.tokens = … sets those of every sequence, and "
    "inspector.reset_inputs() goes back to the first input"
)
TOLD, SOME = 2, 4


@dataclass(frozen=True, eq=False)
class Written:
    """An input, its words where there are any, and what of it was changed, a line each.

    ``words`` has one for every step that the model read, ``""`` where it read padding; ``given`` are the words that
    the input was made of. ``code`` are the statements that make it of the first input. ``pulses`` are those of its
    stimuli that were moved or scaled, beginning with the input ``root``.
    """

    inputs: object
    words: Words | None
    told: tuple[str, ...] = ()
    given: Words | None = None
    code: tuple[str, ...] = ()
    pulses: tuple[Pulse, ...] = ()
    root: Written | None = None

    def with_pulses(self, pulses: Sequence[Pulse]) -> Written:
        """These pulses moved and scaled, one after the other, instead of those that are."""
        root = self.root or self
        if not pulses:
            return root
        inputs = root.inputs
        for pulse in pulses:
            inputs = pulse.put(inputs)
        told, code = (*root.told, *(one.told for one in pulses)), (*root.code, *(one.code for one in pulses))
        return Written(inputs, root.words, told, root.given, code, tuple(pulses), root)


class InputEdits:
    """The input that a picture began with, and the one now in force."""

    def __init__(self, tokens: object, encode: Encode | None) -> None:
        lists = token_lists(tokens)
        self._flat = lists is not None and isinstance(tokens, Sequence) and isinstance(tokens[0], str)
        self._given = None if lists is None else tuple(map(tuple, lists))
        self.encode = encode
        self.original = self.current = Written(None, self._given, given=self._given)
        self._gesture: object = None
        self._held = self.original

    @property
    def changed(self) -> bool:
        """Whether the input in force is another than the first."""
        return self.current is not self.original

    @property
    def why_not_words(self) -> str:
        """Why words cannot be retyped; empty where they can."""
        return "" if self.encode is not None else NO_ENCODE

    def begin(self, inputs: object) -> None:
        """A new picture starts from these inputs."""
        self.original = self.current = self._held = Written(inputs, self._given, given=self._given)
        self._gesture = None

    def retyped(self, tokens: object) -> Written:
        """The input for other words.

        Raises
        ------
        TypeError, ValueError
            There are no words or no ``encode``, it failed, or the words are no lists of strings.
        """
        if self._given is None:
            raise ValueError(NO_WORDS)
        if self.encode is None:
            raise ValueError(NO_ENCODE)
        lists = token_lists(tokens) or []
        if len(lists) != len(self._given):
            raise ValueError(f"tokens hold {len(lists)} sequences, the picture has {len(self._given)}")
        try:
            inputs = self.encode(lists[0] if self._flat else [list(words) for words in lists])
        except Exception as error:
            raise ValueError(f"encode failed on the words: {type(error).__name__}: {error}") from error
        words = tuple(map(tuple, lists))
        told, code = told_of_words(self.original.words or (), words), code_of_words(self.original.given or (), words)
        return Written(inputs, words, told, words, code)

    def with_words(self, sequence: int, words: Sequence[str], *, padded: bool = True) -> Written:
        """The input for other words in one sequence; ``padded`` as the view has them, which ``encode`` is not given."""
        given, shown = self.current.given, self.current.words or ()
        if given is None:
            raise ValueError(NO_WORDS if self._given is None else WORDS_GONE)
        if not 0 <= sequence < len(given):
            raise IndexError(f"there is no sequence {sequence}: the tokens hold {len(given)}, numbered from 0")
        lists = [list(own) for own in given]
        padding = len(shown[sequence]) - len(given[sequence]) if padded else 0
        lists[sequence] = without_padding(words, padding)
        return self.retyped(lists[0] if self._flat else lists)

    def with_inputs(self, inputs: object, told: tuple[str, ...] = ("input set from Python",)) -> Written:
        """Another input with the words as they are."""
        code = ("# inspector.inputs was set to a tensor that is not written here",)
        return Written(inputs, self.current.words, told, self.current.given, code)

    def held(self, gesture: object) -> Written:
        """The input in force when a gesture began: what a drag moves, it moves from there."""
        if gesture is None or gesture != self._gesture:
            self._gesture, self._held = gesture, self.current
        return self._held


def without_padding(words: Sequence[str], most: int) -> list[str]:
    """The words without the last ``most`` of those that are empty.

    Examples
    --------
    >>> without_padding(["not", "", "bad", "", ""], 2)
    ['not', '', 'bad']
    """
    kept = list(words)
    for place in [place for place, word in enumerate(words) if word == ""][::-1][:most]:
        del kept[place]
    return kept


def fitted(written: Written, recording: Recording) -> Written:
    """With a word for every step that the model read: padding has none; ValueError where words are left over.

    Words that an input set from Python does not fit are dropped.
    """
    if written.words is None:
        return written
    lengths = recording[recording.layers[0]].lengths.tolist()
    own = written.given or written.words
    padded = tuple((*words, *[""] * (steps - len(words))) for words, steps in zip(own, lengths, strict=False))
    try:
        check_tokens(padded, recording)
    except ValueError:
        if written.told and written.told[0].startswith("input set"):
            return replace(written, words=None, given=None)
        raise
    return replace(written, words=padded)


def same_steps(before: Written, after: Written, old: Recording, new: Recording) -> tuple[Tensor, ...] | None:
    """For each sequence the step before of every step after, −1 if there is none; None where all steps are the same."""
    lengths = [run[run.layers[0]].lengths.tolist() for run in (old, new)]
    matched = []
    for sequence, (earlier, later) in enumerate(zip(*lengths, strict=True)):
        if earlier == later or before.words is None or after.words is None:
            steps = torch.arange(later, device="cpu")
            matched.append(steps.masked_fill(steps >= earlier, -1))
        else:
            matched.append(matched_steps(before.words[sequence], after.words[sequence]))
    straight = all(bool((own == torch.arange(own.numel(), device="cpu")).all()) for own in matched)
    return None if straight and lengths[0] == lengths[1] else tuple(matched)


def matched_steps(before: Sequence[str], after: Sequence[str]) -> Tensor:
    """The place before of every word after; −1 for a word that was inserted.

    Examples
    --------
    >>> matched_steps(["not", "bad"], ["not", "at", "all", "bad"]).tolist()
    [0, -1, -1, 1]
    """
    places = torch.full((len(after),), -1, device="cpu")
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        shared = min(j - i, m - k) if kind in ("equal", "replace") else 0
        places[k : k + shared] = torch.arange(i, i + shared, device="cpu")
    return places


def words_moved(before: Written, after: Written) -> bool:
    """Whether words that were kept stand at other steps than before."""
    pairs = zip(before.given or (), after.given or (), strict=False)
    matched = [matched_steps(old, new) for old, new in pairs if old != new]
    return any([bool(((own >= 0) & (own != torch.arange(own.numel(), device="cpu"))).any()) for own in matched])


def told_of_words(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What was retyped, in words: at most :data:`TOLD` lines, then a count."""
    lines = []
    several = len(after) > 1
    for sequence, (old, new) in enumerate(zip(before, after, strict=False)):
        whose = f"sequence {sequence + 1}: " if several else ""
        for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            was, now = _quoted(old[i:j]), _quoted(new[k:m])
            if kind == "equal" or not (was or now):
                continue
            what = f"“{was}” → “{now}”" if was and now else f"“{was}” removed" if was else f"“{now}” inserted"
            lines.append(whose + what)
    return (
        tuple(lines)
        if len(lines) <= TOLD
        else (*lines[:TOLD], f"and {counted(len(lines) - TOLD, 'more change')} of words")
    )


def _quoted(words: Sequence[str]) -> str:
    """Words as a sentence; those of white space are no padding, and are to be seen."""
    return isolated(" ".join(word if word.strip() else "␣" * len(word) for word in words if word))


def typed(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """Words as a page gives them, with what was typed in one word's place as the words that it is.

    Where no ``known`` word has white space, it parts words; where all of some are single characters, each is a word.

    Examples
    --------
    >>> typed(["a", "very good", "film"], ["a", "bad", "film"]), typed(["(", "ab"], ["(", ")", "[", "]"])
    (['a', 'very', 'good', 'film'], ['(', 'a', 'b'])
    """
    told = {word for word in known if word}
    if len(told) >= SOME and all(len(word) == 1 for word in told):
        return [part for word in words for part in (word or [word])]
    if any(word.split() != [word] for word in told):
        return list(words)
    return [part for word in words for part in ([word] if word in told else word.split() or [word])]


def code_of_words(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The statements that make other words of the first ones."""
    return tuple(
        f"inspector.retype({list(new)!r}, sequence={place})"
        for place, (old, new) in enumerate(zip(before, after, strict=True))
        if list(old) != list(new)
    )


def plain(inputs: object) -> object:
    """Inputs as a person would give them: the one argument of a captured call rather than the call."""
    if isinstance(inputs, Arguments) and not inputs.keywords:
        return inputs.positional[0] if len(inputs.positional) == 1 else inputs.positional
    if isinstance(inputs, Arguments) and not inputs.positional:
        return dict(inputs.keywords)
    return inputs
