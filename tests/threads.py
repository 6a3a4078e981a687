"""What another thread sees."""

import threading
from collections.abc import Callable
from typing import TypeVar

_Seen = TypeVar("_Seen")


def in_a_new_thread(function: Callable[[], _Seen]) -> _Seen:
    """What a function gives on a thread of its own."""
    found: list[_Seen] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]
