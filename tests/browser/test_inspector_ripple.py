"""The ripple: opened in the score or standing in a cell of its own, it is the engine's change of every layer."""

import pytest
from playwright.sync_api import expect

from tests.browser.models import IMPORTS
from tests.browser.score import numbers, opened

MODEL = (
    IMPORTS
    + """
class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 12, num_layers=3, batch_first=True)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])

model = Reader()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.mul_(2)
inputs = torch.randn(1, 12, 4)
tokens = [[f"word{step}" for step in range(12)]]
inspector = rw.RNNInspector(model, inputs=inputs, tokens=tokens, logits=True, labels=["no", "yes"])
inspector
"""
)
CHANGES = """
result = rw.intervene(model, inputs, inspector.edits)
told([float((result.recording[name].hidden - result.baseline_recording[name].hidden).abs().max())
      for name in reversed(inspector.recording.layers)])
"""
ANSWERS = """
with torch.no_grad():
    lines = [[], []]
    for line, edits in zip(lines, ([], inspector.edits)):
        with rw.edited(model, *edits):
            line += [float(torch.softmax(model(inputs[:, :read])[0], 0)[1]) for read in range(1, 13)]
told(lines)
"""


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "ripple", MODEL, "inspector.ripple()") as score:
        yield score


def largest(root):
    texts = root.locator(".rnnwidget-ripple-band .rnnwidget-margin").all_inner_texts()
    return [0 if text == "no change" else numbers(text)[-1] for text in texts]


def test_it_opens_in_place_and_shows_the_change_of_every_layer(score):
    score.rest()
    button = score.root.get_by_role("button", name="ripple")
    button.focus()
    score.page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(score.root.locator(".rnnwidget-ripple-band")).to_have_count(3)
    assert largest(score.root) == [0, 0, 0]
    score.tell("inspector.edits = [rw.shift('input_gate', -6.0, layer='lstm.l0', steps=slice(2, 4))]")
    score.settled()
    expected = score.ask(CHANGES)
    assert expected[0] > 0.02
    assert largest(score.root) == pytest.approx(expected, abs=0.006)
    expect(score.root.locator(".rnnwidget-ripple-name")).to_have_text(["2→", "1→", "0→"])
    button.click()
    expect(score.root.locator(".rnnwidget-ripple-band")).to_have_count(0)


def test_the_one_in_another_cell_follows(score):
    score.rest()
    alone = score.page.locator(".rnnwidget-ripple-alone")
    expect(alone.locator(".rnnwidget-status")).to_contain_text("Nothing is changed")
    score.tell("inspector.edits = [rw.clamp('forget_gate', 1.0, layer='lstm.l1')]")
    expect(alone.locator(".rnnwidget-edits li")).to_have_text(["forget gate clamped to 1.00 · all units · lstm.l1"])
    expected = score.ask(CHANGES)
    score.page.wait_for_function("(node) => Number(node.dataset.drawn) >= 2", arg=alone.element_handle())
    expect(alone.locator(".rnnwidget-ripple-band .rnnwidget-margin").last).to_have_text("no change")
    assert largest(alone) == pytest.approx(expected, abs=0.006)
    alone.get_by_role("radio", name="cell state").click()
    expect(alone.get_by_role("radio", name="cell state")).to_have_attribute("aria-checked", "true")
    expect(alone.locator(".rnnwidget-ripple-head")).to_contain_text("Δc")


def test_the_lane_has_the_answer_after_every_step(score):
    score.rest()
    score.tell("inspector.edits = [rw.shift('input_gate', -6.0, layer='lstm.l0', steps=slice(2, 4))]")
    score.settled()
    lane = score.root.locator(".rnnwidget-lanes > .rnnwidget-answer-lane")
    expect(lane).to_have_attribute("data-state", "done")
    before, after = score.ask(ANSWERS)
    for step in (0, 3, 11):
        score.root.locator(".rnnwidget-text span").nth(step).dispatch_event("click")
        expect(score.readout).to_contain_text(f"step {step} ")
        shown = numbers(lane.locator(".rnnwidget-margin").inner_text())
        assert shown == pytest.approx([before[step], after[step]], abs=0.006)
