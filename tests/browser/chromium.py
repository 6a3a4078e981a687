"""Where Chromium is. `python -m tests.browser.chromium` prints it, and first installs one where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without DejaVu, Debian's answer to `system-ui` is a typewriter's.
DEBIAN_FONTS = ("fonts-dejavu-core", "fonts-liberation")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """The CHROMIUM of the environment, the PATH's, or the one that Playwright has installed."""
    if named := os.environ.get("CHROMIUM"):
        if shutil.which(named) is None:
            message = f"CHROMIUM={named} is not a program"
            raise FileNotFoundError(message)
        return named
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or playwright_chromium()


def playwright_chromium() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install_chromium() -> None:
    if is_debian() and os.geteuid() == 0:
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium", *DEBIAN_FONTS]
        commands = [["apt-get", "update"], install]
    else:
        commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    for command in commands:
        subprocess.run(command, stdout=sys.stderr, check=False)


def is_debian() -> bool:
    release = Path("/etc/os-release")
    return release.is_file() and "ID=debian" in release.read_text().splitlines()


def main() -> int:
    try:
        if find_chromium() is None:
            install_chromium()
        found = find_chromium()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if found is None:
        print(
            "The browser tests need Chromium: install it (Debian: apt-get install chromium), or set CHROMIUM.",
            file=sys.stderr,
        )
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
