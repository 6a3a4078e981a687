"""Every cell of the heatmap, read back through the colour bar beside it, is the engine's value."""

import math

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_picture_is_the_engines
from tests.browser.models import IMPORTS, INSPECTOR, SENTIMENT
from tests.browser.score import numbers, opened

ODD = (
    IMPORTS
    + """
model = nn.RNN(2, 6, nonlinearity="relu")
with torch.no_grad():
    model.weight_hh_l0.zero_()
    model.weight_ih_l0.uniform_(0.2, 1.0)
    model.weight_ih_l0[2] = 3e38
x = torch.rand(12, 1, 2) + 4
x[:4] *= 0.01
x[9:, 0] = torch.nan
inputs = x
inspector = rw.RNNInspector(model, inputs=x)
inspector
"""
)


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "picture", SENTIMENT, INSPECTOR) as score:
        yield score


@pytest.mark.parametrize("site", ["hidden", "cell", "forget_gate", "candidate"])
def test_every_cell_has_the_colour_of_its_value(score, site):
    score.rest()
    name = {"hidden": "hidden state", "cell": "cell state"}.get(site, site.replace("_", " "))
    score.choose("show in the heatmap", name)
    expect(score.root.locator(".rnnwidget-site-name")).to_have_text(name)
    assert_picture_is_the_engines(score, site)


def test_positive_is_warm_negative_cold_and_zero_light(score):
    score.rest()
    expected = score.ask("cells('hidden')")
    order = score.order()
    painted = score.colours(len(expected), len(expected[0]))
    cells = [(expected[unit][step], painted[row][step]) for row, unit in enumerate(order) for step in range(18)]
    (lowest, cold), (highest, warm) = min(cells), max(cells)
    light = min(cells, key=lambda cell: abs(cell[0]))[1]
    assert lowest < -0.5
    assert highest > 0.5
    assert cold[2] > cold[0] + 50
    assert warm[0] > warm[2] + 50
    assert min(light[:3]) > 220
    low, high, _ = score.scale()
    assert low == -high


def test_a_row_is_the_unit_that_the_readout_names(score):
    score.rest()
    expected = score.ask("cells('hidden')")
    order = score.order()
    assert sorted(order) == list(range(24))
    for row, step in [(0, 0), (7, 5), (23, 17)]:
        score.page.mouse.move(*score.cell_box(row, step, 24, 18))
        unit = order[row]
        expect(score.readout).to_contain_text(f"unit {unit} · step {step}")
        value = score.readout.inner_text().split("=")[1]
        assert numbers(value)[0] == pytest.approx(expected[unit][step], abs=6e-4)


def test_nan_and_infinity_are_marked_in_greys(jupyter, chromium):
    with opened(jupyter, chromium, "odd", ODD) as score:
        expected = score.ask("cells('hidden')")
        odd = {"nan": 0, "plus": 0}
        painted = score.colours(6, 12)
        for row, unit in enumerate(score.order()):
            for step, (red, green, blue, _) in enumerate(painted[row]):
                value = expected[unit][step]
                grey = red == green == blue
                assert grey == (not math.isfinite(value)), (unit, step, value)
                odd["nan"] += math.isnan(value)
                odd["plus"] += value == math.inf
        assert odd["nan"] >= 3
        assert odd["plus"] >= 1
        for mark, count in odd.items():
            expect(score.root.locator(f".rnnwidget-marks [data-mark={mark}]")).to_contain_text(str(count))
        expect(score.root.locator(".rnnwidget-residual")).to_contain_text("not finite")
