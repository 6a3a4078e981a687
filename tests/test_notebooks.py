"""Every lesson runs from top to bottom and is kept without its outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rnnwidget.demo import held_out_accuracy

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
STUCK = 600

lessons = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_lessons():
    assert NOTEBOOKS


@lessons
def test_outputs_are_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.source for cell in code if cell.outputs or cell.execution_count is not None]
    assert "widgets" not in notebook.metadata


@pytest.mark.notebook
@lessons
def test_it_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=STUCK, resources={"metadata": {"path": str(tmp_path)}}).execute()
    errors = [
        output.evalue for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"
    ]
    assert errors == []
    if path == NOTEBOOKS[0]:
        assert held_out_accuracy(notebook) is not None
