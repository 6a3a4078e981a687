"""The score as a person meets it: what stands on the page, and the hands that move it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, expect

from tests.browser.lab import Lab, LabPage, write_notebook
from tests.browser.models import EXPECT

WIDE = {"width": 1400, "height": 1400}
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[-+−]\d+)?")

CELL_COLOURS = """(canvas, [rows, columns]) => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const middle = (index, count, size) => Math.min(size - 1, Math.floor(((index + 0.5) / count) * size));
    return Array.from({length: rows}, (_, row) => Array.from({length: columns}, (_, column) => {
        const at = 4 * (middle(row, rows, canvas.height) * canvas.width + middle(column, columns, canvas.width));
        return [...data.slice(at, at + 4)];
    }));
}"""


class Score:
    """One view of the notebook's ``inspector``."""

    def __init__(self, notebook: LabPage, root: Locator) -> None:
        self.notebook, self.root = notebook, root
        self.page = notebook.page
        self.heatmap = root.locator(".rnnwidget-heatmap canvas[role=img]")
        self.colour_bar = root.locator(".rnnwidget-legend .rnnwidget-colorbar canvas")
        self.readout = root.locator(".rnnwidget-readout-line")
        self.spoken = root.locator(".rnnwidget-live")
        self.headline = root.locator(".rnnwidget-answer-headline")
        self.edits = root.locator(".rnnwidget-panel .rnnwidget-edits li > span")
        self.message = root.locator(".rnnwidget-status")

    def ask(self, code: str) -> Any:
        """What the kernel prints, read as JSON."""
        return json.loads(self.notebook.execute(code))

    def tell(self, code: str) -> None:
        self.notebook.execute(code)

    def settled(self) -> None:
        """Waits until the newest picture that Python made is painted here, and Python has heard so."""
        before = None
        while True:
            version, drawn = now = self.ask("versions()")
            expect(self.root).to_have_attribute("data-drawn", re.compile(r"\d"))
            painted = "([root, version]) => Number(root.dataset.drawn) >= version"
            self.page.wait_for_function(painted, arg=[self.root.element_handle(), version])
            if now == before and version == drawn == int(self.root.get_attribute("data-drawn") or 0):
                return
            before = now

    def rest(self) -> None:
        """No edits, nothing selected, the first layer, sequence and site, every dial of its usual kind."""
        self.tell(
            "inspector.edits = []; inspector.units = []; inspector.sequence = 0; inspector.steps = None\n"
            "inspector.layer = inspector.recording.layers[0]; inspector.site = 'hidden'\n"
            "score_widget().scope = {'units': 'selected', 'layers': 'this', 'steps': 'brushed'}"
        )
        expect(self.edits).to_have_text(["no edits: the model runs as it is"])
        usual = {"candidate": "scale"}
        for name in self.root.locator(".rnnwidget-dial-name").all_inner_texts():
            gate = name.rsplit(" ", 1)[0]
            self.dial(gate).get_by_role("radio", name=usual.get(gate, "shift")).click()
        self.settled()

    def slider(self, label: str) -> Locator:
        return self.root.get_by_role("slider", name=label, exact=True)

    def choose(self, group: str, name: str) -> None:
        self.root.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", name=name).click()

    def chosen(self, group: str) -> Locator:
        return self.root.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", checked=True)

    def dial(self, gate: str) -> Locator:
        return self.root.locator(".rnnwidget-dial").filter(has_text=gate)

    def drag(self, slider: Locator, share: float, moves: int = 8) -> float:
        """Takes the thumb with the mouse to a share of the track; gives back where the slider stands."""
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box
        low, high, value = slider.evaluate("(input) => [+input.min, +input.max, +input.value]")
        across = box["width"] - 14
        grip = box["x"] + 7 + across * (value - low) / (high - low)
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(grip, middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + 7 + across * share, middle, steps=moves)
        self.page.mouse.up()
        return float(slider.input_value())

    def drag_sideways(self, zone: Locator, *, widths: float) -> None:
        """Drags something from its middle, by so many of its own widths."""
        zone.scroll_into_view_if_needed()
        box = zone.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + widths * box["width"], y, steps=5)
        self.page.mouse.up()

    def picture(self) -> str:
        """The heatmap's pixels, to be compared."""
        return self.heatmap.evaluate("(canvas) => canvas.toDataURL()")

    def colours(self, rows: int, columns: int) -> list[list[list[int]]]:
        """The colour in the middle of every cell of the heatmap."""
        return self.heatmap.evaluate(CELL_COLOURS, [rows, columns])

    def scale(self) -> tuple[float, float, list[list[int]]]:
        """The colour bar as a reader sees it: the numbers at its ends and the colours between."""
        low, high = (number(text) for text in self.root.locator(".rnnwidget-legend .rnnwidget-limit").all_inner_texts())
        width = self.colour_bar.evaluate("(canvas) => canvas.width")
        return low, high, self.colour_bar.evaluate(CELL_COLOURS, [1, width])[0]

    def cell_box(self, row: int, step: int, rows: int, steps: int) -> tuple[float, float]:
        """Where the middle of a cell lies on the page."""
        self.heatmap.scroll_into_view_if_needed()
        box = self.heatmap.bounding_box()
        assert box
        return box["x"] + (step + 0.5) / steps * box["width"], box["y"] + (row + 0.5) / rows * box["height"]

    def order(self) -> list[int]:
        """The unit of each row."""
        return self.ask("rows()")


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def numbers(text: str) -> list[float]:
    return [number(found) for found in NUMBER.findall(text)]


@contextmanager
def opened(lab: Lab, chromium: Browser, name: str, *cells: str, viewport: dict[str, int] = WIDE) -> Iterator[Score]:
    """A notebook of these cells, run, with the score that its last cell shows; no console error until it closes."""
    write_notebook(lab.root / f"{name}.ipynb", cells)
    context = chromium.new_context(viewport=viewport)
    try:
        notebook = LabPage(context.new_page(), lab, f"{name}.ipynb")
        notebook.run_all()
        notebook.execute(EXPECT)
        score = Score(notebook, notebook.page.locator(".rnnwidget").first)
        expect(score.root).to_have_attribute("data-drawn", re.compile(r"\d+"))
        yield score
        assert notebook.errors == []
    finally:
        context.close()
