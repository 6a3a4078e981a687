"""GRU and vanilla RNN: their own sliders, sites and equations, and the engine's answer."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_a_dial_moves_the_answer_as_the_engine_says, assert_picture_is_the_engines
from tests.browser.models import IMPORTS
from tests.browser.score import opened

REGRESSION = """
class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.core = {core}
        self.head = nn.Linear(10, 1)

    def forward(self, x):
        states, _ = self.core(x)
        return self.head(states[:, -1])


model = Regression()
with torch.no_grad():
    for parameter in model.core.parameters():
        parameter.mul_(2)
inputs = torch.randn(2, 16, 3)
inspector = rw.RNNInspector(model, inputs=inputs, targets=torch.zeros(2, 1), loss=nn.MSELoss())
inspector
"""
CASES = {
    "rnn": ("nn.RNN(3, 10, batch_first=True)", "hidden shift", ["hidden h"], "hidden", r"h.*tanh\(\s?a"),
    "gru": (
        "nn.GRU(3, 10, batch_first=True)",
        "update gate shift",
        ["reset gate r", "update gate z", "candidate n"],
        "update_gate",
        r"h.*\(1\s−\sz\).*n.*z.*h₋",
    ),
}


@pytest.mark.parametrize("family", CASES)
def test_a_dial_changes_the_answer_as_the_engine_says(jupyter, chromium, family):
    core, label, dials, site, equation = CASES[family]
    with opened(jupyter, chromium, family, IMPORTS + REGRESSION.format(core=core)) as score:
        expect(score.root.locator(".rnnwidget-dial-name")).to_have_text(dials)
        expect(score.root.locator(".rnnwidget-stimuli canvas, .rnnwidget-inputs canvas").first).to_be_visible()
        assert_a_dial_moves_the_answer_as_the_engine_says(score, label, "core.l0")
        expect(score.root.locator(".rnnwidget-equation")).to_have_text(re.compile(equation))
        name = "hidden state" if site == "hidden" else site.replace("_", " ")
        score.choose("show in the heatmap", name)
        assert_picture_is_the_engines(score, site)
