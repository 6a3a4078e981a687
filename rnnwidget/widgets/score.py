"""The score's traits: what Python and the page tell each other. The page's side is in ``js/``."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_STATIC = Path(__file__).parent.parent / "static"


class Score(anywidget.AnyWidget):
    """One time axis with lanes for tokens, states, gradients and the answer, and a gate panel.

    ``_frame`` is one whole picture, so that data and shape never part; ``_drawn`` is the page's echo of the version
    it has painted. Whatever a person moves arrives as one ``_request`` that holds every dial of its scope: the latest
    wins, and none is lost when messages are merged.
    """

    _esm = _STATIC / "score.js"
    _css = _STATIC / "score.css"

    # Python owns these; a host that echoes state back would send whole pictures to the kernel.
    _frame = traitlets.Dict().tag(sync=True, echo_update=False)
    _status = traitlets.Dict().tag(sync=True, echo_update=False)
    dials = traitlets.Dict().tag(sync=True, echo_update=False)

    _drawn = traitlets.Int(0).tag(sync=True)
    _request = traitlets.Dict().tag(sync=True)

    layer = traitlets.Unicode("").tag(sync=True)
    sequence = traitlets.Int(0).tag(sync=True)
    site = traitlets.Unicode("hidden").tag(sync=True)
    units = traitlets.List(traitlets.Int()).tag(sync=True)
    steps = traitlets.List(traitlets.Int(), default_value=None, allow_none=True).tag(sync=True)
    scope = traitlets.Dict({"units": "selected", "layers": "this"}).tag(sync=True)

    def __init__(self, **traits: object) -> None:
        super().__init__(**traits)
        # ipykernel 7.4 hands a page's message to the shell that spoke last on its comm. Once a running cell has made a
        # frame, that is the cell's own, and a drag would wait for its end. The page asks for the right one itself.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, asked: asked  # noqa: SLF001
