"""A server as a test's own process: started, found where it says it is, stopped."""

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import urllib3

# Jupyter prints its address a moment before it listens there.
PATIENT = urllib3.PoolManager(retries=urllib3.Retry(connect=12, backoff_factor=0.05))


@contextmanager
def serving(
    command: Sequence[str], announces: re.Pattern[str], *, cwd: Path, env: Mapping[str, str]
) -> Iterator[re.Match[str]]:
    """Runs `command` until the block ends; gives the match in the line where it says its address, the first group."""
    server = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        found = read_until(server, announces)
        PATIENT.request("GET", found.group(1))
        yield found
    finally:
        server.terminate()
        server.wait(timeout=30)


def read_until(server: subprocess.Popen[str], announces: re.Pattern[str]) -> re.Match[str]:
    lines = []
    for line in server.stdout:
        lines.append(line)
        if found := announces.search(line):
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return found
    raise RuntimeError("the server ended before it said where it is:\n" + "".join(lines))
