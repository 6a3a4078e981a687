"""What a person picks out in the picture: which number of the answer is told of, which steps, which unit."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.models import IMPORTS
from tests.browser.score import numbers, opened

MODEL = (
    IMPORTS
    + """
class Weather(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])

model = Weather()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.mul_(2)
inputs = torch.randn(1, 20, 2)
inspector = rw.RNNInspector(model, inputs=inputs, logits=True, labels=["sun", "rain", "snow"])
inspector
"""
)
CHANCES = """
result = rw.intervene(model, inputs, inspector.edits)
told([torch.softmax(output[0].detach(), 0).tolist() for output in (result.baseline, result.output)])
"""


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "choice", MODEL) as score:
        yield score


def test_the_number_told_of_is_one_choice_for_lanes_headline_and_curve(score):
    score.rest()
    score.root.get_by_role("button", name="ripple").click()
    score.drag(score.slider("update gate shift"), 0.8)
    score.settled()
    above = score.root.get_by_label("answer shown after every step", exact=True)
    below = score.root.get_by_label("answer shown after every step, in the ripple")
    curve = score.dial("update gate").locator(".rnnwidget-words-answers")
    before, after = score.ask(CHANCES)
    for menu, other in ((above, below), (below, above)):
        for place, name in enumerate(("sun", "rain", "snow")):
            menu.select_option(f"P({name})")
            expect(other).to_have_value(f"P({name})")
            expect(score.headline).to_have_text(re.compile(rf"^P\({name}\)"))
            assert numbers(score.headline.inner_text())[:2] == pytest.approx([before[place], after[place]], abs=0.006)
            expect(curve).to_contain_text(f"P({name})")
            expect(score.root.locator(".rnnwidget-picked .rnnwidget-bar-name")).to_have_text(name)
    score.root.get_by_role("button", name="ripple").click()


def test_a_drag_over_the_heatmap_brushes_steps_and_a_click_selects_a_unit(score):
    score.rest()
    order = score.order()
    score.page.mouse.click(*score.cell_box(2, 5, 12, 20))
    expect(score.root.locator(".rnnwidget-pinned")).to_have_text(f"#{order[2]}")
    score.page.mouse.move(*score.cell_box(4, 6, 12, 20))
    score.page.mouse.down()
    score.page.mouse.move(*score.cell_box(9, 11, 12, 20), steps=5)
    score.page.mouse.up()
    expect(score.root.get_by_role("radio", name="brushed, 6 to 11")).to_be_checked()
    score.settled()
    assert score.ask("told([inspector.units, inspector.steps])") == [[order[2]], [6, 12]]
    score.page.mouse.click(*score.cell_box(9, 15, 12, 20))
    expect(score.root.locator(".rnnwidget-pinned")).to_have_text(f"#{order[9]}")
    score.settled()
    assert score.ask("told([inspector.units, inspector.steps])") == [[order[9]], [6, 12]]


def test_the_row_under_the_pointer_is_named_beside_it_and_in_the_readout(score):
    score.rest()
    order, traced = score.order(), score.root.locator(".rnnwidget-unit-name")
    expect(traced).to_have_count(1)
    unit = traced.inner_text()
    here = score.root.locator(".rnnwidget-unit-here")
    row = next(row for row in (3, 8) if f"#{order[row]}" != unit)
    score.page.mouse.move(*score.cell_box(row, 4, 12, 20))
    expect(here).to_have_text(f"#{order[row]}")
    expect(score.readout).to_contain_text(f"cursor: unit {order[row]} · step 4")
    score.page.mouse.move(*score.cell_box(order.index(int(unit[1:])), 4, 12, 20))
    expect(here).to_be_hidden()
    expect(traced).to_have_text(unit)
