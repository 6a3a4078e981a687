"""The answer lane where there is nothing to draw: it says why, and holds nothing up."""

import pytest
from playwright.sync_api import expect

from tests.browser.models import INSPECTOR, SENTIMENT
from tests.browser.score import opened


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "lane", SENTIMENT, INSPECTOR) as score:
        yield score


def test_a_model_that_reads_from_the_end_says_so_in_words(score):
    lane = score.root.locator(".rnnwidget-answer-lane")
    expect(lane.locator(".rnnwidget-lane-reason")).to_contain_text("reads from the end")
    expect(lane.get_by_role("img")).to_have_accessible_name("answer after every step: " + reason_of(lane))
    score.drag(score.slider("forget gate shift"), 0.9)
    score.settled()
    expect(lane.locator(".rnnwidget-lane-reason")).to_contain_text("reads from the end")


def reason_of(lane):
    return lane.locator(".rnnwidget-lane-reason").text_content()
