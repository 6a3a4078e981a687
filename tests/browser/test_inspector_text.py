"""Tokens: text and never HTML, labels that never overlap, nothing that a screen reader trips over."""

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.models import IMPORTS
from tests.browser.score import opened

AXE = Path(__file__).parents[2] / "js" / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "<img src=x onerror=alert(1)>"
LONG = (
    IMPORTS
    + f"""
model = nn.LSTM(4, 16, batch_first=True)
inputs = torch.randn(1, 200, 4)
words = "it was not bad at all , I would watch extraordinarily long-winded films again , 真的 很 好看 !".split()
tokens = [[words[step % len(words)] for step in range(200)]]
tokens[0][3], tokens[0][4] = {HOSTILE!r}, "<script>window.hacked = 1</script>"
inspector = rw.RNNInspector(model, inputs=inputs, tokens=tokens)
inspector
"""
)
OVERLAPS = """(field) => {
    const boxes = [...field.querySelectorAll('.rnnwidget-token')].map((node) => node.getBoundingClientRect());
    const {left, right} = field.getBoundingClientRect();
    boxes.sort((a, b) => a.left - b.left);
    return {
        count: boxes.length,
        overlaps: boxes.slice(1).filter((box, index) => box.left < boxes[index].right).length,
        outside: boxes.filter((box) => box.left < left - 1 || box.right > right + 1).length,
    };
}"""


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "text", LONG) as score:
        yield score


def test_a_token_is_text(score):
    dialogs = []
    score.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    expect(score.root.locator(".rnnwidget-text [data-step='3']")).to_have_text(HOSTILE)
    score.root.locator(".rnnwidget-text [data-step='3']").click()
    expect(score.readout).to_contain_text(f"step 3 “{HOSTILE}”")
    expect(score.root.locator(".rnnwidget-token.rnnwidget-at-cursor")).to_have_text(HOSTILE)
    score.heatmap.focus()
    score.page.keyboard.press("ArrowRight")
    expect(score.spoken).to_contain_text("<script>window.hacked = 1</script>")
    assert score.root.locator("img, script").count() == 0
    assert score.page.evaluate("() => window.hacked") is None
    assert dialogs == []


@pytest.mark.parametrize("width", [1400, 700])
def test_token_labels_never_overlap(score, width):
    score.page.set_viewport_size({"width": width, "height": 1400})
    score.notebook.command("application:toggle-left-area") if width == 700 else None
    field = score.root.locator(".rnnwidget-tokens .rnnwidget-field")
    word = score.root.locator(".rnnwidget-token.rnnwidget-at-cursor")
    words = score.root.locator(".rnnwidget-text span")
    counts = set()
    for step in (0, 3, 17, 100, 198, 199):
        words.nth(step).dispatch_event("click")
        expect(word).to_have_text(words.nth(step).inner_text())
        found = field.evaluate(OVERLAPS)
        assert found["overlaps"] == found["outside"] == 0
        counts.add(found["count"])
    assert min(counts) >= 4
    assert max(counts) < 100


@pytest.mark.parametrize("edited", [False, True])
def test_axe_finds_nothing_serious(score, edited):
    score.page.set_viewport_size({"width": 1400, "height": 1400})
    if edited:
        score.drag(score.slider("forget gate shift"), 0.8)
        score.settled()
    score.page.evaluate(AXE.read_text())
    violations = score.page.evaluate("() => axe.run('.rnnwidget').then((result) => result.violations)")
    serious = [
        (violation["id"], [node["html"] for node in violation["nodes"]])
        for violation in violations
        if violation["impact"] in {"serious", "critical"}
    ]
    assert serious == []


def test_no_text_of_the_score_runs_into_another(score):
    score.page.set_viewport_size({"width": 1400, "height": 1400})
    boxes = score.root.locator(".rnnwidget-legend, .rnnwidget-header, .rnnwidget-panel-head").evaluate_all(
        """(groups) => groups.map((group) => [...group.querySelectorAll('*')]
            .filter((node) => node.checkVisibility() && [...node.childNodes].some((child) => child.nodeType === 3))
            .map((node) => { const range = document.createRange(); range.selectNodeContents(node);
                const {left, right, top, bottom} = range.getBoundingClientRect();
                return {text: node.textContent, left, right, top, bottom}; }))"""
    )
    for group in boxes:
        for one, other in itertools.combinations(group, 2):
            apart = (
                one["right"] <= other["left"] + 1
                or other["right"] <= one["left"] + 1
                or one["bottom"] <= other["top"] + 1
                or other["bottom"] <= one["top"] + 1
            )
            assert apart or one["text"] in other["text"] or other["text"] in one["text"], (one, other)
