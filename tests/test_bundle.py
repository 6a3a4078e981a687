"""When the build hook builds the front end, and what it says when that fails. npm is a stand-in here."""

import os
from pathlib import Path

import pytest

import hatch_build
from hatch_build import NODE_WHEEL, Bundle, BundleHook

BUILDS = """#!/bin/sh
echo "$@" >> ../calls
mkdir -p node_modules ../rnnwidget/static
touch node_modules/.package-lock.json
cat src/index.ts > ../rnnwidget/static/score.js
cat src/index.ts > ../rnnwidget/static/score.css
"""
FAILS = "#!/bin/sh\necho 'src/index.ts:1:1: error: Expected identifier'\nexit 1\n"


@pytest.fixture
def tree(tmp_path) -> Path:
    (tmp_path / "js" / "src").mkdir(parents=True)
    (tmp_path / "js" / "src" / "index.ts").write_text("export {}")
    (tmp_path / "js" / "package-lock.json").write_text("{}")
    return tmp_path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a Node of a version, and an npm that runs a script, alone on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), "/usr/bin", "/bin"]))
    monkeypatch.setattr(
        hatch_build.shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None
    )

    def programs(node: str, npm: str) -> None:
        for name, script in {"node": f"#!/bin/sh\necho {node}\n", "npm": npm}.items():
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)

    return programs


def hook(tree: Path) -> BundleHook:
    return BundleHook(str(tree), {}, None, None, "", "wheel")


def test_a_bundle_is_built_once(tree, install):
    install("v24.1.0", BUILDS)
    bundle = Bundle(tree)
    assert not bundle.fresh()
    bundle.build()
    assert bundle.fresh()
    assert (tree / "calls").read_text().splitlines() == ["ci --no-audit --no-fund", "run build"]


@pytest.mark.parametrize(
    "changed",
    [
        "js/src/index.ts",
        "js/src/new/lane.ts",
        "js/package.json",
        "rnnwidget/static/score.js",
        "rnnwidget/static/score.css",
    ],
)
def test_a_changed_source_or_bundle_is_built_again(tree, install, changed):
    install("v24.1.0", BUILDS)
    Bundle(tree).build()
    (tree / changed).parent.mkdir(exist_ok=True)
    (tree / changed).write_text("changed")
    assert not Bundle(tree).fresh()


def test_a_build_that_fails_shows_what_npm_said(tree, install):
    install("v24.1.0", FAILS)
    with pytest.raises(RuntimeError, match=r"(?s)npm ci.*src/index\.ts:1:1: error: Expected identifier"):
        Bundle(tree).build()
    assert not Bundle(tree).fresh()


def test_a_build_that_makes_nothing_is_an_error(tree, install):
    install("v24.1.0", "#!/bin/sh\n")
    with pytest.raises(RuntimeError, match=r"no score\.js and no score\.css"):
        Bundle(tree).build()


@pytest.mark.parametrize(("node", "wanted"), [("v24.1.0", []), ("v18.20.0", [NODE_WHEEL]), ("", [NODE_WHEEL])])
def test_node_is_asked_of_pypi_where_there_is_none_or_an_old_one(tree, install, node, wanted):
    install(node, BUILDS)
    assert hook(tree).dependencies() == wanted


def test_a_fresh_bundle_needs_no_node(tree, install):
    install("v24.1.0", BUILDS)
    Bundle(tree).build()
    install("", FAILS)
    assert hook(tree).dependencies() == []
