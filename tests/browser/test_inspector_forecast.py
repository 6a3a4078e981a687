"""A forecaster of packed sequences: its values at every step beside the truth, a pulse of its input, a gate by key."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_picture_is_the_engines, edits_in_force
from tests.browser.models import IMPORTS
from tests.browser.score import number, opened

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"
FORECAST = (
    IMPORTS
    + """
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

class Forecaster(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, packed):
        return 20 + 10 * self.head(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])

model, lengths = Forecaster(), [24, 40, 30]
with torch.no_grad():
    for parameter in model.lstm.parameters():
        parameter.mul_(2)
steps = torch.arange(40.0)
stimulus = torch.stack([torch.sin(steps / 3).expand(3, 40), torch.zeros(3, 40)], dim=-1).clone()
stimulus[0, 8:12, 1] = 1

def packed(x):
    return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)

inputs = (packed(stimulus),)
truth = model(*inputs).detach() + torch.randn(3, 40, 2)
inspector = rw.RNNInspector(model, inputs=inputs, targets=truth)
inspector
"""
)
VALUES = """
def after(x, read, channel):
    own = pack_padded_sequence(x[:1, :read], [read], batch_first=True)
    with torch.no_grad(), rw.edited(model, *inspector.edits):
        return float(model(own)[0, -1, channel])

def before(x, read, channel):
    own = pack_padded_sequence(x[:1, :read], [read], batch_first=True)
    with torch.no_grad():
        return float(model(own)[0, -1, channel])
"""


@pytest.fixture(scope="module")
def notebook(jupyter, chromium):
    with opened(jupyter, chromium, "forecast", FORECAST) as score:
        score.tell(VALUES)
        yield score


@pytest.fixture
def score(notebook):
    notebook.tell("inspector.reset_inputs()")
    notebook.rest()
    return notebook


def handle(score, gate):
    return score.root.get_by_role("slider", name=f"line of the {gate}")


def test_the_lane_has_the_forecast_at_every_step_beside_the_truth(score):
    score.tell("inspector.edits = [rw.shift('forget_gate', 4.0, steps=slice(6, 15))]")
    score.settled()
    lane = score.root.locator(".rnnwidget-lanes > .rnnwidget-answer-lane")
    expect(lane).to_have_attribute("data-state", "done")
    lane.scroll_into_view_if_needed()
    field = lane.locator(".rnnwidget-field").bounding_box()
    for channel in (0, 1):
        lane.get_by_role("combobox", name="answer shown after every step").select_option(f"output {channel}")
        for step in (3, 10, 23):
            score.page.mouse.move(field["x"] + (step + 0.5) * field["width"] / 24, field["y"] + 20)
            expect(score.readout).to_contain_text(f"step {step} ")
            shown = {
                label.split()[0]: number(label.split()[1])
                for label in lane.locator(".rnnwidget-line-label").all_inner_texts()
            }
            own = f"[f(stimulus, {step + 1}, {channel}) for f in (before, after)]"
            wanted = score.ask(f"told([*{own}, float(truth[0, {step}, {channel}])])")
            assert [shown[name] for name in ("before", "after", "truth")] == pytest.approx(wanted, abs=0.006)


def test_a_pulse_of_a_packed_sequence_is_dragged(score):
    score.tell("inspector.steps = (8, 12)")
    zone = score.root.locator(".rnnwidget-pulse-zone").nth(1)
    expect(zone).to_be_visible()
    score.drag_sideways(zone, widths=5 / 4)
    expect(score.root.locator(".rnnwidget-stimulus-foot")).to_contain_text("input 1, steps 8 to 11, moved by +5")
    score.settled()
    same = score.ask(
        "other = stimulus.clone(); other[0, 8:12, 1] = 0; other[0, 13:17, 1] = 1\n"
        "told([torch.equal(inspector.inputs[0].data, packed(other).data),\n"
        "      bool(torch.allclose(inspector.output, model(packed(other)), atol=1e-5)), inspector.steps])"
    )
    assert same == [True, True, [13, 17]]
    gain = score.root.get_by_label("input 1: scale the brushed steps by")
    score.tell("inspector.steps = (26, 30)")
    expect(score.chosen("steps")).to_have_text("26\N{EN DASH}29")
    gain.fill("2")
    gain.press("Enter")
    expect(score.message).to_contain_text("steps 26 to 29 lie beyond the end of sequence 0, which has 24 steps")


def test_a_gates_line_is_moved_by_key(score):
    score.tell("inspector.steps, inspector.units = (5, 12), [3]")
    line = handle(score, "forget gate")
    expect(line).to_have_accessible_name("line of the forget gate, unit 3, steps 5 to 11: arrows clamp it")
    mean = score.ask("told(inspector.recording['lstm.l0']['f'][5:12, 0, 3].mean().item())")
    assert float(line.input_value()) == pytest.approx(mean, abs=0.006)
    line.focus()
    score.page.keyboard.press("End")
    for _ in range(3):
        score.page.keyboard.press("ArrowDown")
    expect(score.edits).to_have_text(["forget gate clamped to 0.97 · unit 3 · lstm.l0 · steps 5 to 11"])
    expect(line).to_be_focused()
    expect(line).to_have_attribute("aria-valuetext", "0.97 on average")
    assert_picture_is_the_engines(score, "hidden")
    assert edits_in_force(score) == [["clamp", "forget_gate", 0.97, "lstm.l0", [3]]]
    expect(score.slider("forget gate clamp")).to_have_value("0.97")
    score.page.keyboard.press("Tab")
    expect(handle(score, "output gate")).to_be_focused()
    score.page.keyboard.press("Control+z")
    expect(score.edits).to_have_text(["no edits: the model runs as it is"])


def test_a_gates_line_is_moved_by_a_finger(score):
    score.tell("inspector.steps, inspector.units = (5, 12), [3]")
    line = handle(score, "forget gate")
    expect(line).to_be_visible()
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    scrolled = "() => document.querySelector('.jp-WindowedPanel-outer').scrollTop"
    at = score.page.evaluate(scrolled)
    fingers = score.page.context.new_cdp_session(score.page)
    fingers.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for by in range(1, 30):
        fingers.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y + by}]})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(score.edits).to_have_text(
        [re.compile(r"forget gate clamped to 0\.\d\d · unit 3 · lstm\.l0 · steps 5 to 11")]
    )
    assert score.page.evaluate(scrolled) == at
    score.page.keyboard.press("Control+z")


def test_axe_finds_nothing_serious_with_a_brush_and_the_choice_of_channels(score):
    score.tell("inspector.steps = (5, 12)")
    handle(score, "forget gate").focus()
    score.page.evaluate(AXE.read_text())
    violations = score.page.evaluate("() => axe.run('.rnnwidget').then((result) => result.violations)")
    assert [found["id"] for found in violations if found["impact"] in {"serious", "critical"}] == []
