import pytest

from rnnwidget.cells import family


@pytest.fixture(params=[0, family.AT_ONCE], ids=["gate by gate", "all gates at once"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "AT_ONCE", request.param)
