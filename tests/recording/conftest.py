from collections.abc import Iterator

import pytest
import torch

from rnnwidget.cells import family


@pytest.fixture(params=[0, family.AT_ONCE], ids=["gate by gate", "all gates at once"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "AT_ONCE", request.param)


@pytest.fixture
def compiler() -> Iterator[None]:
    """torch.compile as a fresh process has it."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
