"""From a slider's move to the painted frame, against the echo of a bare trait in the same page of JupyterLab."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Locator, expect, sync_playwright

from tests.benchmarks.comparison import Row
from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.lab import LabPage, serve, write_notebook

MOVES, DRAG, APART = 40, 10, 100

ECHO = '''
import anywidget, traitlets

class Echo(anywidget.AnyWidget):
    _esm = """
    export default { render({model, el}) {
        const root = document.createElement('div'), slider = document.createElement('input');
        root.className = 'echo';
        slider.type = 'range';
        const paint = () => { root.dataset.drawn = model.get('answered'); };
        slider.addEventListener('input', () => { model.set('asked', Number(slider.value)); model.save_changes(); });
        model.on('change:answered', () => requestAnimationFrame(paint));
        root.append(slider);
        el.append(root);
        paint();
    } };
    """
    asked = traitlets.Int(0).tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)

echo = Echo()
echo.observe(lambda change: setattr(echo, "answered", change["new"]), "asked")
echo
'''
PLAIN = """
import torch, rnnwidget as rw
from torch import nn

torch.manual_seed(0)
model, x = nn.LSTM(16, 128), torch.randn(200, 1, 16)
rw.RNNInspector(model, inputs=x)
"""
WITH_GRADIENTS = """
rw.RNNInspector(model, inputs=x, loss=lambda output: output[0].square().mean())
"""

# A move is set and told as a browser would tell it; its time ends in the animation frame after the one that painted.
MOVE = """async ([root, slider, values, apart]) => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const painted = () => new Promise((resolve) => {
        const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
        observer.observe(root, {attributeFilter: ['data-drawn']});
    });
    const times = [];
    for (const value of values) {
        const rested = new Promise((resolve) => setTimeout(resolve, apart));
        const done = painted();
        slider.value = String(value);
        const started = performance.now();
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        await done;
        await frame();
        times.push(performance.now() - started);
        await rested;
    }
    return times;
}"""


def rows() -> Iterator[Row]:
    """Slider to painted frame without and with a gradient lane, and how far two halves of the same differ."""
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as lab, sync_playwright() as playwright:
        write_notebook(lab.root / "moves.ipynb", [ECHO, PLAIN, WITH_GRADIENTS])
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        page = LabPage(browser.new_page(viewport={"width": 1400, "height": 2400}), lab, "moves.ipynb")
        page.run_all()
        yield from _measured(page)
        browser.close()


def _measured(page: LabPage) -> Iterator[Row]:
    echo = page.output(0).locator(".echo")
    whats = {1: "slider to painted frame, LSTM 128, T=200", 2: "the same with gradients"}
    for cell, what in whats.items():
        score = page.output(cell).locator(".rnnwidget")
        expect(score).to_have_attribute("data-drawn", "1")
        slider = score.get_by_role("slider", name="forget gate shift")
        ours: list[float] = []
        bare: list[float] = []
        _moves(page, score, slider, [-0.5, -1.0])
        _moves(page, echo, echo.locator("input"), [50 - cell, 50 + cell])
        for start in range(0, MOVES, DRAG):
            drag = range(start, start + DRAG)
            ours += _moves(page, score, slider, [(move + 1) / 10 for move in drag])
            bare += _moves(page, echo, echo.locator("input"), [10 * cell + move % 2 for move in drag])
        if cell == 1:
            halves = (statistics.median(ours[start::2]) for start in (0, 1))
            yield Row("noise: slider to painted frame", *halves, "the same again", MOVES // 2)
        yield Row(what, statistics.median(ours), statistics.median(bare), "echo of a bare trait", MOVES)


def _moves(page: LabPage, root: Locator, slider: Locator, values: list[float]) -> list[float]:
    return page.page.evaluate(MOVE, [root.element_handle(), slider.element_handle(), values, APART])
