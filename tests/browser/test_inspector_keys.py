"""Everything the mouse does, the keyboard does; and JupyterLab's own shortcuts keep off the score."""

import pytest
from playwright.sync_api import expect

from tests.browser.models import INSPECTOR, SENTIMENT, WORDS
from tests.browser.score import opened

CELLS = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
ACTIVE = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"


@pytest.fixture(scope="module")
def notebook(jupyter, chromium):
    with opened(jupyter, chromium, "keys", SENTIMENT, INSPECTOR) as score:
        yield score


@pytest.fixture
def score(notebook):
    notebook.rest()
    notebook.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.mode = 'command' }")
    return notebook


def test_arrows_move_the_cursor_and_the_live_region_speaks_the_cell(score):
    press = score.page.keyboard.press
    expected, order = score.ask("cells('hidden')"), score.order()
    score.heatmap.focus()
    press("Home")
    for _ in range(24):
        press("ArrowUp")
    for key, row, step in [
        ("ArrowRight", 0, 1),
        ("ArrowRight", 0, 2),
        ("ArrowDown", 1, 2),
        ("PageDown", 11, 2),
        ("ArrowLeft", 11, 1),
        ("ArrowUp", 10, 1),
        ("End", 10, 17),
    ]:
        press(key)
        value = f"{expected[order[row]][step]:.3f}".replace("-", "−")
        word = WORDS[step]
        text = f"unit {order[row]} · step {step} “{word}” · h = {value}"
        expect(score.spoken).to_have_text(text)
        expect(score.readout).to_have_text(f"cursor: {text}")
        expect(score.root.locator(".rnnwidget-text .rnnwidget-at-cursor")).to_have_text(word)


def test_enter_pins_shift_enter_adds_and_escape_clears(score):
    press = score.page.keyboard.press
    order = score.order()
    names = score.root.locator(".rnnwidget-unit-name")
    score.heatmap.focus()
    for _ in range(24):
        press("ArrowUp")
    press("ArrowDown")
    press("Enter")
    expect(names).to_have_text([f"#{order[1]}"])
    press("ArrowDown")
    press("Shift+Enter")
    expect(score.root.locator(".rnnwidget-pinned")).to_have_text(f"#{order[2]}")
    expect(names).to_have_count(2)
    press("Home")
    press("Shift+ArrowRight")
    press("Shift+ArrowRight")
    expect(score.root.locator(".rnnwidget-text .rnnwidget-brushed")).to_have_text(["it", "was", "not"])
    score.settled()
    assert score.ask("told([inspector.units, inspector.steps])") == [[order[1], order[2]], [0, 3]]
    press("Escape")
    expect(score.root.locator(".rnnwidget-text .rnnwidget-brushed")).to_have_count(0)
    expect(score.root.get_by_role("radio", name="selected 0")).to_be_disabled()
    score.settled()
    assert score.ask("told([inspector.units, inspector.steps])") == [[], None]


def test_the_notebooks_shortcuts_keep_off(score):
    press, page = score.page.keyboard.press, score.page
    cells, active = page.evaluate(CELLS), page.evaluate(ACTIVE)
    stops = [
        score.heatmap,
        score.slider("forget gate shift"),
        score.root.get_by_role("radiogroup", name="layer", exact=True).get_by_role("radio", checked=True),
        score.root.get_by_role("button", name="next sequence"),
    ]
    for stop in stops:
        stop.focus()
        for key in ("b", "a", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft", "x", "d", "d", "m"):
            press(key)
        assert page.evaluate(CELLS) == cells
        assert page.evaluate(ACTIVE) == active
        assert score.root.evaluate("(root) => root.contains(document.activeElement)")
    score.settled()

    page.evaluate("() => window.jupyterapp.shell.currentWidget.content.node.focus()")
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.mode = 'command' }")
    press("b")
    page.wait_for_function(
        "(cells) => window.jupyterapp.shell.currentWidget.content.widgets.length === cells", arg=cells + 1
    )


def test_tab_reaches_every_control_and_each_has_a_name(score):
    controls = score.root.locator("input, button:not([role=radio]), [role=radiogroup], canvas[tabindex]")
    for control in controls.all():
        name = control.evaluate("(node) => node.getAttribute('aria-label') || node.textContent.trim()")
        assert name, control
    score.heatmap.focus()
    reached = set()
    for _ in range(60):
        score.page.keyboard.press("Tab")
        label = score.page.evaluate(
            """() => {
                const {activeElement: at} = document;
                return at.closest('.rnnwidget') && (at.getAttribute('aria-label') || at.textContent);
            }"""
        )
        reached.add(label)
    sliders = {"input gate shift", "forget gate shift", "candidate scale", "output gate shift"}
    assert sliders | {"undo", "redo", "copy code"} <= reached
