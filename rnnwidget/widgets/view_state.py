"""What a person can set on an inspector, and what is refused."""

from __future__ import annotations

from typing import Any, NoReturn

import traitlets

from rnnwidget.editing import Edit
from rnnwidget.editing.scopes import StepRange
from rnnwidget.editing.targets import check_batch, validated
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.widgets.picture import Picture


class EditsInForce(list[Edit]):
    """Edits that are set as a whole: changed in place, nobody would hear of it."""

    def _refused(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("edits are set as a whole: inspector.edits = [*inspector.edits, …]")

    append = extend = insert = remove = pop = clear = sort = reverse = _refused
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refused

    def __reduce__(self) -> tuple[type[list[Edit]], tuple[list[Edit]]]:
        return list, (list(self),)


class ViewState(traitlets.HasTraits):
    """The layer, sequence, site, units and steps on show, and the edits in force; each is checked before it is set."""

    layer = traitlets.Unicode(help="The layer on show, by name.")
    sequence = traitlets.Int(0, help="The sequence on show, by its place in the batch.")
    site = traitlets.Unicode("hidden", help="The gate or state that the heatmap shows.")
    units = traitlets.List(traitlets.Int(), help="The selected units; the last one's trace is shown.")
    steps = traitlets.Any(
        None, allow_none=True, help="The brushed steps (start, stop), which an edit takes as its steps=, or None."
    )
    edits = traitlets.List(traitlets.Instance(Edit), help="The edits in force; the sliders set them and follow them.")

    _modules: tuple[RecurrentModule, ...]
    _layers: dict[str, Layer]
    _picture: Picture | None

    @traitlets.validate("layer")
    def _valid_layer(self, proposal: Any) -> str:
        name: str = proposal["value"]
        known = self._layers if self._picture is None else self._picture.recording.layers
        if name not in known:
            raise KeyError(f"no layer {name!r}; {'called were' if self._picture else 'there are'} {', '.join(known)}")
        return name

    @traitlets.validate("sequence")
    def _valid_sequence(self, proposal: Any) -> int:
        sequence: int = proposal["value"]
        count = 1 if self._picture is None else self._picture.batch
        if not 0 <= sequence < count:
            raise IndexError(f"no sequence {sequence}; there are sequences 0 to {count - 1}")
        return sequence

    @traitlets.validate("site")
    def _valid_site(self, proposal: Any) -> str:
        return self._layers[self.layer].family.site(proposal["value"])

    @traitlets.validate("units")
    def _valid_units(self, proposal: Any) -> list[int]:
        layer = self._layers[self.layer]
        width = layer.hidden_size or 0
        if self._picture is not None:
            width = max(state.size(-1) for state in self._picture.recording[layer.name].initial.values())
        outside = [unit for unit in proposal["value"] if not 0 <= unit < width]
        if outside:
            raise IndexError(f"units {outside} do not exist; layer {self.layer!r} has units 0 to {width - 1}")
        return list(dict.fromkeys(proposal["value"]))

    @traitlets.validate("steps")
    def _valid_steps(self, proposal: Any) -> StepRange | None:
        given = proposal["value"]
        if given is None:
            return None
        bounds = (given.start or 0, given.stop) if isinstance(given, slice) and given.step in (None, 1) else given
        try:
            start, stop = (int(bound) for bound in bounds)
        except (TypeError, ValueError):
            raise TypeError(f"steps must be (start, stop), a slice with a stop, or None, got {given!r:.80}") from None
        if not 0 <= start < stop:
            raise IndexError(f"steps (start, stop) need 0 ≤ start < stop, got ({start}, {stop})")
        return StepRange(start, stop)

    @traitlets.validate("edits")
    def _valid_edits(self, proposal: Any) -> list[Edit]:
        edits = validated(proposal["value"], self._modules)
        if self._picture is not None:
            check_batch(edits, self._picture.batch)
        return EditsInForce(edits)
