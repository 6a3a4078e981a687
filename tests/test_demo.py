"""The `rnnwidget demo` command, on small notebooks of its own."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

from rnnwidget import demo
from tests.servers import PATIENT, serving


def write(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to run the command in, as a person would."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Makes the package ship these lessons, each given by its cells."""
    folder = tmp_path / "package" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.setattr(demo, "PACKAGE", folder.parent)

    def lessons(**cells: list[str]) -> None:
        for name, lesson in cells.items():
            write(folder / f"{name}.ipynb", *lesson)

    return lessons


def test_check_runs_the_first_lesson_and_prints_its_accuracy(here, ship, capsys):
    ship(
        a=["accuracy = 0.873", "print('loss 0.3')\nprint(f'held-out accuracy: {accuracy} (bag of words 0.88)')"],
        b=["1 / 0"],
    )
    assert demo.main(["demo", "--check"]) == 0
    printed = capsys.readouterr().out
    assert "\nheld-out accuracy: 0.873 (bag of words 0.88)\n" in printed
    assert sorted(path.name for path in here.iterdir()) == ["a.ipynb", "b.ipynb"]


@pytest.mark.usefixtures("here")
def test_check_fails_if_a_cell_fails(ship, capsys):
    ship(a=["print('held-out accuracy: 0.9')", "1 / 0"])
    assert demo.main(["demo", "--check"]) == 1
    assert "a.ipynb: a cell failed: ZeroDivisionError: division by zero" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_check_fails_without_an_accuracy(ship, capsys):
    ship(a=["print('done')"])
    assert demo.main(["demo", "--check"]) == 1
    assert "held-out accuracy" in capsys.readouterr().err


def test_check_runs_the_persons_own_copy(here, ship, capsys):
    ship(a=["print('held-out accuracy: 0.1')"])
    write(here / "a.ipynb", "print('held-out accuracy: 0.2')")
    assert demo.main(["demo", "--check"]) == 0
    assert "held-out accuracy: 0.2" in capsys.readouterr().out


def test_a_changed_notebook_is_kept(here, ship, capsys):
    ship(a=["print('held-out accuracy: 0.1')"], b=["2"])
    mine = write(here / "a.ipynb", "mine").read_bytes()
    demo.copy_notebooks(demo.shipped_notebooks(), here)
    assert (here / "a.ipynb").read_bytes() == mine
    assert (here / "b.ipynb").exists()
    assert "a.ipynb: yours is kept" in capsys.readouterr().out


def test_a_notebook_that_was_only_run_is_kept_in_silence(here, ship, capsys):
    ship(a=["1 + 1"])
    notebook = nbformat.read(demo.shipped_notebooks()[0], as_version=4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="2")]
    nbformat.write(notebook, here / "a.ipynb")
    ran = (here / "a.ipynb").read_bytes()
    demo.copy_notebooks(demo.shipped_notebooks(), here)
    assert (here / "a.ipynb").read_bytes() == ran
    assert capsys.readouterr().out == ""


def test_without_jupyterlab_it_says_what_to_install(here, monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "jupyterlab" else find_spec(name, *rest)
    )
    assert demo.main(["demo"]) == 1
    assert capsys.readouterr().err == "rnnwidget demo: the demo needs jupyterlab: pip install 'rnnwidget[demo]'\n"
    assert list(here.iterdir()) == []


def test_the_package_ships_its_lessons_from_a_source_tree():
    assert demo.shipped_notebooks()[0].name == "01-sentiment.ipynb"


def test_jupyterlab_serves_the_first_lesson_and_asks_nobody_about_news(here):
    command = [sys.executable, "-m", "rnnwidget", "demo", "--no-browser", "--port", "0"]
    places = {
        name: str(here.parent / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")
    }
    announces = re.compile(r"(http://127\.0\.0\.1:\d+)/lab/tree/01-sentiment\.ipynb\?(token=\w+)")
    with serving(command, announces, cwd=here, env=os.environ | places) as found:
        address, token = found.groups()
        setting = "lab/api/settings/@jupyterlab/apputils-extension:notification"
        news = PATIENT.request("GET", f"{address}/{setting}?{token}").json()
        assert news["schema"]["properties"]["fetchNews"]["default"] == "false"
        lesson = PATIENT.request("GET", f"{address}/api/contents/01-sentiment.ipynb?content=0&{token}").json()
        assert lesson["type"] == "notebook"
