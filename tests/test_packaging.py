"""From a clean clone, with no Node in sight, to an installed copy that has all of its parts."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import rnnwidget

ROOT = Path(__file__).parents[1]
NOT_CLONED = shutil.ignore_patterns(
    ".*_cache",
    ".git",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".venv*",
    "__pycache__",
    "demo",
    "dist",
    "node_modules",
    "static",
)
PARTS = ("static/score.js", "static/score.css", "notebooks/01-sentiment.ipynb", "py.typed")


def test_the_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    released = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    packaged = json.loads((ROOT / "js" / "package.json").read_text())
    assert {project["version"], released[0], packaged["version"]} == {rnnwidget.__version__}


def test_importing_loads_no_widget():
    script = "import sys, rnnwidget; print(*{'ipywidgets', 'bqplot', 'anywidget'} & set(sys.modules))"
    assert run(sys.executable, "-c", script, cwd=ROOT).strip() == ""


@pytest.fixture(scope="module")
def no_node(tmp_path_factory) -> dict[str, str]:
    """The environment of a machine that has a shell, and neither Node nor npm."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "sh").symlink_to("/bin/sh")
    return {**os.environ, "PATH": str(folder)}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory, no_node) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "clone", ignore=NOT_CLONED)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, folder / "clone", cwd=folder, env=no_node)
    return next(folder.glob("rnnwidget-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, sdist, no_node) -> Path:
    """Built from the sdist where npm cannot be had: the bundle inside must do."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.unpack_archive(sdist, folder)
    source = next(folder.glob("rnnwidget-*"))
    offline = no_node | {"npm_config_registry": "http://127.0.0.1:9/"}
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source, cwd=folder, env=offline)
    return next(folder.glob("rnnwidget-*.whl"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel) -> Path:
    """The Python of an empty environment that the wheel was installed into; what it depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return python


@pytest.mark.packaging
def test_the_sdist_has_the_bundle_and_its_sources(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "rnnwidget/static/score.js",
        "rnnwidget/static/bundle.sha256",
        "js/src/index.ts",
        "js/package-lock.json",
    } <= names
    assert not [name for name in names if "node_modules" in name]


@pytest.mark.packaging
def test_the_wheel_has_every_part_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"rnnwidget/{part}" for part in PARTS} <= set(names)
    assert [name for name in names if not name.startswith(("rnnwidget/", "rnnwidget-"))] == []


@pytest.mark.packaging
def test_an_empty_environment_finds_every_part(installed):
    script = "import importlib.metadata as m; print(*[f.locate() for f in m.files('rnnwidget')], sep='\\n')"
    located = [Path(line) for line in run(installed, "-c", script, cwd=installed.parent).splitlines()]
    for part in PARTS:
        (found,) = [path for path in located if path.as_posix().endswith(f"rnnwidget/{part}")]
        assert found.stat().st_size > 0 or part == "py.typed"


@pytest.mark.packaging
def test_the_installed_copy_shows_an_inspector_and_knows_its_notebooks(installed):
    lent = [path for path in sys.path if path.endswith("site-packages")]
    site = next(installed.parents[1].glob("lib/python*/site-packages"))
    (site / "lent.pth").write_text("\n".join(lent))
    script = (
        "import rnnwidget, rnnwidget.demo, torch;"
        "rnnwidget.RNNInspector(torch.nn.LSTM(2, 3)).close();"
        "print(rnnwidget.__file__, *rnnwidget.demo.shipped_notebooks(), sep='\\n')"
    )
    places = run(installed, "-c", script, cwd=installed.parent).splitlines()
    assert len(places) > 1
    assert all(Path(place).is_relative_to(site) for place in places)


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
