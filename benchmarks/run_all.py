"""Run all benchmarks and write their tables into docs/performance.md.

    python benchmarks/run_all.py [NAME...] [--no-docs]

NAME is a part of a file name; without one all run. A benchmark that goes through `harness.report` gives its results as
JSON; of any other the table that it prints is taken. Text outside the marks in docs/performance.md is left alone; a
benchmark without marks there gets a section at the end. Exit code 1: a goal was missed, or a benchmark broke or ran out
of time; the tables are written all the same.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.harness import RESULTS, markdown, read_results
from benchmarks.machine import describe

PAGE: Final = ROOT / "docs" / "performance.md"
ONE_S: Final = 420.0
ALL_S: Final = 900.0


@dataclass(frozen=True)
class Ran:
    """What became of one benchmark."""

    name: str
    code: int
    seconds: float
    table: str

    @property
    def verdict(self) -> str:
        """In a word."""
        return {0: "ok", 124: "OUT OF TIME"}.get(self.code, "MISSED a goal" if self.table else "BROKE")


def run(script: Path, limit_s: float) -> Ran:
    """Run one benchmark, showing what it prints."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        left = Path(folder) / "results.json"
        environment = os.environ | {RESULTS: str(left), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            [sys.executable, script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                printed, _ = process.communicate(timeout=limit_s)
                code = process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                printed, code = process.communicate()[0], 124
        table = markdown(read_results(left)) if left.exists() else printed_table(printed)
    print(printed, end="", flush=True)
    return Ran(script.stem, code, time.monotonic() - started, table)


def printed_table(text: str) -> str:
    """The lines of Markdown tables among what a program printed."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("|"))


def with_table(page: str, name: str, block: str) -> str:
    """The page with `block` between the marks of that benchmark."""
    marks = f"<!-- {name}: made by make bench -->\n", "<!-- end -->\n"
    generated = f"{marks[0]}{block}{marks[1]}"
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _: generated, page, count=1)
    return f"{page.rstrip()}\n\n## {name.removeprefix('bench_').capitalize()}\n\n`benchmarks/{name}.py`\n\n{generated}"


def write_page(path: Path, ran: Sequence[Ran], machine: str) -> None:
    """Put all tables that were made into the page."""
    page = path.read_text(encoding="utf-8")
    for each in ran:
        if each.table:
            page = with_table(page, each.name, f"{each.table}\n{machine} · took {each.seconds:.0f} s\n")
    path.write_text(page, encoding="utf-8")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    scripts = sorted((ROOT / "benchmarks").glob("bench_*.py"))
    chosen = [each for each in scripts if not options.names or any(name in each.stem for name in options.names)]
    machine = describe()
    ran: list[Ran] = []
    until = time.monotonic() + ALL_S
    for script in chosen:
        print(f"\n== {script.stem}", flush=True)
        ran.append(run(script, max(1.0, min(ONE_S, until - time.monotonic()))))
    if not options.no_docs:
        write_page(PAGE, ran, machine)
    print("\n| benchmark | seconds | |\n| --- | --- | --- |")
    for each in ran:
        print(f"| {each.name} | {each.seconds:.0f} | {each.verdict} |")
    return int(not ran or any(each.code for each in ran))


if __name__ == "__main__":
    sys.exit(main())
