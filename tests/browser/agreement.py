"""The page against the engine: what is painted and written, read back and compared."""

import math
import re

import pytest
from playwright.sync_api import expect

from tests.browser.score import Score, numbers


def assert_picture_is_the_engines(score: Score, site: str) -> None:
    """Each cell's colour, looked up on the colour bar, which ends where its labels say."""
    score.settled()
    expected = score.ask(f"cells({site!r})")
    low, high, bar = score.scale()
    painted = score.colours(len(expected), len(expected[0]))
    tolerance = 1.5 * (high - low) / (len(bar) - 1)
    for row, unit in enumerate(score.order()):
        for step, colour in enumerate(painted[row]):
            place = min(range(len(bar)), key=lambda index: math.dist(bar[index], colour))
            value = low + (high - low) * place / (len(bar) - 1)
            assert value == pytest.approx(expected[unit][step], abs=tolerance), (unit, step)


def assert_answer_is_the_engines(score: Score) -> None:
    """The headline, and the bars beside their labels, to the digits that they show."""
    score.settled()
    engine = score.ask("answers()")
    headline = score.headline.inner_text()
    assert headline.startswith("P(positive)")
    shown = numbers(headline)
    digits = len(headline.rsplit(".", 1)[1])
    assert shown == pytest.approx([engine["before"][1], engine["after"][1]][: len(shown)], abs=0.51 * 10**-digits)
    bars = score.root.locator(".rnnwidget-bar-value").all_inner_texts()
    for bar, before, after in zip(bars, engine["before"], engine["after"], strict=True):
        assert numbers(bar) == pytest.approx([before, after][-len(numbers(bar)) :], abs=0.0051)


def assert_a_dial_moves_the_answer_as_the_engine_says(score: Score, label: str, scope: str) -> None:
    """Drag a slider of a model with one number as its answer; the picture and the headline are the engine's."""
    assert_picture_is_the_engines(score, "hidden")
    first = score.picture()
    value = score.drag(score.slider(label), 0.8)
    expect(score.edits).to_have_text([re.compile(rf"shifted by \+{value:.2f} · all units · {scope}")])
    assert_picture_is_the_engines(score, "hidden")
    assert score.picture() != first
    wanted = score.ask(
        "result = rw.intervene(model, inputs, inspector.edits)\n"
        "told([result.baseline[0, 0].item(), result.output[0, 0].item()])"
    )
    headline = score.headline.inner_text()
    digits = len(headline.rsplit(".", 1)[1])
    assert numbers(headline.partition("  ")[2]) == pytest.approx(wanted, abs=0.51 * 10**-digits)


def edits_in_force(score: Score) -> list[list[object]]:
    return score.ask(
        "told([[e.operation, e.site, e.value, e.layer, e.units and list(e.units)] for e in inspector.edits])"
    )
