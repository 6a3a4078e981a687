"""One frame of the score: everything that one picture of it shows, as JSON and bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnnwidget.cells import Family
from rnnwidget.recording import LayerRecording
from rnnwidget.recording.modules import Layer, RecurrentModule
from rnnwidget.recording.same_values import same_values
from rnnwidget.recording.shapeless import numbers_in
from rnnwidget.widgets.answer_frame import answer_frame
from rnnwidget.widgets.answers import Reading
from rnnwidget.widgets.before_cells import BeforeCells
from rnnwidget.widgets.described import describe
from rnnwidget.widgets.dials import panel_rows
from rnnwidget.widgets.heatmap import heatmap_and_margin, signed
from rnnwidget.widgets.isolation import isolated
from rnnwidget.widgets.picture import Picture, RowOrders, gradient_norms
from rnnwidget.widgets.regions import edited_regions
from rnnwidget.widgets.wire import Frame, float_bytes, int_bytes

__all__ = ["Frame", "Shown", "layer_label", "model_frame", "picture_frame", "total_norms"]

CHANNELS = 8
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@dataclass(frozen=True)
class Shown:
    """What of a picture is on show."""

    layer: str
    sequence: int
    site: str
    units: Sequence[int]
    tokens: Sequence[Sequence[str]] | None
    told: str = ""
    """The name in the answer that a person chose to be told of."""


def model_frame(model: nn.Module, modules: Sequence[RecurrentModule]) -> Frame:
    """What is known of a model before it runs."""
    return {
        "title": type(model).__name__,
        "state": "waiting",
        "found": [
            {
                "path": module.path or "(the model itself)",
                "family": _family_label(module.family),
                "layers": 1 + module.layers[-1].index,
                "units": module.layers[0].hidden_size,
                "direction": "both directions" if any(layer.reverse for layer in module.layers) else "forward",
                "parameters": numbers_in(module.module.parameters()),
            }
            for module in modules
        ],
        "parameters": numbers_in(model.parameters()),
        "hint": "Call the model once, as in model(x), and its states appear here.",
    }


def picture_frame(
    modules: Sequence[RecurrentModule],
    picture: Picture,
    shown: Shown,
    orders: RowOrders,
    befores: BeforeCells,
    readings: tuple[Reading, Reading] | None,
) -> Frame:
    """What a picture adds to :func:`model_frame`."""
    after = picture.recording[shown.layer]
    residual = _residual(after, picture.baseline_recording[shown.layer])  # after a look it would cost another
    layer = next(layer for module in modules for layer in module.layers if layer.name == shown.layer)
    steps = int(after.lengths[shown.sequence])
    width = after[shown.site].size(-1)
    order = orders.order(picture.baseline_recording, shown.layer, width)
    pinned = shown.units[-1] if shown.units else orders.liveliest(picture.baseline_recording, shown.layer)
    values = picture.after(layer.name, shown.site, shown.sequence)
    before = befores.of(picture, layer, shown.site, shown.sequence, order)
    heatmap, margin, truncated = heatmap_and_margin(layer, shown.site, order, values, before)
    return {
        "state": "filled",
        "hint": "",
        "layers": [
            _layer_entry(module, layer, picture, alone=len(modules) == 1)
            for module in modules
            for layer in module.layers
        ],
        "layer": shown.layer,
        "calls": picture.recording.call_count(shown.layer),
        "training": picture.training,
        "sequences": picture.batch,
        "sequence": shown.sequence,
        "sequence_label": f"sequence {shown.sequence + 1} of {picture.batch}",
        "steps": steps,
        "reverse": layer.reverse,
        "tokens": None if shown.tokens is None else list(shown.tokens[shown.sequence][:steps]),
        "inputs": None if shown.tokens is not None else _channels(picture, modules, layer, shown.sequence, steps),
        "sites": [_site_entry(layer.family, site) for site in (*layer.family.states, *layer.family.gates)],
        "site": shown.site,
        "order": int_bytes(order),
        "heatmap": heatmap,
        "margin": margin,
        "edited": edited_regions(picture.edits, layer, width, steps, shown.sequence),
        "residual": residual,
        "trace": _trace(layer, picture, pinned, shown.sequence),
        **_gradient(picture, after, shown.sequence),
        "answer": answer_frame(readings, edited=picture.edited, told=shown.told),
        "panel": panel_rows(layer.family, [edit for edit in picture.edits if edit.layer in (None, layer.name)]),
        "edits": [describe(edit) for edit in picture.edits],
        "truncated": truncated,
    }


def layer_label(module: RecurrentModule, layer: Layer, *, alone: bool) -> str:
    """A short name such as ``0→`` or, where a model has several modules, ``encoder 1←``; a cell's own path."""
    if not isinstance(module.module, nn.RNNBase):
        return isolated(layer.name)
    arrow = f"{layer.index}{'←' if layer.reverse else '→'}"
    return arrow if alone or not module.path else f"{isolated(module.path)} {arrow}"


def total_norms(picture: Picture, modules: Sequence[RecurrentModule], sequence: int) -> dict[str, Tensor]:
    """‖∂L/∂state_t‖ of one sequence by the label of each layer; empty where there are no gradients."""
    flow = picture.flow
    if flow is None:
        return {}
    return {
        layer_label(module, layer, alone=len(modules) == 1): gradient_norms(
            flow, picture.recording[layer.name], sequence
        )[0]
        for module in modules
        for layer in module.layers
        if layer.name in flow
    }


def _family_label(family: Family) -> str:
    if family.name == "rnn":
        return f"RNN ({family.activations['hidden']})"
    return family.name.upper() if family.name in ("lstm", "gru") else family.name


def _layer_entry(module: RecurrentModule, layer: Layer, picture: Picture, *, alone: bool) -> Frame:
    prefix = f"{isolated(module.path)} " if module.path else ""
    place = f"layer {layer.index}, {'reverse' if layer.reverse else 'forward'}"
    units = layer.width("hidden")
    if units is None and layer.name in picture.recording:
        units = picture.recording[layer.name].hidden.size(-1)
    entry: Frame = {
        "name": layer.name,
        "label": layer_label(module, layer, alone=alone),
        "title": prefix + place if isinstance(module.module, nn.RNNBase) else f"{isolated(layer.name)}, step by step",
        "family": layer.family.name,
        "units": units,
    }
    if layer.family.name == "rnn":
        entry["nonlinearity"] = layer.family.activations["hidden"]
    return entry


def _site_entry(family: Family, site: str) -> Frame:
    noun = " state" if site in family.states else ""
    return {
        "name": site,
        "label": site.replace("_", " ") + noun,
        "symbol": family.letters[site],
        "signed": signed(family, site),
    }


def _residual(*recorded: LayerRecording) -> Frame:
    """Of the run on show and of that without edits: steps of our own are no sign of what the model computes."""
    errors = [each.replay_error for each in recorded]
    if any(math.isnan(error) for error in errors):
        return {"text": "a state is not finite", "ok": False}
    tolerance = TOLERANCE.get(recorded[0].hidden.dtype, 1e-5)
    return {"text": f"{max(errors):.0e}", "ok": max(errors) <= tolerance}


def _trace(layer: Layer, picture: Picture, unit: int, sequence: int) -> Frame:
    before = picture.baseline_recording[layer.name] if picture.edited else None
    after, steps = picture.recording[layer.name], picture.steps(layer.name, sequence)
    series: dict[str, Frame] = {}
    previous: dict[str, bytes] = {}

    def pair(name: str, of: Callable[[LayerRecording], Tensor]) -> None:
        ghost = None
        if before is not None:
            own = of(before)[: int(before.lengths[sequence]), sequence, unit].float().cpu()
            ghost = float_bytes(picture.aligned(own, sequence, steps))
        series[name] = {"after": float_bytes(of(after)[:steps, sequence, unit]), "before": ghost}

    for site in layer.family.sites:
        if unit < after[site].size(-1):
            pair(site, lambda run, site=site: run[site])  # type: ignore[misc]
    for state in layer.family.states:
        if unit < after[state].size(-1):
            values = after[state][:steps, sequence, unit].float().cpu()
            start = after.initial[state][sequence, unit].float().cpu().reshape(1)
            came = torch.cat([values[1:], start]) if layer.reverse else torch.cat([start, values[:-1]])
            previous[state] = float_bytes(came[:steps])
    if layer.family.name == "rnn":
        pair("preactivation", lambda run: run.preactivation("hidden"))
    return {"unit": unit, "series": series, "previous": previous}


def _gradient(picture: Picture, layer: LayerRecording, sequence: int) -> Frame:
    if picture.flow is None or layer.name not in picture.flow:
        return {"gradient": None, "gradient_message": picture.flow_message}
    total, local = gradient_norms(picture.flow, layer, sequence)
    letters = ", ".join(layer.source.family.letters[state] for state in layer.states)
    state, label = (f"({letters})", "local h") if len(layer.states) > 1 else ("h", "local")
    return {
        "gradient": {
            "total": float_bytes(total),
            "local": float_bytes(local),
            "caption": f"‖∂L/∂{state}‖",
            "local_label": label,
        },
        "gradient_message": "",
    }


def _channels(
    picture: Picture, modules: Sequence[RecurrentModule], layer: Layer, sequence: int, steps: int
) -> Frame | None:
    """The stimulus: what the module's first layer reads, where it has few channels."""
    first = next(module.layers[0].name for module in modules if layer in module.layers)
    read = picture.recording[first].inputs[:steps, sequence]
    if read.size(-1) > CHANNELS:
        return None
    ghost = None
    if picture.edited:
        run = picture.baseline_recording[first]
        before = picture.aligned(run.inputs[: int(run.lengths[sequence]), sequence], sequence, steps)
        ghost = None if same_values(before, read) else float_bytes(before.T)
    return {"names": channel_names(read.size(-1)), "data": float_bytes(read.T), "before": ghost}


def channel_names(channels: int) -> list[str]:
    """What the channels of a stimulus are called."""
    return [f"input {channel}" for channel in range(channels)] if channels > 1 else ["input"]
