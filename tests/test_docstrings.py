"""The examples in docstrings run and say what they print."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import rnnwidget

ENGINE = [
    module.name
    for module in pkgutil.walk_packages(rnnwidget.__path__, "rnnwidget.")
    if not module.name.startswith(("rnnwidget.widgets", "rnnwidget.__main__"))
]


@pytest.mark.parametrize("name", ["rnnwidget", *ENGINE])
def test_examples_run(name: str) -> None:
    torch.manual_seed(0)
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples_for_the_public_functions() -> None:
    finder = doctest.DocTestFinder()
    for public in (rnnwidget.record, rnnwidget.edited, rnnwidget.intervene, rnnwidget.clamp, rnnwidget.LayerRecording):
        assert any(test.examples for test in finder.find(public)), public
