"""Layers that a model steps itself: a cell in a loop, and a class of the person's own once its step is registered."""

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_a_dial_moves_the_answer_as_the_engine_says, assert_picture_is_the_engines
from tests.browser.models import IMPORTS
from tests.browser.score import opened

MODEL = """
class CTRNN(nn.Module):
    def __init__(self, inputs, units, alpha):
        super().__init__()
        self.input2h, self.h2h = nn.Linear(inputs, units), nn.Linear(units, units)
        self.alpha = alpha

    def forward(self, x):
        h, rates = x.new_zeros(x.size(1), self.h2h.in_features), []
        for x_t in x:
            h = (1 - self.alpha) * h + self.alpha * torch.relu(self.input2h(x_t) + self.h2h(h))
            rates.append(h)
        return torch.stack(rates), h


@rw.register(CTRNN, gates={"drive": "relu"})
def step(module, x, h, at):
    drive = at.gate("drive", module.input2h(x) + module.h2h(h))
    return (1 - module.alpha) * h + module.alpha * drive


class Decision(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 8)
        self.rates = CTRNN(8, 12, alpha=0.4)
        self.head = nn.Linear(12, 1)

    def forward(self, stimulus):
        state, seen = None, []
        for now in stimulus:
            state = self.cell(now, state)
            seen.append(state[0])
        rates, _ = self.rates(torch.stack(seen))
        return self.head(rates[-1])


model, inputs = Decision(), 2 * torch.randn(14, 2, 3)
inspector = rw.RNNInspector(model, inputs=inputs, targets=torch.zeros(2, 1), loss=nn.MSELoss())
inspector
"""
LAYERS = {
    "cell": ("forget gate shift", "forget gate", "forget_gate"),
    "rates": ("drive shift", "drive", "drive"),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_dial_changes_the_answer_as_the_engine_says(jupyter, chromium, layer):
    label, shown, site = LAYERS[layer]
    with opened(jupyter, chromium, f"steps-{layer}", IMPORTS + MODEL) as score:
        score.ask(f"inspector.layer = {layer!r}\ntold(inspector.layer)")
        expect(score.slider(label)).to_be_visible()
        assert_a_dial_moves_the_answer_as_the_engine_says(score, label, layer)
        score.choose("show in the heatmap", shown)
        assert_picture_is_the_engines(score, site)
        expect(score.root.locator(".rnnwidget-equation")).to_be_visible()
