"""The examples in docstrings run and say what they print."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import torch

import rnnwidget

README = Path(__file__).parents[1] / "README.md"
MODULES = [
    module.name
    for module in pkgutil.walk_packages(rnnwidget.__path__, "rnnwidget.")
    if not module.name.startswith("rnnwidget.__main__")
]


@pytest.mark.parametrize("name", ["rnnwidget", *MODULES])
def test_examples_run(name: str) -> None:
    torch.manual_seed(0)
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples_for_everything_public() -> None:
    finder = doctest.DocTestFinder()
    plain = {"__version__", "Edit", "InterventionResult", "Ledger", "LesionScores", "Recording", "Sweep"}
    for name in set(rnnwidget.__all__) - plain:
        assert any(test.examples for test in finder.find(getattr(rnnwidget, name))), name


def test_the_readme_runs_and_its_picture_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    names["inspector"].close()
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert 0 < (README.parent / picture).stat().st_size < 400_000
