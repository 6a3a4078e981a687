"""A progress bar for what may take long, and none for what does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def watched(things: Iterable[T], *, name: str, total: int | None = None, progress: bool | None = None) -> Iterator[T]:
    """The things, one after the other; a bar with its ``name`` appears once a second has passed.

    ``progress`` None shows it in a notebook and in a terminal, True wherever standard error goes, False nowhere.
    """
    if progress is False:
        yield from things
        return
    # Here, so that those who never wait for anything do not load it.
    from tqdm.auto import tqdm

    in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    disable = None if progress is None and not in_notebook else False
    yield from tqdm(things, desc=name, total=total, delay=1, leave=False, disable=disable)
