"""Sliders moved by mouse and keys: the page shows what the engine says of ``inspector.edits``."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_answer_is_the_engines, assert_picture_is_the_engines, edits_in_force
from tests.browser.models import INSPECTOR, SENTIMENT
from tests.browser.score import opened

FORGET = "forget gate shift"
NONE = ["no edits: the model runs as it is"]


@pytest.fixture(scope="module")
def notebook(jupyter, chromium):
    with opened(jupyter, chromium, "dials", SENTIMENT, INSPECTOR) as score:
        yield score


@pytest.fixture
def score(notebook):
    notebook.rest()
    return notebook


def test_a_dragged_forget_gate_changes_picture_and_answer_and_reset_brings_them_back(score):
    assert_answer_is_the_engines(score)
    first, answer = score.picture(), score.headline.inner_text()
    value = score.drag(score.slider(FORGET), 0.9)
    assert value > 3
    expect(score.edits).to_have_text([f"forget gate shifted by +{value:.2f} · all units · lstm.l0"])
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")
    assert edits_in_force(score) == [["shift", "forget_gate", value, "lstm.l0", None]]
    assert score.picture() != first
    assert score.headline.inner_text() != answer
    assert "→" in score.headline.inner_text()
    expect(score.root).to_have_attribute("data-busy", "false")

    score.choose("run shown in the heatmap", "before the edit")
    expect(score.heatmap).to_have_attribute("aria-label", re.compile("hidden state of the unedited run"))
    assert score.picture() == first
    score.choose("run shown in the heatmap", "after the edit")

    score.root.get_by_role("button", name="reset forget gate").click()
    expect(score.edits).to_have_text(NONE)
    score.settled()
    assert score.picture() == first
    assert score.headline.inner_text() == answer
    assert edits_in_force(score) == []


def test_keys_move_a_slider(score):
    slider = score.slider("output gate shift")
    slider.focus()
    for _ in range(15):
        score.page.keyboard.press("ArrowLeft")
    expect(slider).to_have_value("-1.5")
    expect(score.edits).to_have_text(["output gate shifted by −1.50 · all units · lstm.l0"])
    assert_answer_is_the_engines(score)
    score.page.keyboard.press("Home")
    expect(score.edits).to_have_text(["output gate shifted by −6.00 · all units · lstm.l0"])
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")


def test_a_clamped_gate_holds_its_value(score):
    score.choose("forget gate: kind of edit", "clamp: hold at this value")
    expect(score.edits).to_have_text(NONE)
    clamp = score.slider("forget gate clamp")
    assert score.drag(clamp, -0.2) == 0
    expect(score.edits).to_have_text(["forget gate clamped to 0.00 · all units · lstm.l0"])
    expect(clamp).to_have_attribute("aria-valuetext", "0.00, toward forget")
    assert_answer_is_the_engines(score)
    score.choose("show in the heatmap", "forget gate")
    expect(score.root.locator(".rnnwidget-site-name")).to_have_text("forget gate")
    assert_picture_is_the_engines(score, "forget_gate")
    assert {tuple(colour) for row in score.colours(24, 18) for colour in row} == {tuple(score.scale()[2][0])}

    box = score.root.get_by_role("spinbutton", name="forget gate value")
    box.fill("0.75")
    expect(score.edits).to_have_text(["forget gate clamped to 0.75 · all units · lstm.l0"])
    assert_answer_is_the_engines(score)
    score.root.get_by_role("button", name="reset edits").click()
    expect(score.edits).to_have_text(NONE)


def test_a_dial_acts_on_the_selected_rows(score):
    order = score.order()
    score.page.mouse.click(*score.cell_box(3, 9, 24, 18))
    expect(score.root.get_by_role("radio", name="selected 1")).to_be_enabled()
    score.page.keyboard.down("Shift")
    score.page.mouse.click(*score.cell_box(6, 9, 24, 18))
    score.page.keyboard.up("Shift")
    expect(score.root.get_by_role("radio", name="selected 4")).to_be_checked()
    expect(score.root.locator(".rnnwidget-unit-name")).to_have_count(4)
    score.settled()
    before = score.colours(24, 18)

    value = score.drag(score.slider("input gate shift"), 0.1)
    units = order[3:7]
    expect(score.edits).to_have_text([re.compile(rf"^input gate shifted by −{-value:.2f} · units {units[0]}, ")])
    assert score.ask("told(inspector.units)") == units
    assert edits_in_force(score) == [["shift", "input_gate", value, "lstm.l0", units]]
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")
    after = score.colours(24, 18)
    assert all(after[row] != before[row] for row in range(3, 7))

    score.choose("units", "all 24 units")
    expect(score.slider("input gate shift")).to_have_value("0")
    score.choose("layers", "all 4")
    other = score.drag(score.slider("forget gate shift"), 0.75)
    expect(score.edits).to_have_text(
        [re.compile("^input gate shifted"), f"forget gate shifted by +{other:.2f} · all units · all layers"]
    )
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")
    assert edits_in_force(score) == [
        ["shift", "input_gate", value, "lstm.l0", units],
        ["shift", "forget_gate", other, None, None],
    ]


def test_choosers_change_what_is_shown(score):
    score.choose("layer", "1←")
    expect(score.chosen("layer")).to_have_text("1←")
    expect(score.root.locator(".rnnwidget-axis .rnnwidget-muted").first).to_have_text("step, read ←")
    assert_picture_is_the_engines(score, "hidden")
    assert score.ask("told(inspector.layer)") == "lstm.l1_reverse"

    score.root.get_by_role("button", name="next sequence").click()
    place = score.root.get_by_role("spinbutton", name="sequence")
    expect(place).to_have_value("2")
    assert_picture_is_the_engines(score, "hidden")
    assert_answer_is_the_engines(score)
    assert score.heatmap.get_attribute("aria-label").split(";")[1].strip() == "24 units by 11 steps"

    place.fill("3")
    place.press("Enter")
    score.choose("show in the heatmap", "candidate")
    expect(score.root.locator(".rnnwidget-site-name")).to_have_text("candidate")
    assert_picture_is_the_engines(score, "candidate")
    assert score.ask("told([inspector.sequence, inspector.site])") == [2, "candidate"]
    expect(score.root.locator(".rnnwidget-text span")).to_have_text(["it", "was", "not", "bad", "at"])
