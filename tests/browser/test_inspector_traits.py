"""What Python sets moves the page, and what the page chooses arrives in Python."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_answer_is_the_engines, assert_picture_is_the_engines
from tests.browser.models import INSPECTOR, SENTIMENT
from tests.browser.score import opened


@pytest.fixture(scope="module")
def notebook(jupyter, chromium):
    with opened(jupyter, chromium, "traits", SENTIMENT, INSPECTOR) as score:
        yield score


@pytest.fixture
def score(notebook):
    notebook.rest()
    return notebook


def test_edits_set_from_python_move_the_sliders(score):
    score.tell(
        "edits = [rw.shift('forget_gate', 2.5, layer='lstm.l0'), rw.clamp('input_gate', 0.25, layer='lstm.l0')]\n"
        "inspector.edits = edits"
    )
    expect(score.slider("forget gate shift")).to_have_value("2.5")
    expect(score.slider("input gate clamp")).to_have_value("0.25")
    expect(score.slider("output gate shift")).to_have_value("0")
    expect(score.edits).to_have_count(2)
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")

    score.tell("inspector.edits = [rw.clamp('forget_gate', 1.0, units=[4, 2])]")
    expect(score.slider("forget gate clamp")).to_have_value("1")
    expect(score.dial("input gate")).to_have_attribute("data-touched", "false")
    expect(score.root.get_by_role("radio", name="selected 2")).to_be_checked()
    expect(score.root.get_by_role("radio", name="all 4")).to_be_checked()
    assert_answer_is_the_engines(score)

    score.tell("inspector.edits = []")
    expect(score.edits).to_have_text(["no edits: the model runs as it is"])
    expect(score.dial("forget gate")).to_have_attribute("data-touched", "false")


def test_layer_sequence_site_units_and_steps_set_from_python_show(score):
    score.tell("inspector.layer = 'lstm.l1'")
    expect(score.root.get_by_role("radio", name=re.compile("^1→"))).to_be_checked()
    assert_picture_is_the_engines(score, "hidden")
    score.tell("inspector.sequence = 1; inspector.site = 'cell'")
    expect(score.root.get_by_role("spinbutton", name="sequence")).to_have_value("2")
    expect(score.root.locator(".rnnwidget-site-name")).to_have_text("cell state")
    assert_picture_is_the_engines(score, "cell")
    score.tell("inspector.units = [7, 11]")
    expect(score.root.locator(".rnnwidget-unit-name.rnnwidget-pinned")).to_have_text("#11")
    expect(score.root.locator(".rnnwidget-trace-cell .rnnwidget-muted").first).to_have_text("#11")
    score.tell("inspector.steps = (2, 6)")
    expect(score.root.locator(".rnnwidget-text .rnnwidget-brushed")).to_have_text(["not", "bad", "at", "all"])
    expect(score.root.locator(".rnnwidget-brush")).to_be_visible()
    score.tell("inspector.steps = None")
    expect(score.root.locator(".rnnwidget-brush")).to_be_hidden()


def test_steps_brushed_with_the_mouse_arrive_in_python(score):
    score.tell("heard = []; inspector.observe(lambda change: heard.append(change['new']), 'steps')")
    axis = score.root.locator(".rnnwidget-axis .rnnwidget-field")
    axis.scroll_into_view_if_needed()
    field = axis.bounding_box()
    column, middle = field["width"] / 18, field["y"] + 9
    score.page.mouse.move(field["x"] + 4.5 * column, middle)
    score.page.mouse.down()
    score.page.mouse.move(field["x"] + 8.5 * column, middle, steps=5)
    score.page.mouse.up()
    expect(score.root.locator(".rnnwidget-text .rnnwidget-brushed")).to_have_count(5)
    score.settled()
    assert score.ask("told([inspector.steps, heard])") == [[4, 9], [[4, 9]]]


def test_the_trace_at_the_cursor_is_the_engines(score):
    score.tell("inspector.units = [5]")
    expect(score.root.locator(".rnnwidget-unit-name")).to_have_text(["#5"])
    score.page.mouse.move(*score.cell_box(0, 6, 24, 18))
    values = score.ask(
        "recording = inspector.recording['lstm.l0']\n"
        "values = {letter: recording[letter][6, 0, 5].item() for letter in 'ifgohc'}\n"
        "told(values | {'p': recording.cell[5, 0, 5].item()})"
    )
    for letter in "ifgohc":
        label = score.root.locator(".rnnwidget-line-label").filter(has_text=re.compile(f"^{letter} "))
        expect(label).to_have_text(f"{letter} {values[letter]:.3f}".replace("-", "−"))
    equation = score.root.locator(".rnnwidget-equation").inner_text()
    for value in (values["f"], values["p"], values["i"], values["g"], values["c"]):
        assert re.search(rf"{abs(value):.2f}", equation), (value, equation)
