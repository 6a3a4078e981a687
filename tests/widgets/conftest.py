import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rnnwidget as rw


@pytest.fixture
def inspect() -> Iterator[Callable[..., rw.RNNInspector]]:
    """Makes inspectors as a displayed cell would, and closes them."""
    made: list[rw.RNNInspector] = []

    def make(model: object, *, displayed: bool = True, **keywords: Any) -> rw.RNNInspector:
        inspector = rw.RNNInspector(model, **keywords)
        made.append(inspector)
        if displayed:
            inspector._repr_mimebundle_()
        return inspector

    yield make
    for inspector in made:
        inspector.close()
    gc.collect()
