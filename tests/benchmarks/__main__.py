"""`python -m tests.benchmarks [--json PATH]`: what, ours, the alternative, ratio."""

import argparse
import importlib.util
import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from tests.benchmarks import editing, engine, floors
from tests.benchmarks.comparison import Row


def browser_rows() -> Iterator[Row]:
    """Slider to painted frame; needs Chromium."""
    if importlib.util.find_spec("tests.benchmarks.browser") is None:
        return
    from tests.benchmarks import browser

    yield from browser.rows()


def line(row: Row) -> str:
    alternative = f"{row.alternative:.3g} {row.unit}  {row.alternative_is}"
    return f"{row.what:<58}{row.ours:>9.3g} {row.unit}   {alternative:<58}{row.ratio:>7.2f}×"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the rows there too")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each row is measured")
    parser.add_argument("--threads", type=int, default=min(2, torch.get_num_threads()), help="PyTorch's threads")
    parser.add_argument("--no-browser", action="store_true", help="leave the rows out that need Chromium")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)

    machine = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": chosen.threads,
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print("medians of alternating runs\n")
    print(f"{'what':<58}{'ours':>12}   {'alternative':<58}{'ratio':>8}")
    measured = []
    tables = (engine, floors, editing)
    every = [table.rows(chosen.seconds) for table in tables]
    for rows in (*every, () if chosen.no_browser else browser_rows()):
        for row in rows:
            print(line(row), flush=True)
            measured.append(row)
    if chosen.json:
        listed = [asdict(row) | {"ratio": row.ratio} for row in measured]
        chosen.json.write_text(json.dumps({"machine": machine, "rows": listed}, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
