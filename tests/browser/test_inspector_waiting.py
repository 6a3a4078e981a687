"""An inspector without inputs says what it found, and the model's next call fills it."""

import re

from playwright.sync_api import expect

from tests.browser.models import SENTIMENT
from tests.browser.score import opened

ATTACH = "inspector = rw.RNNInspector(model)\ninspector"


def test_it_waits_and_the_next_call_fills_it(jupyter, chromium):
    with opened(jupyter, chromium, "waiting", SENTIMENT, ATTACH) as score:
        waiting = score.root.locator(".rnnwidget-waiting")
        expect(score.root.locator(".rnnwidget-title").first).to_have_text("Sentiment")
        expect(waiting.locator("td")).to_have_text(["lstm", "LSTM", "2 × 24", "both directions", "20,736"])
        expect(waiting).to_contain_text("21,330 parameters in the whole model")
        expect(waiting.locator(".rnnwidget-hint")).to_contain_text("model(x)")
        expect(score.heatmap).to_be_hidden()
        assert score.ask("told([sum(p.numel() for p in module.parameters()) for module in (model.lstm, model)])") == [
            20736,
            21330,
        ]

        score.tell("output = model(*inputs)")
        expect(score.heatmap).to_be_visible()
        expect(waiting).to_be_hidden()
        score.settled()
        expected = score.ask("cells('hidden')")
        assert score.heatmap.get_attribute("aria-label").startswith(
            "heatmap: hidden state, layer 0→; 24 units by 18 steps"
        )
        score.page.mouse.move(*score.cell_box(3, 4, 24, 18))
        unit = score.order()[3]
        expect(score.readout).to_have_text(
            re.compile(rf"unit {unit} · step 4 · h = {f'{expected[unit][4]:.3f}'.replace('-', '−')}")
        )
        assert score.ask("told(len(model._forward_hooks) + len(model.lstm._forward_hooks))") > 0

        score.tell("inspector.close()")
        expect(score.notebook.notebook.locator(".rnnwidget")).to_have_count(0)
        assert (
            score.ask(
                "told(sum(len(hooks) for module in model.modules()\n"
                "         for hooks in (module._forward_hooks, module._forward_pre_hooks)))"
            )
            == 0
        )
