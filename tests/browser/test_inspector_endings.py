"""A model that breaks down under a drag, and an inspector that is closed."""

import os
import re
import signal

from playwright.sync_api import expect

from tests.browser.agreement import assert_answer_is_the_engines, assert_picture_is_the_engines
from tests.browser.models import INSPECTOR, SENTIMENT
from tests.browser.score import opened

STILL = "the kernel is gone: a still picture"
SAVES_WIDGETS = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
GONE = re.compile("^(the kernel is gone: a still picture|no answer from the kernel: the last picture)$")


def test_an_error_is_told_the_last_good_picture_stays_and_success_clears_it(jupyter, chromium):
    with opened(jupyter, chromium, "error", SENTIMENT, INSPECTOR) as score:
        slider = score.slider("forget gate shift")
        score.drag(slider, 0.7)
        score.settled()
        good, headline = score.picture(), score.headline.inner_text()
        score.tell("model.failing[0] = True")
        score.drag(slider, 0.2)
        expect(score.message).to_have_text("RuntimeError: the model broke down")
        expect(score.message).to_be_visible()
        expect(score.root).to_have_attribute("data-state", "error")
        expect(score.root).to_have_attribute("data-busy", "false")
        assert score.picture() == good
        assert score.headline.inner_text() == headline

        score.tell("model.failing[0] = False")
        value = score.drag(slider, 0.9)
        expect(score.edits).to_have_text([f"forget gate shifted by +{value:.2f} · all units · lstm.l0"])
        expect(score.message).to_have_text("")
        expect(score.root).to_have_attribute("data-state", "ready")
        assert_answer_is_the_engines(score)
        assert_picture_is_the_engines(score, "hidden")


def test_close_takes_the_views_away_and_every_hook_off(jupyter, chromium):
    with opened(jupyter, chromium, "close", SENTIMENT, INSPECTOR, "inspector") as score:
        score.drag(score.slider("forget gate shift"), 0.7)
        score.settled()
        score.tell("parameters = {name: value.clone() for name, value in model.state_dict().items()}")
        score.tell("inspector.close(); inspector.close()")
        expect(score.notebook.notebook.locator(".rnnwidget")).to_have_count(0)
        assert (
            score.ask(
                "told(sum(len(hooks) for module in model.modules()\n"
                "         for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)))"
            )
            == 0
        )
        assert score.ask(
            "model(*inputs)\n"
            "told(all(torch.equal(value, parameters[name]) for name, value in model.state_dict().items()))"
        )
        score.notebook.run_cell(2)
        expect(score.notebook.output(2)).to_contain_text("closed")
        assert score.notebook.failures() == []


def test_a_kernel_that_died_is_told(jupyter, chromium):
    with opened(jupyter, chromium, "died", SENTIMENT, INSPECTOR) as score:
        score.drag(score.slider("forget gate shift"), 0.7)
        score.settled()
        good, activity = score.picture(), score.root.locator(".rnnwidget-header .rnnwidget-activity")
        os.kill(score.ask("import os; told(os.getpid())"), signal.SIGKILL)
        slider = score.slider("forget gate shift")
        slider.evaluate("(input) => { input.value = 1; input.dispatchEvent(new Event('input', {bubbles: true})); }")
        expect(activity).to_have_text(GONE, timeout=30_000)
        assert score.picture() == good


def assert_still(score):
    expect(score.root).to_have_attribute("data-state", "closed")
    expect(score.root.locator(".rnnwidget-header .rnnwidget-activity")).to_have_text(STILL)
    assert score.root.locator(".rnnwidget-panel").evaluate("(panel) => panel.inert")


def test_a_kernel_that_is_shut_down_under_a_drag_leaves_a_still_picture(jupyter, chromium):
    with opened(jupyter, chromium, "shut", SENTIMENT, INSPECTOR) as score:
        score.drag(score.slider("forget gate shift"), 0.7)
        score.settled()
        good, edits = score.picture(), score.edits.all_inner_texts()
        score.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        score.drag(score.slider("forget gate shift"), 0.2)
        assert_still(score)
        assert (score.picture(), score.edits.all_inner_texts()) == (good, edits)
        assert edits[0].startswith(
            f"forget gate shifted by +{float(score.slider('forget gate shift').input_value()):.2f}"
        )
        # JupyterLab's own: it could not send what the first move asked for.
        assert all("widget sync message" in error for error in score.notebook.errors)
        score.notebook.errors.clear()


def test_a_notebook_saved_with_its_widgets_shows_the_last_picture_without_a_kernel(jupyter, chromium):
    with opened(jupyter, chromium, "saved", SENTIMENT, INSPECTOR) as score:
        score.drag(score.slider("forget gate shift"), 0.7)
        score.settled()
        good, headline = score.picture(), score.headline.inner_text()
        score.notebook.command(SAVES_WIDGETS)
        try:
            score.notebook.command("docmanager:save")
            score.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
            score.page.reload()
            expect(score.root).to_have_attribute("data-drawn", re.compile(r"\d"))
            assert score.picture() == good
            assert score.headline.inner_text() == headline
            assert_still(score)
        finally:
            score.notebook.command(SAVES_WIDGETS)
