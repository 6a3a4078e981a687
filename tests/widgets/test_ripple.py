import numpy as np
import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.widgets.picture import Picture, RowOrders
from rnnwidget.widgets.ripple_frame import ripple_frame
from tests.widgets.models import classifier_and_batch


def shown(inspector, state="hidden"):
    inspector._page.score.ripple = state
    return inspector._page.score._frame["ripple"]


def cells_of(band, limit):
    whole = np.frombuffer(band["data"], "<i2").reshape(band["rows"], band["columns"]).astype(float)
    whole[whole == -32768] = np.nan
    return whole / 32767 * limit


def order_of(band):
    return np.frombuffer(band["order"], "<i4")


@pytest.mark.parametrize("state", ["hidden", "cell"])
def test_every_cell_is_after_minus_before(inspect, state):
    model, batch, words = classifier_and_batch()
    inspector = inspect(model, inputs=batch, tokens=words)
    inspector.sequence = 2
    inspector.edits = [rw.clamp("forget_gate", 1.0, layer="lstm.l0", units=[1, 3], steps=slice(1, 3))]
    ripple = shown(inspector, state)
    result = rw.intervene(model, batch, inspector.edits)
    assert [band["name"] for band in ripple["bands"]] == ["lstm.l0", "lstm.l0_reverse", "lstm.l1", "lstm.l1_reverse"]
    assert ripple["steps"] == 5
    for band in ripple["bands"]:
        before, after = (run[band["name"]][state][:5, 2] for run in (result.baseline_recording, result.recording))
        change = (after - before).detach().T[torch.tensor(order_of(band).copy()).long()]
        np.testing.assert_allclose(cells_of(band, ripple["limit"]), change, atol=ripple["limit"] / 32767)
        assert sorted(order_of(band)) == list(range(5))
        assert band["most"] == pytest.approx(float(change.abs().max()), abs=1e-6)


def test_the_edited_cells_are_one_block_at_the_foot_of_their_band(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector.edits = [rw.clamp("forget_gate", 1.0, layer="lstm.l0", units=[0, 4], steps=slice(1, 3))]
    first, *others = shown(inspector)["bands"]
    assert first["edited"] == [[3, 5, 1, 3]]
    assert set(order_of(first)[3:]) == {0, 4}
    assert all(band["edited"] == [] for band in others)
    inspector.edits = [rw.shift("forget_gate", 1.0)]
    assert all(band["edited"] == [[0, 5, 0, 7]] for band in shown(inspector)["bands"])


def test_a_lone_unit_among_many_is_not_lost():
    model, x = nn.LSTM(2, 700), torch.randn(6, 1, 2)
    edit = rw.nudge("hidden", 5.0, units=[431], steps=[2])
    result = rw.intervene(model, x, [edit])
    picture = Picture(None, None, result.baseline_recording, result.recording, (edit,), None, "")
    ripple = ripple_frame(recurrent_modules(model), picture, RowOrders(), layer="l0", sequence=0, state="hidden")
    (band,) = ripple["bands"]
    assert band["rows"] <= 160
    assert np.nanmax(cells_of(band, ripple["limit"])[:, 2]) == pytest.approx(5.0, rel=1e-3)
    assert band["edited"] == [[699, 700, 2, 3]]


def test_a_layer_that_is_nan_before_and_after_has_no_largest_change(inspect):
    model = nn.LSTM(3, 4, num_layers=2)
    with torch.no_grad():
        model.weight_ih_l1.fill_(torch.nan)
    inspector = inspect(model, inputs=torch.randn(5, 1, 3))
    assert [band["most"] for band in shown(inspector)["bands"]] == [0.0, 0.0]
    inspector.edits = [rw.shift("forget_gate", 1.0)]
    lower, upper = inspector._page.score._frame["ripple"]["bands"]
    assert lower["most"] > 0
    assert upper["most"] is None


def test_nothing_is_made_while_the_ripple_is_closed(inspect, monkeypatch):
    made = []
    monkeypatch.setattr("rnnwidget.widgets.change_views.ripple_frame", lambda *given, **named: made.append(1) or {})
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector.edits = [rw.clamp("forget_gate", 1.0)]
    assert inspector._page.score._frame["ripple"] is None
    inspector.ripple()
    inspector.edits = [rw.clamp("forget_gate", 0.5)]
    assert made == []
    inspector._page.score.ripple = "hidden"
    assert made == [1]


def test_a_ripple_of_its_own_follows_the_inspector_once_it_is_shown(inspect):
    model, batch, words = classifier_and_batch()
    inspector = inspect(model, inputs=batch, tokens=words)
    ripple = inspector.ripple()
    assert ripple._frame == {}
    ripple._repr_mimebundle_()
    assert ripple._frame["hint"].startswith("Nothing is changed")
    inspector.edits = [rw.clamp("forget_gate", 1.0)]
    assert ripple._frame["edits"] == ["forget gate clamped to 1.00 · all units · all layers"]
    assert ripple._frame["tokens"] == words[0]
    assert ripple._frame["ripple"]["state"] == "hidden"
    ripple.state = "cell"
    assert ripple._frame["ripple"]["state"] == "cell"
    inspector.close()
    assert ripple.comm is None


def test_a_ripple_waits_for_a_page_that_does_not_keep_up(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    ripple = inspector.ripple()
    ripple._repr_mimebundle_()
    ripple._drawn = 1
    for value in (0.1, 0.2, 0.3, 0.4):
        inspector.edits = [rw.clamp("forget_gate", value)]
    assert ripple._frame["version"] == 3
    ripple._drawn = 3
    assert ripple._frame["edits"] == ["forget gate clamped to 0.40 · all units · all layers"]


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, 4), nn.GRU(4, 4)

    def forward(self, x):
        _, state = self.encoder(x)
        return self.decoder(torch.zeros(3, x.size(1), 4), state)[0]


def test_the_text_form_is_one_line_that_a_converted_notebook_can_show(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    ripple = inspector.ripple()
    ripple.state = "cell"
    assert repr(ripple) == "Ripple(after − before of the cell state)"
    data = ripple._repr_mimebundle_()
    assert (data[0] if isinstance(data, tuple) else data)["text/plain"] == repr(ripple)
    inspector.close()
    assert repr(ripple) == "Ripple(after − before of the cell state; closed)"


def test_layers_of_other_steps_are_named_and_left_out(inspect):
    inspector = inspect(Translator(), inputs=torch.randn(6, 2, 3))
    ripple = shown(inspector)
    assert [band["name"] for band in ripple["bands"]] == ["encoder.l0"]
    assert ripple["left_out"] == ["decoder.l0"]
    inspector.layer = "decoder.l0"
    assert inspector._page.score._frame["ripple"]["left_out"] == ["encoder.l0"]
