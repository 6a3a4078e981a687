"""A slider dragged while a cell trains the model: the page follows, and training does not notice."""

import re

from playwright.sync_api import expect

from tests.browser.agreement import assert_picture_is_the_engines
from tests.browser.models import SENTIMENT
from tests.browser.score import opened

ATTACHED = """
import copy

untouched = copy.deepcopy(model)
inspector = rw.RNNInspector(model)
inspector
"""
# The loop goes on until the page has painted a picture with an edit in it, so that the drag falls inside it.
TRAINING = """
def training(model, keep_going):
    torch.manual_seed(11)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    dropout, criterion, losses = nn.Dropout(0.2), nn.CrossEntropyLoss(), []
    while keep_going(len(losses)):
        optimizer.zero_grad()
        loss = criterion(dropout(model(*inputs)), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses

def until_the_drag_is_seen(step):
    if step == 20:
        print("training")
    return step < 20000 and not (inspector.edits and score_widget().drawn > edited_at[0] > 0)

edited_at = [0]
inspector.observe(lambda change: edited_at.__setitem__(0, score_widget()._frame["version"] + 2), "edits")
losses = training(model, until_the_drag_is_seen)
"""


def test_a_drag_in_a_training_loop_changes_the_page_and_not_the_training(jupyter, chromium):
    with opened(jupyter, chromium, "training", SENTIMENT, ATTACHED, "") as score:
        notebook = score.notebook
        score.tell("output = model(*inputs)")
        expect(score.heatmap).to_be_visible()
        notebook.begin(2, TRAINING)
        expect(notebook.output(2)).to_contain_text("training")
        value = score.drag(score.slider("forget gate shift"), 0.85)
        expect(score.edits).to_have_text([re.compile(rf"^forget gate shifted by \+{value:.2f} ")])
        notebook.wait_until_idle()
        assert notebook.failures() == []
        steps = score.ask("told(len(losses))")
        assert 20 < steps < 20000
        assert score.ask(
            "again = training(untouched, lambda step: step < len(losses))\n"
            "same = zip(model.parameters(), untouched.parameters())\n"
            "told([again == losses, all(torch.equal(one, other) for one, other in same)])"
        ) == [True, True]

        score.tell("output = model(*inputs)")
        expect(score.message).to_have_text("")
        assert_picture_is_the_engines(score, "hidden")
