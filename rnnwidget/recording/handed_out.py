"""What was computed and handed out: somebody may have written into it since."""

from __future__ import annotations

from rnnwidget.cells.family import Quantities


class HandedOut:
    """Quantities of which nothing is used again once one of them has been changed in place."""

    def __init__(self) -> None:
        self._known: Quantities = {}
        self._versions: dict[str, int] = {}

    @property
    def unchanged(self) -> Quantities:
        """What is as it was at the latest :meth:`note`, to be added to; all of it or nothing."""
        if any([tensor._version != self._versions.get(site) for site, tensor in self._known.items()]):
            self._known.clear()
        return self._known

    def note(self) -> None:
        """From here on what is known is out of our hands."""
        self._versions = {site: tensor._version for site, tensor in self._known.items()}
