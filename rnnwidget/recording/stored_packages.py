"""Packages that only files and exports need, imported when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def required(package: str, purpose: str) -> Any:
    """The package; ImportError says how to get it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {package}: pip install 'rnnwidget[files]'") from error
