"""The gate panel by hand: windows of steps, tracks, traces that can be dragged, undo, before, code, a lost kernel."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browser.agreement import assert_answer_is_the_engines, assert_picture_is_the_engines, edits_in_force
from tests.browser.models import IMPORTS, INSPECTOR, SENTIMENT
from tests.browser.score import opened

FORGET = "forget gate shift"
NONE = ["no edits: the model runs as it is"]
STEPS = 18


@pytest.fixture(scope="module")
def notebook(jupyter, chromium):
    with opened(jupyter, chromium, "panel", SENTIMENT, INSPECTOR) as score:
        yield score


@pytest.fixture
def score(notebook):
    notebook.rest()
    return notebook


def field_of(score, lane):
    field = score.root.locator(f".rnnwidget-{lane} .rnnwidget-field")
    field.scroll_into_view_if_needed()
    box = field.bounding_box()
    assert box
    return box


def brush(score, start, stop):
    """Draws over the axis from one step to the last of a window."""
    box = field_of(score, "axis")
    column = box["width"] / STEPS
    score.page.mouse.move(box["x"] + (start + 0.5) * column, box["y"] + 9)
    score.page.mouse.down()
    score.page.mouse.move(box["x"] + (stop - 0.5) * column, box["y"] + 9, steps=6)
    score.page.mouse.up()
    expect(score.chosen("steps")).to_have_text(f"{start}\N{EN DASH}{stop - 1}")


def windows(score):
    return score.ask("told([[e.steps.start, e.steps.stop] if e.steps else None for e in inspector.edits])")


def test_brushed_windows_one_after_the_other_are_edits_of_their_own(score):
    brush(score, 2, 6)
    first = score.drag(score.slider(FORGET), 0.9)
    expect(score.edits).to_have_text(
        [f"forget gate shifted by +{first:.2f} · all units · lstm.l0 · steps 2 to 5".replace("-", "−")]
    )
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")
    brush(score, 8, 12)
    expect(score.slider(FORGET)).to_have_value("0")
    second = score.drag(score.slider(FORGET), 0.2)
    expect(score.edits).to_have_count(2)
    assert_picture_is_the_engines(score, "hidden")
    assert edits_in_force(score) == [
        ["shift", "forget_gate", first, "lstm.l0", None],
        ["shift", "forget_gate", second, "lstm.l0", None],
    ]
    assert windows(score) == [[2, 6], [8, 12]]
    brush(score, 2, 6)
    expect(score.slider(FORGET)).to_have_value(f"{first:g}")
    score.choose("steps", "all 18 steps")
    expect(score.slider(FORGET)).to_have_value("0")


def test_a_scale_multiplies(score):
    score.choose("forget gate: kind of edit", "scale: multiply by this factor")
    value = score.drag(score.slider("forget gate scale"), 0.25)
    assert value == pytest.approx(0.5, abs=0.1)
    expect(score.edits).to_have_text([f"forget gate scaled by {value:.2f} · all units · lstm.l0"])
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")


def test_the_track_shows_the_answer_at_every_value(score):
    value = score.drag(score.slider("input gate shift"), 0.8)
    score.dial("forget gate").hover()
    strip = score.dial("forget gate").locator(".rnnwidget-strip")
    expect(strip).to_have_attribute("data-done", "true")
    track = score.ask("told(score_widget()._tracks['forget_gate'])")
    assert (track["kind"], track["name"], len(track["values"])) == ("shift", "P(positive)", 25)
    wanted = score.ask(
        "held = list(inspector.edits)\n"
        "told([torch.softmax(rw.intervene(model, inputs, held + [rw.shift('f', value, layer='lstm.l0')])"
        f".output[0].detach(), 0)[1].item() for value in {track['values']}])"
    )
    assert track["answers"] == pytest.approx(wanted, abs=1e-5)
    path = strip.locator(".rnnwidget-strip-line").get_attribute("d")
    heights = [-float(height) for height in re.findall(r"[ML][\d.]+ ([-\d.]+)", path)]
    span = max(track["answers"]) - min(track["answers"])
    rising = sorted(range(25), key=lambda place: track["answers"][place])
    assert all(
        heights[low] <= heights[high] + 0.02
        for low, high in pairwise(rising)
        if track["answers"][high] - track["answers"][low] > 1e-3 * span
    )
    score.drag(score.slider("input gate shift"), 0.3)
    expect(strip).to_have_attribute("data-points", "0")
    other = float(score.slider("input gate shift").input_value())
    assert other != value
    expect(score.edits).to_have_text([f"input gate shifted by {other:+.2f} · all units · lstm.l0".replace("-", "−")])


def test_a_dial_reached_by_key_has_its_track_too(score):
    score.slider("output gate shift").focus()
    expect(score.dial("output gate").locator(".rnnwidget-strip")).to_have_attribute("data-done", "true")
    score.page.keyboard.press("ArrowRight")
    expect(score.edits).to_have_text(["output gate shifted by +0.10 · all units · lstm.l0"])
    expect(score.dial("output gate").locator(".rnnwidget-strip")).to_have_attribute("data-done", "true")


def test_a_gates_trace_inside_the_brush_is_dragged(score):
    brush(score, 4, 9)
    score.tell("inspector.units = [5]")
    expect(score.root.locator(".rnnwidget-unit-name")).to_have_text(["#5"])
    score.settled()
    gates = score.ask(
        "told([[inspector.recording['lstm.l0'][gate][step, 0, 5].item() for gate in 'fio'] for step in range(4, 9)])"
    )
    step, values = max(
        enumerate(gates, 4), key=lambda pair: min(abs(pair[1][0] - pair[1][1]), abs(pair[1][0] - pair[1][2]))
    )
    box = field_of(score, "trace-gates")
    x = box["x"] + (step + 0.5) * box["width"] / STEPS

    def height(value):
        return box["y"] + 60 - 6 - value * 48

    score.page.mouse.move(x, height(values[0]))
    expect(score.root.locator(".rnnwidget-trace-gates .rnnwidget-field")).to_have_attribute("data-grip", "true")
    score.page.mouse.down()
    score.page.mouse.move(x, height(0.25), steps=8)
    score.page.mouse.up()
    expect(score.edits).to_have_text(
        [re.compile(r"^forget gate clamped to 0\.\d\d · unit 5 · lstm\.l0 · steps 4 to 8$")]
    )
    score.settled()
    [[operation, site, value, layer, units]] = edits_in_force(score)
    assert (operation, site, layer, units) == ("clamp", "forget_gate", "lstm.l0", [5])
    assert value == pytest.approx(0.25, abs=0.03)
    assert windows(score) == [[4, 9]]
    assert_answer_is_the_engines(score)
    assert_picture_is_the_engines(score, "hidden")
    expect(score.slider("forget gate clamp")).to_have_value(f"{value:g}")
    score.root.get_by_role("button", name="undo").click()
    expect(score.edits).to_have_text(NONE)


def test_undo_and_redo_by_button_and_key(score):
    first = score.picture()
    forget = score.drag(score.slider(FORGET), 0.9)
    lines = [f"forget gate shifted by +{forget:.2f} · all units · lstm.l0".replace("-", "−")]
    expect(score.edits).to_have_text(lines)
    output = score.drag(score.slider("output gate shift"), 0.2)
    both = [*lines, f"output gate shifted by {output:.2f} · all units · lstm.l0".replace("-", "−")]
    expect(score.edits).to_have_text(both)
    score.page.keyboard.press("Control+z")
    expect(score.edits).to_have_text(lines)
    expect(score.slider("output gate shift")).to_have_value("0")
    score.root.get_by_role("button", name="undo").click()
    expect(score.edits).to_have_text(NONE)
    score.settled()
    assert score.picture() == first
    score.page.keyboard.press("Control+Shift+z")
    expect(score.edits).to_have_text(lines)
    score.root.get_by_role("button", name="redo").click()
    expect(score.edits).to_have_text(both)
    assert_answer_is_the_engines(score)
    score.tell("inspector.undo()")
    expect(score.edits).to_have_text(lines)
    assert not score.notebook.failures()


def test_the_space_bar_shows_the_run_before_the_edits(score):
    first, answer = score.picture(), score.headline.inner_text()
    score.drag(score.slider(FORGET), 0.9)
    score.settled()
    edited = score.picture()
    assert edited != first
    cells = score.notebook.notebook.locator(".jp-Cell").count()
    for target in (score.slider(FORGET), score.heatmap):
        target.focus()
        score.page.keyboard.down(" ")
        expect(score.root).to_have_attribute("data-before", "true")
        expect(score.root.locator(".rnnwidget-header .rnnwidget-activity")).to_have_text("before the edits")
        score.page.wait_for_function(
            "([canvas, picture]) => canvas.toDataURL() === picture", arg=[score.heatmap.element_handle(), first]
        )
        assert score.headline.inner_text() == answer.split(" → ")[0]
        score.page.keyboard.up(" ")
        expect(score.root).to_have_attribute("data-before", "false")
        score.page.wait_for_function(
            "([canvas, picture]) => canvas.toDataURL() === picture", arg=[score.heatmap.element_handle(), edited]
        )
    assert score.notebook.notebook.locator(".jp-Cell").count() == cells
    assert edits_in_force(score) != []


def test_the_edits_are_copied_as_code(score):
    score.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    brush(score, 2, 6)
    value = score.drag(score.slider(FORGET), 0.75)
    expect(score.edits).to_have_count(1)
    score.settled()
    score.root.get_by_role("button", name="copy code").click()
    expect(score.root.locator(".rnnwidget-said")).to_have_text("copied")
    code = score.page.evaluate("navigator.clipboard.readText()")
    assert code == f'inspector.edits = [rw.shift("forget_gate", {value}, layer="lstm.l0", steps=slice(2, 6))]'
    edits = edits_in_force(score)
    score.tell("inspector.edits = []")
    expect(score.edits).to_have_text(NONE)
    score.tell(code)
    expect(score.edits).to_have_count(1)
    assert edits_in_force(score) == edits
    assert windows(score) == [[2, 6]]


def test_two_hundred_moves_in_a_second_end_at_the_last(score):
    slider = score.slider(FORGET)
    slider.scroll_into_view_if_needed()
    last = slider.evaluate(
        """async (slider) => {
            let value = 0;
            for (let move = 0; move < 200; move++) {
                value = Math.round(10 * 5 * Math.sin(move / 7)) / 10;
                slider.value = String(value);
                slider.dispatchEvent(new Event('input', {bubbles: true}));
                await new Promise((resolve) => setTimeout(resolve, 4));
            }
            return value;
        }"""
    )
    expect(slider).to_have_value(f"{last:g}")
    expect(score.edits).to_have_text([f"forget gate shifted by {last:+.2f} · all units · lstm.l0".replace("-", "−")])
    expect(score.root).to_have_attribute("data-busy", "false")
    assert_answer_is_the_engines(score)
    drawn = score.root.get_attribute("data-drawn")
    assert_picture_is_the_engines(score, "hidden")
    assert score.root.get_attribute("data-drawn") == drawn
    assert score.ask("told(score_widget()._request['serial'])") == score.ask("told(score_widget()._frame['answers'])")


def test_a_restarted_kernel_leaves_a_still_picture(jupyter, chromium):
    with opened(jupyter, chromium, "restart", SENTIMENT, INSPECTOR) as score:
        score.drag(score.slider(FORGET), 0.8)
        score.settled()
        picture, lines = score.picture(), score.edits.all_inner_texts()
        score.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart().then(() => null)"
        )
        expect(score.root).to_have_attribute("data-state", "closed")
        expect(score.root.locator(".rnnwidget-header .rnnwidget-activity")).to_have_text(
            "the kernel is gone: a still picture"
        )
        assert score.root.locator(".rnnwidget-panel").evaluate("(panel) => panel.inert")
        assert score.picture() == picture
        assert score.edits.all_inner_texts() == lines


SLOW = (
    IMPORTS
    + """
import time

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 8)

    def forward(self, x):
        time.sleep(0.05)
        return self.rnn(x)[0][-1, 0, :1]

model, inputs = Slow(), (torch.randn(6, 1, 3),)
inspector = rw.RNNInspector(model, inputs=inputs)
inspector
"""
)


def test_a_growing_track_outlives_what_a_cell_sets_meanwhile(jupyter, chromium):
    with opened(jupyter, chromium, "growing", SLOW) as score:
        strip = score.dial("update gate").locator(".rnnwidget-strip")
        score.dial("update gate").hover()
        expect(strip).to_have_attribute("data-points", re.compile(r"^([2-9]|1\d|2[0-4])$"))
        score.tell("inspector.edits = [rw.shift('update_gate', 2.0)]; inspector.units = [1, 2]")
        expect(score.dial("update gate").locator("input[type=range]")).to_have_value("0")
        expect(strip).to_have_attribute("data-done", "true")
        score.page.mouse.move(0, 0)
        score.tell("inspector.edits = []; inspector.units = []")
        expect(score.edits).to_have_text(NONE)
        edits = "[rw.shift('update_gate', 2.0, units=[3]), rw.shift('reset_gate', 1.0, units=[3])]"
        score.tell(f"inspector.edits = {edits}")
        for gate in ("reset gate", "update gate"):
            expect(score.dial(gate).locator(".rnnwidget-strip")).to_have_attribute("data-points", re.compile("[1-9]"))
        score.tell(
            f"inspector.edits = {edits[:-1]}, rw.shift('candidate', 1.0, layer='rnn.l0')]; inspector.units = [3]"
        )
        for gate in ("reset gate", "update gate"):
            expect(score.dial(gate).locator(".rnnwidget-strip")).to_have_attribute("data-done", "true")
