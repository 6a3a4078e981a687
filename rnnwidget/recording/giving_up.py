"""Runs that nobody waits for: one that is no longer wanted is given up before it begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class NoLongerWantedError(Exception):
    """A run was given up before it began, since something newer is to be done."""


class _OfThread(threading.local):
    wanted: Callable[[], bool] | None = None


_of_thread = _OfThread()


@contextmanager
def given_up_unless(wanted: Callable[[], bool]) -> Iterator[None]:
    """Meanwhile a run of this thread begins only if it is ``wanted``, which is asked once it has the model."""
    before, _of_thread.wanted = _of_thread.wanted, wanted
    try:
        yield
    finally:
        _of_thread.wanted = before


def check_wanted() -> None:
    """Raise NoLongerWantedError where the run that is about to begin is no longer wanted."""
    if _of_thread.wanted is not None and not _of_thread.wanted():
        raise NoLongerWantedError
