"""One inspector in two cells, shown again, and after a reload of the page: one selection, one state."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_answer_is_the_engines, assert_picture_is_the_engines
from tests.browser.models import INSPECTOR, SENTIMENT
from tests.browser.score import Score, opened


@pytest.fixture(scope="module")
def first(jupyter, chromium):
    with opened(jupyter, chromium, "two-views", SENTIMENT, INSPECTOR, "inspector") as score:
        yield score


@pytest.fixture
def views(first):
    second = Score(first.notebook, first.notebook.output(2).locator(".rnnwidget"))
    first.rest()
    second.settled()
    return first, second


def test_a_drag_in_one_changes_both(views):
    first, second = views
    before = second.picture()
    value = first.drag(first.slider("forget gate shift"), 0.2)
    line = [f"forget gate shifted by {value:.2f} · all units · lstm.l0".replace("-", "−")]
    expect(second.edits).to_have_text(line)
    expect(second.slider("forget gate shift")).to_have_value(f"{value:g}")
    for view in views:
        assert_answer_is_the_engines(view)
        assert_picture_is_the_engines(view, "hidden")
    assert first.picture() == second.picture() != before

    other = second.drag(second.slider("forget gate shift"), 0.7)
    expect(first.edits).to_have_text([f"forget gate shifted by +{other:.2f} · all units · lstm.l0".replace("-", "−")])
    expect(first.slider("forget gate shift")).to_have_value(f"{other:g}")
    assert_answer_is_the_engines(first)


def test_undo_scope_and_tracks_are_those_of_both(views):
    first, second = views
    first.drag(first.slider("input gate shift"), 0.8)
    expect(second.edits).to_have_text([re.compile("^input gate shifted by")])
    second.root.get_by_role("button", name="undo").click()
    for view in views:
        expect(view.edits).to_have_text(["no edits: the model runs as it is"])
    first.root.get_by_role("button", name="redo").click()
    for view in views:
        expect(view.edits).to_have_text([re.compile("^input gate shifted by")])
        assert_answer_is_the_engines(view)
    second.slider("forget gate shift").focus()
    for view in views:
        expect(view.dial("forget gate").locator(".rnnwidget-strip")).to_have_attribute("data-done", "true")

    second.tell("inspector.steps = (2, 6)")
    second.choose("steps", "all 18 steps")
    expect(first.chosen("steps")).to_have_text("all 18")


def test_each_view_shows_what_was_before_for_itself(views):
    first, second = views
    first.drag(first.slider("forget gate shift"), 0.9)
    second.settled()
    edited = second.picture()
    first.slider("forget gate shift").focus()
    first.page.keyboard.down(" ")
    expect(first.root).to_have_attribute("data-before", "true")
    expect(second.root).to_have_attribute("data-before", "false")
    assert second.picture() == edited
    first.page.keyboard.up(" ")
    expect(first.root).to_have_attribute("data-before", "false")


def test_they_share_one_selection(views):
    first, second = views
    order = first.order()
    second.page.mouse.click(*second.cell_box(8, 3, 24, 18))
    for view in views:
        expect(view.root.locator(".rnnwidget-unit-name.rnnwidget-pinned")).to_have_text(f"#{order[8]}")
    first.choose("layer", "1→")
    expect(second.chosen("layer")).to_have_text("1→")
    assert_picture_is_the_engines(second, "hidden")


def test_running_the_cell_again_shows_it_again(views):
    first, second = views
    value = first.drag(first.slider("candidate scale"), 0.9)
    second.notebook.run_cell(2)
    expect(second.edits).to_have_text([f"candidate scaled by {value:.2f} · all units · lstm.l0"])
    assert_picture_is_the_engines(second, "hidden")
    other = second.drag(second.slider("candidate scale"), 0.3)
    for view in views:
        expect(view.edits).to_have_text([f"candidate scaled by {other:.2f} · all units · lstm.l0"])


def test_a_reload_of_the_page_shows_the_picture_again(views):
    first, _ = views
    value = first.drag(first.slider("forget gate shift"), 0.3)
    expect(first.edits).to_have_text([re.compile("^forget gate shifted")])
    first.settled()
    picture = first.picture()
    first.notebook.reload()
    for view in views:
        expect(view.edits).to_have_text([f"forget gate shifted by {value:.2f} · all units · lstm.l0".replace("-", "−")])
        assert_answer_is_the_engines(view)
        assert view.picture() == picture
    other = first.drag(first.slider("forget gate shift"), 0.6)
    expect(first.edits).to_have_text([f"forget gate shifted by +{other:.2f} · all units · lstm.l0".replace("-", "−")])
    assert_answer_is_the_engines(first)
