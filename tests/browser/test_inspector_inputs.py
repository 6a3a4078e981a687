"""The input changed by hand: words retyped, inserted and removed, a pulse dragged; always a run on the new input."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.models import IMPORTS
from tests.browser.score import numbers, opened

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"
WORDS = (
    IMPORTS
    + """
words = "it was not bad at all".split()
numbers = {word: number for number, word in enumerate([*words, "good", "really"])}

class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 5)
        self.gru = nn.GRU(5, 10, batch_first=True)
        self.head = nn.Linear(10, 2)

    def forward(self, x):
        return self.head(self.gru(self.embedding(x))[0][:, -1])

def encode(lists):
    return torch.tensor([[numbers[word] for word in words] for words in lists])

model = Reader()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.mul_(2)
inspector = rw.RNNInspector(
    model, inputs=encode([words]), tokens=[words], encode=encode, logits=True, labels=["no", "yes"]
)
inspector
"""
)
PULSE = (
    IMPORTS
    + """
model = nn.Sequential()
class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.RNN(2, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])

model = Counter()
inputs = torch.zeros(1, 30, 2)
inputs[0, 6:10, 0] = 1
inspector = rw.RNNInspector(model, inputs=inputs)
inspector
"""
)
FRESH = """
with torch.no_grad():
    told([float(torch.softmax(model(encode([text]))[0], 0)[1]) for text in (words, inspector.tokens[0])])
"""


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "inputs", WORDS) as score:
        yield score


@pytest.fixture
def text(score):
    score.tell("inspector.reset_inputs()")
    line = score.root.locator(".rnnwidget-text")
    expect(line).to_have_text("it was not bad at all")
    return line


def assert_fresh(score, line, words):
    expect(line).to_have_text(words)
    score.settled()
    before, after = score.ask(FRESH)
    assert numbers(score.headline.inner_text()) == pytest.approx([before, after], abs=0.006)


def test_a_word_is_clicked_and_retyped(score, text):
    text.locator("[data-step='3']").click()
    editor = score.root.locator(".rnnwidget-word-editor input")
    expect(editor).to_be_focused()
    score.page.keyboard.type("good")
    score.page.keyboard.press("Enter")
    assert_fresh(score, text, "it was not good at all")
    expect(score.root.locator(".rnnwidget-passage-foot")).to_contain_text("“bad” → “good”")
    score.root.get_by_role("button", name="reset input").click()
    expect(text).to_have_text("it was not bad at all")


def test_words_are_removed_and_inserted_from_the_keyboard(score, text):
    text.focus()
    text.locator("[data-step='2']").dispatch_event("pointerover")
    score.page.keyboard.press("Delete")
    assert_fresh(score, text, "it was bad at all")
    expect(text).to_be_focused()
    score.page.keyboard.press("+")
    score.page.keyboard.type("really")
    score.page.keyboard.press("Enter")
    assert_fresh(score, text, "it was bad really at all")
    score.page.keyboard.press("Enter")
    expect(score.root.locator(".rnnwidget-word-editor input")).to_be_focused()
    score.page.keyboard.press("Escape")
    expect(text).to_be_focused()
    assert score.notebook.page.locator(".jp-Notebook .jp-CodeCell").count() == 1


def test_a_word_that_encode_refuses_is_told_and_the_picture_stays(score, text):
    picture = score.picture()
    text.locator("[data-step='3']").click()
    score.page.keyboard.type("<b>xyzzy</b>")
    score.page.keyboard.press("Enter")
    expect(score.message).to_have_text("ValueError: encode failed on the words: KeyError: '<b>xyzzy</b>'")
    expect(text).to_have_text("it was not bad at all")
    assert score.picture() == picture
    text.locator("[data-step='3']").click()
    score.page.keyboard.type("good")
    score.page.keyboard.press("Enter")
    expect(score.message).to_have_text("")


def test_a_slider_pressed_while_a_word_is_typed_moves_and_the_word_is_read(score, text):
    text.locator("[data-step='3']").click()
    score.page.keyboard.type("good")
    slider = score.slider("update gate shift")
    box = slider.bounding_box()
    slider.click(position={"x": 0.75 * box["width"], "y": box["height"] / 2})
    expect(text).to_have_text("it was not good at all")
    expect(score.edits).to_have_count(1)
    score.settled()
    value = float(slider.input_value())
    assert value > 1
    assert score.ask("told([edit.value for edit in inspector.edits])") == [value]
    same = "told(bool(torch.allclose(rw.intervene(model, inspector.inputs, inspector.edits).output, inspector.output)))"
    assert score.ask(same)
    score.rest()


def test_axe_finds_nothing_serious_while_a_word_is_retyped(score, text):
    text.locator("[data-step='1']").click()
    expect(score.root.locator(".rnnwidget-word-editor input")).to_be_focused()
    score.page.evaluate(AXE.read_text())
    violations = score.page.evaluate("() => axe.run('.rnnwidget').then((result) => result.violations)")
    serious = [found["id"] for found in violations if found["impact"] in {"serious", "critical"}]
    score.page.keyboard.press("Escape")
    assert serious == []


def test_a_pulse_is_dragged_inside_the_brush(jupyter, chromium):
    with opened(jupyter, chromium, "pulse", PULSE) as score:
        score.tell("inspector.steps = (6, 10)")
        zone = score.root.locator(".rnnwidget-pulse-zone").first
        expect(zone).to_be_visible()
        score.drag_sideways(zone, widths=5 / 4)
        expect(score.root.locator(".rnnwidget-stimulus-foot")).to_contain_text("steps 6 to 9, moved by +5")
        score.settled()
        moved = score.ask("told([inspector.inputs[0, :, 0].nonzero().flatten().tolist(), inspector.steps])")
        assert moved == [[11, 12, 13, 14], [11, 15]]
        gain = score.root.get_by_label("input 0: scale the brushed steps by")
        for factor in ("0.5", "2"):
            gain.fill(factor)
            gain.press("Enter")
            told = f"input 0, steps 6 to 9, moved by +5 and scaled by {float(factor):.2f} · drag a pulse"
            expect(score.root.locator(".rnnwidget-stimulus-foot")).to_contain_text(told)
            expect(gain).to_have_value(factor)
        score.settled()
        assert score.ask("told(inspector.inputs[0, 11:15, 0].tolist())") == [2, 2, 2, 2]
        same = "told(bool(torch.allclose(inspector.output, model(inspector.inputs))))"
        assert score.ask(same)
