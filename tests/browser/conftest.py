"""`lab_page(cells)` opens a notebook of these cells in a real JupyterLab in Chromium and runs it."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.lab import Lab, LabPage, serve, write_notebook

pytest.register_assert_rewrite("tests.browser.agreement")

WIDE = {"width": 1400, "height": 1400}
PATIENCE = 60_000
expect.set_options(timeout=30_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serve(tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    assert path, "no Chromium: `python -m tests.browser.chromium` installs one or says how"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def lab_page(jupyter: Lab, chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., LabPage]]:
    contexts = []
    numbers = itertools.count(1)

    def open_notebook(cells: Sequence[str], *, run: bool = True, viewport: dict[str, int] = WIDE) -> LabPage:
        name = f"{request.node.originalname}-{next(numbers)}.ipynb"
        write_notebook(jupyter.root / name, cells)
        context = chromium.new_context(viewport=viewport)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = LabPage(context.new_page(), jupyter, name)
        if run:
            page.run_all()
        return page

    yield open_notebook
    for context in contexts:
        context.close()
