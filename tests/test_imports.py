"""Imports point one way, and the engine loads without a notebook."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rnnwidget

ROOT = Path(rnnwidget.__file__).parent
MAY_IMPORT = {
    "cells": set(),
    "recording": {"cells"},
    "editing": {"recording", "cells"},
    "gradients": {"recording", "cells"},
    "analysis": {"recording", "cells"},
    "widgets": {"gradients", "editing", "analysis", "recording", "cells"},
}
NOTEBOOK = {"ipywidgets", "anywidget", "bqplot", "traitlets", "IPython"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    if len(parts) == 1:
        return
    room = parts[0]
    for name in imported(ast.parse(path.read_text())):
        first, *rest = name.split(".")
        if first == "rnnwidget":
            other = rest[0] if rest else ""
            assert other in MAY_IMPORT[room] | {room}, f"{room} must not import {name}"
        if first in NOTEBOOK:
            assert room == "widgets", f"{room} must not import {name}"


def test_every_room_is_known() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)


def test_the_engine_loads_no_widget_library() -> None:
    script = (
        "import sys, torch, rnnwidget as rw\n"
        "model = torch.nn.LSTM(3, 4)\n"
        "with rw.record(model) as recording, rw.edited(model, rw.clamp('f', 1.0)):\n"
        "    model(torch.zeros(2, 1, 3))\n"
        "recording['l0'].replay_error\n"
        "assert 'RNNInspector' in rw.__all__\n"
        f"print(sorted({NOTEBOOK!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in rnnwidget.__all__:
        assert getattr(rnnwidget, name) is not None
    assert rnnwidget.cells.families()
    with pytest.raises(AttributeError, match="has no attribute 'recorder'"):
        rnnwidget.recorder  # noqa: B018


def test_each_name_loads_what_it_needs() -> None:
    script = """
import sys, rnnwidget as rw
loaded = lambda: {name.split(".")[1] for name in sys.modules if name.startswith("rnnwidget.")}
print("torch" in sys.modules, loaded())
rw.clamp
print(sorted(loaded()))
assert rw.cells.lstm.name == "lstm" and vars(rw)["clamp"] is rw.clamp
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.splitlines() == ["False set()", "['cells', 'editing', 'recording']"]


def test_a_run_of_our_own_does_without_dynamo() -> None:
    """It takes over a second to load, and PyTorch loads it for any dispatch mode that does not say otherwise."""
    script = """
import sys, torch, rnnwidget as rw
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.dropout = torch.nn.GRU(2, 3), torch.nn.Dropout()
    def forward(self, x):
        return torch.softmax(torch.nn.functional.relu(self.dropout(self.rnn(x)[0][-1])), -1)
rw.intervene(Model(), torch.randn(4, 1, 2), rw.scale("update_gate", 0.5))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.split() == ["False"]
