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
    line = [f"forget gate shifted by {value:.2f} · all units · lstm.l0"]
    expect(second.edits).to_have_text(line)
    expect(second.slider("forget gate shift")).to_have_value(f"{value:g}")
    for view in views:
        assert_answer_is_the_engines(view)
        assert_picture_is_the_engines(view, "hidden")
    assert first.picture() == second.picture() != before

    other = second.drag(second.slider("forget gate shift"), 0.7)
    expect(first.edits).to_have_text([f"forget gate shifted by +{other:.2f} · all units · lstm.l0"])
    expect(first.slider("forget gate shift")).to_have_value(f"{other:g}")
    assert_answer_is_the_engines(first)


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
    value = first.drag(first.slider("candidate shift"), 0.9)
    second.notebook.run_cell(2)
    expect(second.edits).to_have_text([f"candidate shifted by +{value:.2f} · all units · lstm.l0"])
    assert_picture_is_the_engines(second, "hidden")
    other = second.drag(second.slider("candidate shift"), 0.3)
    for view in views:
        expect(view.edits).to_have_text([f"candidate shifted by {other:.2f} · all units · lstm.l0"])


def test_a_reload_of_the_page_shows_the_picture_again(views):
    first, _ = views
    value = first.drag(first.slider("forget gate shift"), 0.3)
    expect(first.edits).to_have_text([re.compile("^forget gate shifted")])
    first.settled()
    picture = first.picture()
    first.notebook.reload()
    for view in views:
        expect(view.edits).to_have_text([f"forget gate shifted by {value:.2f} · all units · lstm.l0"])
        assert_answer_is_the_engines(view)
        assert view.picture() == picture
    other = first.drag(first.slider("forget gate shift"), 0.6)
    expect(first.edits).to_have_text([f"forget gate shifted by +{other:.2f} · all units · lstm.l0"])
    assert_answer_is_the_engines(first)
