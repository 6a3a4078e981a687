"""The answer after every step, before and after edits, worked out where nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from rnnwidget.recording.giving_up import NoLongerWantedError, given_up_unless
from rnnwidget.widgets.wire import Frame, float_bytes

Values = Iterator[tuple[int, Tensor | float]]
Line = Callable[[], Values]

PAUSE = 0.25
LONG_PAUSE = 2.0
"""Between the calls of a training loop nothing is worked out that nobody has asked for."""

PACE = 0.15
LOOK = 0.1
"""How often a resting thread looks whether the process is about to end, which it would hold up."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a lane is to show; ``before`` and ``after`` yield (number of steps read, answer), ``after`` None unedited.

    An answer is a number for each of ``labels``, of which the lane shows one, at first the ``picked``. ``before_of``
    tells the same lines before of one question from another's: they are kept. ``same_steps`` is the step before of
    every step after where the two differ, −1 if there is none. ``truth`` is what the answers should have been, as
    (label, step); ``series`` says that they are the values of a series, whose own range is what there is to see,
    ``by_step`` that they are what the model gives at each step, having read the whole input, and ``names`` are what
    the answer itself calls the labels.
    """

    labels: tuple[str, ...]
    limits: tuple[float, float] | None
    steps: int
    before: Line
    after: Line | None
    before_of: object
    steps_before: int
    same_steps: Tensor | None = None
    picked: int = 0
    truth: Tensor | None = None
    series: bool = False
    by_step: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Asked:
    """A question that is put together once there is time for it, for the answer of this number; None asks nothing."""

    number: int
    question: Callable[[], Question] | None


class AnswerLane:
    """Answers the newest question on a thread of its own, and tells of the line as it grows.

    A question is taken up once ``pause`` seconds have passed without another, so that no drag meets it. It is
    dropped for a newer one, and rests while ``wanted`` says no, until :meth:`wake`. ``renew`` says whether what is
    asked about was out of date and has been asked about anew, which is done once: a model may be moving on and on.
    """

    def __init__(
        self,
        tell: Callable[[Frame], None],
        wanted: Callable[[], bool],
        pause: float | None = None,
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tell, self._wanted, self._pause = tell, wanted, PAUSE if pause is None else pause
        self._renew = renew
        self._asked = threading.Condition()
        self._question: Asked | None = None
        self._deferrals = 0
        self._thread: threading.Thread | None = None
        self._kept: tuple[object, Tensor] | None = None

    def ask(self, question: Asked | None) -> None:
        """Put the newest question, or drop the last one."""
        with self._asked:
            self._question = question
            self._asked.notify_all()
        self.wake()

    def wake(self) -> None:
        """Go on with a question that rests."""
        with self._asked:
            if self._question is not None and self._thread is None and self._wanted():
                self._thread = threading.Thread(target=self._work, name="rnnwidget answer lane")
                self._thread.start()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Something newer is done meanwhile: stop, and begin again once it has been quiet for a while after it."""
        self._stop(1)
        try:
            yield
        finally:
            self._stop(-1)

    def _stop(self, deferrals: int) -> None:
        with self._asked:
            self._deferrals += deferrals
            if self._question is not None:
                self._question = replace(self._question)
                self._asked.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait until nothing is under way."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _work(self) -> None:
        renewed = False
        while (question := self._settled()) is not None:
            renewed = not renewed and self._renew()
            if renewed:
                continue
            try:
                with given_up_unless(partial(self._current, question)):
                    done = question.question is None or self._answer(question.number, question.question(), question)
            except NoLongerWantedError:
                done = False
            except Exception as error:  # noqa: BLE001 - a model may raise anything
                done = self._current(question)
                if done:
                    self._tell({"number": question.number, "reason": str(error) or type(error).__name__})
            with self._asked:
                if done and self._question is question:
                    self._question = None

    def _settled(self) -> Asked | None:
        """The newest question, once it has stood for a while; None ends the thread."""
        with self._asked:
            while (question := self._question) is not None and self._going:
                rested = time.monotonic() + self._pause
                while self._question is question and self._going:
                    left = rested - time.monotonic()
                    if left <= 0 and not self._deferrals:
                        break
                    self._asked.wait(LOOK if self._deferrals else min(left, LOOK))
                if self._question is question and self._going:
                    return question
            self._thread = None
            return None

    @property
    def _going(self) -> bool:
        """Whether anybody wants an answer; the thread ends where nobody does, or where the process is about to end."""
        return threading.main_thread().is_alive() and self._wanted()

    def _current(self, question: Asked) -> bool:
        return self._question is question and self._going

    def _answer(self, number: int, question: Question, asked: Asked) -> bool:
        """Whether it came to an end."""
        kept = self._kept if self._kept is not None and self._kept[0] == question.before_of else None
        count = len(question.labels)
        before = torch.full((count, question.steps_before), torch.nan, device="cpu") if kept is None else kept[1]
        after = None if question.after is None else torch.full((count, question.steps), torch.nan, device="cpu")
        told = time.monotonic()
        for line, values in ((before, question.before if kept is None else None), (after, question.after)):
            if line is None or values is None:
                continue
            for read, value in values():
                if not self._current(asked):
                    return False
                line[:, read - 1] = value if isinstance(value, float) else value.to(line)
                if time.monotonic() - told > PACE:
                    self._tell(_frame(number, question, before, after, done=False))
                    told = time.monotonic()
            if line is before:
                self._kept = (question.before_of, before)
        if not self._current(asked):
            return False
        self._tell(_frame(number, question, before, after, done=True))
        return True


def _frame(number: int, question: Question, before: Tensor, after: Tensor | None, *, done: bool) -> Frame:
    new: list[int] = []
    if question.same_steps is not None:
        same = question.same_steps
        before = before[:, same.clamp(min=0)].masked_fill(same < 0, torch.nan)
        new = (same < 0).nonzero().flatten().tolist()
    return {
        "number": number,
        "reason": "",
        "labels": list(question.labels),
        "names": list(question.names or question.labels),
        "picked": question.picked,
        "limits": None if question.limits is None else list(question.limits),
        "steps": question.steps,
        "before": float_bytes(before),
        "new_steps": new,
        "after": None if after is None else float_bytes(after),
        "truth": None if question.truth is None else float_bytes(question.truth),
        "series": question.series,
        "by_step": question.by_step,
        "done": done,
    }
