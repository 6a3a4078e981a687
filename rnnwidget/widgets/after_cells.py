"""Something to do after every cell of a notebook, as long as whoever does it lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from IPython import get_ipython


def after_each_cell(method: Callable[[], object]) -> Callable[[], None]:
    """Call a bound ``method`` after each cell; what is returned ends that. Outside of IPython nothing is done."""
    shell, found = get_ipython(), weakref.WeakMethod(method)
    if shell is None:
        return lambda: None

    def run(*_: object) -> None:
        alive = found()
        if alive is None:
            end()
        else:
            alive()

    def end() -> None:
        if run in shell.events.callbacks["post_run_cell"]:
            shell.events.unregister("post_run_cell", run)

    shell.events.register("post_run_cell", run)
    return end
