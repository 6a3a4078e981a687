"""The score's traits: what Python and the page tell each other. The page's side is in ``js/``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_STATIC = Path(__file__).parent.parent / "static"
# As text: of a class whose files are paths, anywidget keeps every widget for good, closed or not, to reload them.
BUNDLE = (_STATIC / "score.js").read_text(encoding="utf-8")
STYLES = (_STATIC / "score.css").read_text(encoding="utf-8")


class Score(anywidget.AnyWidget):
    """One time axis with lanes for tokens, states, gradients and the answer, and a gate panel.

    ``_frame`` is one whole picture, so that data and shape never part; ``_drawn`` is the page's echo of the version it
    has painted, beside a request; without one it comes as a message. ``before`` are the cells of the run before, which
    a frame names by their version: a drag leaves them as they are. Whatever a person moves arrives as one ``_request``
    that holds every dial of its scope, and in ``before`` what else was asked for and may not have arrived: none is
    lost when messages are merged. ``_track`` names the dial at which somebody is looking, and ``_tracks`` are the
    answers along it, as they come. ``inherited`` is what wider edits already do in the scope of the ``dials``.
    ``told`` is the name in the answer that a person chose in an answer lane: headline, lanes and tracks tell of it.
    """

    _esm = BUNDLE
    _css = STYLES

    # Python owns these; a host that echoes state back would send whole pictures to the kernel.
    _frame = traitlets.Dict().tag(sync=True, echo_update=False)
    before = traitlets.Dict().tag(sync=True, echo_update=False)
    lane = traitlets.Dict().tag(sync=True, echo_update=False)
    _status = traitlets.Dict().tag(sync=True, echo_update=False)
    dials = traitlets.Dict().tag(sync=True, echo_update=False)
    inherited = traitlets.Dict().tag(sync=True, echo_update=False)
    _tracks = traitlets.Dict().tag(sync=True, echo_update=False)
    _history = traitlets.Dict({"position": 0, "length": 1}).tag(sync=True, echo_update=False)
    _code = traitlets.Unicode("").tag(sync=True, echo_update=False)

    drawn = traitlets.Int(0)
    """The newest version that a page has painted."""

    # The page owns these.
    _drawn = traitlets.Int(0).tag(sync=True, echo_update=False)
    _request = traitlets.Dict().tag(sync=True, echo_update=False)
    _track = traitlets.Dict().tag(sync=True, echo_update=False)

    ripple = traitlets.Unicode("").tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)
    sequence = traitlets.Int(0).tag(sync=True)
    site = traitlets.Unicode("hidden").tag(sync=True)
    units = traitlets.List(traitlets.Int()).tag(sync=True)
    told = traitlets.Unicode("").tag(sync=True)
    steps = traitlets.List(traitlets.Int(), default_value=None, allow_none=True).tag(sync=True)
    scope = traitlets.Dict({"units": "selected", "layers": "this", "steps": "brushed"}).tag(sync=True)

    def __init__(self, **traits: object) -> None:
        super().__init__(**traits)
        self.on_msg(self._on_message)
        # ipykernel 7.4 hands a page's message to the shell that spoke last on its comm. Once a running cell has made a
        # frame, that is the cell's own, and a drag would wait for its end. The page asks for the right one itself.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, asked: asked  # noqa: SLF001

    @traitlets.observe("_drawn")
    def _on_drawn(self, change: Mapping[str, Any]) -> None:
        self._painted(change["new"])

    def _on_message(self, _: object, content: Mapping[str, Any], __: object) -> None:
        if "drawn" in content:
            self._painted(content["drawn"])

    def _painted(self, version: int) -> None:
        # A host may hold a request back, with what was painted when it was made, until after a message.
        self.drawn = max(self.drawn, version)
