"""Light, dark and high contrast: text that can be read, canvases in the theme's colours, no white box."""

import pytest
from playwright.sync_api import expect

from tests.browser.models import INSPECTOR, SENTIMENT
from tests.browser.score import opened

THEMES = {"JupyterLab Light": "light", "JupyterLab Dark": "dark", "JupyterLab Dark High Contrast": "dark"}
# Any CSS colour as the browser paints it over a ground, and what stands behind each piece of text.
LOOK = """(root) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d', {willReadFrequently: true});
    const paint = (colors) => {
        context.clearRect(0, 0, 1, 1);
        for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const ground = (node) => {
        const colors = [];
        for (let at = node; at; at = at.parentElement) colors.unshift(getComputedStyle(at).backgroundColor);
        return colors;
    };
    const luminance = ([red, green, blue]) => {
        const linear = [red, green, blue].map((channel) => channel / 255)
            .map((share) => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const words = [], grounds = [];
    for (const node of root.querySelectorAll('*')) {
        if (!node.checkVisibility({visibilityProperty: true}) || node.closest(':disabled')) continue;
        const behind = ground(node);
        const text = node.matches('input[type=number]') ? node.value
            : [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.data).join('').trim();
        const style = getComputedStyle(node);
        if (!node.matches('.rnnwidget-at-cursor, .rnnwidget-bar-after')) grounds.push(luminance(paint(behind)));
        if (!text) continue;
        const [front, back] = [luminance(paint([...behind, style.color])), luminance(paint(behind))];
        const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
        words.push({text, ratio, where: node.className || node.parentElement.className});
    }
    return {words, grounds, page: luminance(paint(ground(root)))};
}"""
INK = """(root) => {
    const canvas = root.querySelector('.rnnwidget-trace-gates canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let strongest = 0, ink = null;
    for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > strongest) { strongest = data[at + 3]; ink = [...data.slice(at, at + 3)]; }
    return ink;
}"""


ZERO = """(root) => {
    const canvas = root.querySelector('.rnnwidget-legend .rnnwidget-colorbar canvas');
    return [...canvas.getContext('2d').getImageData(canvas.width / 2, 2, 1, 1).data.slice(0, 3)];
}"""


@pytest.fixture(scope="module")
def score(jupyter, chromium):
    with opened(jupyter, chromium, "themes", SENTIMENT, INSPECTOR) as score:
        yield score
        # JupyterLab keeps the choice for every page that follows.
        score.notebook.theme("JupyterLab Light")


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read_and_canvases_follow(score, theme):
    score.rest()
    score.drag(score.slider("forget gate shift"), 0.7)
    score.settled()
    score.notebook.theme(theme)
    expect(score.root).to_have_attribute("data-theme", THEMES[theme])
    score.page.wait_for_function(
        "() => document.querySelector('.rnnwidget').getAnimations({subtree: true}).length === 0"
    )
    look = score.root.evaluate(LOOK)
    faint = [word for word in look["words"] if word["ratio"] < 4.5]
    assert faint == []
    assert len(look["words"]) > 60
    dark = THEMES[theme] == "dark"
    assert (look["page"] < 0.05) == dark
    if dark:
        assert max(look["grounds"]) < 0.25
    ink = score.root.evaluate(INK)
    assert (min(ink) > 150) if dark else (max(ink) < 110)
    figure = score.page.locator(".bqplot svg").first
    expect(figure).to_be_visible()
    if dark:
        assert figure.evaluate("(svg) => getComputedStyle(svg).backgroundColor") == "rgba(0, 0, 0, 0)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_zero_is_the_page_s_own_where_the_system_forces_its_colours(score, scheme):
    score.rest()
    score.notebook.theme(f"JupyterLab {scheme.title()}")
    score.page.emulate_media(forced_colors="active", color_scheme=scheme)
    dark = scheme == "dark"
    score.page.wait_for_function(
        f"([root, dark]) => ((({ZERO})(root))[0] < 128) === dark", arg=[score.root.element_handle(), dark]
    )
    page = score.root.evaluate("(root) => getComputedStyle(root).backgroundColor")
    assert page == ("rgb(0, 0, 0)" if dark else "rgb(255, 255, 255)")
    score.page.emulate_media(forced_colors="none", color_scheme="light")


@pytest.mark.parametrize("width", [900, 1400])
def test_no_part_of_the_page_has_to_be_scrolled_sideways(score, width):
    score.page.set_viewport_size({"width": width, "height": 1400})
    output = score.page.locator(".jp-OutputArea").filter(has=score.root)
    output.locator(".bqplot").scroll_into_view_if_needed()
    score.page.wait_for_function(
        """(output) => {
            const {width} = output.querySelector('.bqplot').getBoundingClientRect();
            return [...output.querySelectorAll('*')].every((part) =>
                part.scrollWidth <= part.clientWidth || ['visible', 'hidden'].includes(getComputedStyle(part).overflowX)
            ) && width > 0 && width <= output.clientWidth;
        }""",
        arg=output.element_handle(),
    )
