"""A person's JupyterLab, for tests: a server of its own, and a notebook open in a page of Chromium."""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import ConsoleMessage, Locator, Page

from tests.servers import serving

ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+)/lab")
CONFIGURATION = """
from jupyterlab.galata import configure_jupyter_server

configure_jupyter_server(c)
c.ServerApp.port = 0
c.ServerApp.allow_root = True
c.ServerApp.root_dir = {root!r}
c.LabApp.workspaces_dir = {workspaces!r}
c.LabApp.user_settings_dir = {settings!r}
"""
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


class Lab:
    """A JupyterLab server at `address` that serves the folder `root`."""

    def __init__(self, address: str, root: Path) -> None:
        self.address = address
        self.root = root


@contextmanager
def serve(folder: Path) -> Iterator[Lab]:
    places = {
        name: folder / name for name in ("root", "workspaces", "settings", "data", "runtime", "ipython", "config")
    }
    for place in places.values():
        place.mkdir()
    (places["config"] / "labconfig").mkdir()
    (places["config"] / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(OVERRIDES))
    configuration = places["config"] / "jupyter_lab_config.py"
    configuration.write_text(CONFIGURATION.format(**{name: str(place) for name, place in places.items()}))
    environment = os.environ | {
        "IPYTHONDIR": str(places["ipython"]),
        "JUPYTER_CONFIG_DIR": str(places["config"]),
        "JUPYTER_DATA_DIR": str(places["data"]),
        "JUPYTER_RUNTIME_DIR": str(places["runtime"]),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
    with serving(command, ADDRESS, cwd=places["root"], env=environment) as found:
        yield Lab(found.group(1), places["root"])


class LabPage:
    """One notebook, open in JupyterLab, and everything that went wrong in its page so far."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        self.page.goto(f"{lab.address}/lab/workspaces/{Path(name).stem}/tree/{name}")
        self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady")
        self.notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def command(self, name: str, **arguments: Any) -> None:
        """Executes a command of JupyterLab and waits until it is done."""
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)", [name, arguments]
        )

    def run_all(self) -> None:
        """Runs every cell, and waits until the kernel is idle and every output stands on the page."""
        self.command("notebook:run-all-cells")
        self.wait_until_idle()
        self.page.wait_for_function(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.every((cell) => !cell.model.outputs?.length
                || cell.outputArea.node.querySelector('.jp-OutputArea-output')?.offsetHeight > 0)"""
        )
        failed = self.failures()
        assert not failed, "\n".join(failed)

    def run_cell(self, index: int) -> None:
        """Runs one cell again; its output is replaced."""
        self.page.evaluate(
            "(index) => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index }",
            index,
        )
        self.command("notebook:run-cell")
        self.wait_until_idle()

    def begin(self, index: int, source: str) -> None:
        """Gives one cell a new source and starts it, without waiting for its end."""
        self.page.evaluate(
            """([index, source]) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = index;
                notebook.activeCell.model.sharedModel.setSource(source);
                window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            [index, source],
        )

    def reload(self) -> None:
        """Saves the notebook and loads the page again; the kernel stays."""
        self.command("docmanager:save")
        self.page.reload()
        self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady")

    def execute(self, code: str) -> str:
        """Runs `code` in the notebook's kernel, outside every cell, and gives back what it printed."""
        return self.page.evaluate(
            """async (code) => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                let printed = '';
                future.onIOPub = ({content}) => {
                    printed += content.text ?? '';
                    if (content.traceback) printed += content.traceback.join('\\n');
                };
                const reply = await future.done;
                if (reply.content.status !== 'ok') throw new Error(printed);
                return printed;
            }""",
            code,
        )

    def wait_until_idle(self) -> None:
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
        )

    def failures(self) -> list[str]:
        """The tracebacks in the notebook's outputs."""
        return self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
                .flatMap((cell) => cell.model.outputs?.toJSON() ?? [])
                .filter((output) => output.output_type === 'error')
                .map((output) => output.traceback.join('\\n').replace(/\\u001b\\[[0-9;]*m/g, ''))"""
        )

    def output(self, index: int) -> Locator:
        """What the cell `index` shows below itself."""
        return self.notebook.locator(".jp-Cell").nth(index).locator(".jp-OutputArea-child")

    def theme(self, name: str) -> None:
        """Switches to "JupyterLab Light", "JupyterLab Dark" or "JupyterLab Dark High Contrast"."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function("(name) => document.body.dataset.jpThemeName === name", arg=name)

    def screenshot(self, path: Path | str, locator: Locator | None = None) -> None:
        (locator or self.page).screenshot(path=str(path))


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
