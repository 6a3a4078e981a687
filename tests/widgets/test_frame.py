import numpy as np
import pytest
import torch
from torch import nn

import rnnwidget as rw
from rnnwidget.cells import lstm
from rnnwidget.recording.modules import recurrent_modules
from rnnwidget.widgets.heatmap import Before, heatmap_and_margin, largest, row_bars, signed
from rnnwidget.widgets.wire import float_bytes


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4")


def margin_of(site, after, before=None):
    layer = recurrent_modules(nn.LSTM(3, after.size(1)))[0].layers[0]
    order = torch.arange(after.size(1))
    was = None
    if before is not None:
        was = Before(1, float_bytes(row_bars(before, order, signed=signed(layer.family, site))), largest(before))
    return heatmap_and_margin(layer, site, order, after, was)[1]


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("site", ["hidden", "forget_gate"])
def test_a_unit_with_a_value_that_is_not_finite_has_no_bar(site, odd):
    values = torch.full((4, 3), 0.95)
    values[2, 1] = odd
    margin = margin_of(site, values, before=torch.full((4, 3), 0.95))
    assert np.isnan(floats(margin["values"])).tolist() == [False, True, False]
    assert np.isfinite(floats(margin["before"])).all()
    assert np.isnan(floats(margin_of(site, values, before=values)["before"])).tolist() == [False, True, False]


def test_a_pooled_row_does_not_hide_a_unit_that_is_not_finite():
    values = torch.zeros(2, 1024)
    values[1, 7] = torch.nan
    bars = floats(margin_of("hidden", values)["values"])
    assert bars.size == 512
    assert np.flatnonzero(np.isnan(bars)).tolist() == [3]


def test_a_finite_margin_is_the_mean_over_the_steps():
    values = torch.tensor([[-1.0, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(floats(margin_of("hidden", values)["values"]), [0.75, 0.5])
    np.testing.assert_allclose(floats(margin_of("forget_gate", values + 0.45)["values"]), [0.5, 1.0])


@pytest.mark.parametrize(
    ("family", "caption", "label"), [(nn.LSTM, "‖∂L/∂(h, c)‖", "local h"), (nn.GRU, "‖∂L/∂h‖", "local")]
)
def test_the_local_line_is_named_after_what_it_is_of(inspect, family, caption, label):
    torch.manual_seed(0)
    inspector = inspect(family(3, 4), inputs=torch.randn(5, 1, 3), loss=lambda output: output[0].sum())
    gradient = inspector._page.score._frame["gradient"]
    assert (gradient["caption"], gradient["local_label"]) == (caption, label)


def test_a_loss_on_the_last_cell_state_has_total_gradient_only(inspect):
    inspector = inspect(nn.LSTM(3, 4), inputs=torch.randn(5, 1, 3), loss=lambda output: output[1][1].sum())
    gradient = inspector._page.score._frame["gradient"]
    assert floats(gradient["total"])[-1] == pytest.approx(2.0)
    assert not floats(gradient["local"]).any()


def test_a_gradient_too_small_to_square_is_not_called_zero(inspect):
    inspector = inspect(nn.GRU(3, 4), inputs=torch.randn(5, 1, 3), loss=lambda output: output[1].sum() * 1e-30)
    assert floats(inspector._page.score._frame["gradient"]["total"])[-1] == pytest.approx(2e-30, rel=1e-4)


def test_the_panel_has_room_for_a_shift_from_python(inspect):
    inspector = inspect(nn.LSTM(3, 4), inputs=torch.randn(5, 1, 3))
    inspector.edits = [rw.shift("f", 10.0)]
    ranges = {row["site"]: row["shift"] for row in inspector._page.score._frame["panel"]}
    assert ranges == {site: [-10.0, 10.0] if site == "forget_gate" else [-6.0, 6.0] for site in lstm.activations}


def test_layers_are_called_by_their_index_and_direction(inspect):
    inspector = inspect(nn.LSTM(3, 4, num_layers=2, bidirectional=True), inputs=torch.randn(5, 1, 3))
    assert [layer["label"] for layer in inspector._page.score._frame["layers"]] == ["0→", "0←", "1→", "1←"]


def test_the_run_before_is_sent_once_for_a_drag(inspect):
    inspector = inspect(nn.LSTM(3, 5), inputs=torch.randn(6, 2, 3))
    score, sent = inspector._page.score, []
    score.observe(lambda change: sent.append(change["new"]["version"]), "before")
    inspector._page.display()

    def drawn_under(value):
        inspector.edits = [rw.shift("forget_gate", value)] if value else []
        score._drawn = score._frame["version"]
        return score._frame["heatmap"]

    assert drawn_under(1.0)["before"] == drawn_under(2.0)["before"] == sent[-1]
    assert len(sent) == 1
    first = score.before["cells"]
    order = np.frombuffer(score._frame["order"], "<i4").copy()
    plain = inspector.baseline_recording["l0"]["h"][:, 0].T.detach()
    np.testing.assert_allclose(floats(first).reshape(5, 6), plain[torch.tensor(order).long()])
    assert drawn_under(None)["before"] is None
    drawn_under(1.0)
    for name, other in (("sequence", 1), ("site", "cell")):
        known = len(sent)
        setattr(inspector, name, other)
        score._drawn = score._frame["version"]
        assert len(sent) == known + 1
        assert score._frame["heatmap"]["before"] == sent[-1] == score.before["version"]
    other = inspector.recording["l0"]["cell"]
    assert not np.array_equal(floats(score.before["cells"]), other[:, 1].T.numpy()[order].ravel())


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_the_largest_size_leaves_out_what_is_not_finite(odd):
    values = torch.tensor([[0.5, odd], [-2.0, 1.0]])
    assert largest(values) == 2.0
    assert largest(torch.full((2, 2), odd)) == 0.0
    assert largest(torch.zeros(0, 3)) == 0.0
