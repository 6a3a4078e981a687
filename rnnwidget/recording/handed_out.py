"""What was computed and handed out: somebody may have written into it since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rnnwidget.cells.family import Quantities


class HandedOut:
    """Quantities of which nothing is used again once one of them has been changed in place."""

    def __init__(self) -> None:
        self._known: Quantities = {}
        self._versions: dict[str, int] = {}

    @contextmanager
    def unchanged(self) -> Iterator[Quantities]:
        """All that is known, to be used and added to, or nothing; after the block it is out of our hands."""
        if any([tensor._version != self._versions.get(site, tensor._version) for site, tensor in self._known.items()]):
            self._known.clear()
            self._versions.clear()
        try:
            yield self._known
        finally:
            self._versions = {site: tensor._version for site, tensor in self._known.items()}
