"""What the benchmarks share: a result with its goal, the table they print, clocks that count child processes.

To write one: make a file `bench_NAME.py` that makes its own inputs, measures a baseline in the same run, and ends with
`finish(results)`. `run_all.py` finds it, runs it and puts its table into docs/performance.md.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

RESULTS: Final = "VIDEO_MINER_BENCH_RESULTS"
"""Environment variable: the file in which `report` also leaves its results, as JSON."""


@dataclass(frozen=True)
class Result:
    """One row of a benchmark's table.

    Attributes:
        name: what was measured.
        measured: mostly a ratio to the baseline of the same run, so that it means the same on other machines.
        goal: None where there is none to be met here.
        direction: on which side of the goal it should be.
        unit: of `measured` and `goal`; empty for ratios.
        detail: the figures behind it.
    """

    name: str
    measured: float
    goal: float | None = None
    direction: Literal["at least", "at most"] = "at least"
    unit: str = ""
    detail: str = ""

    @property
    def verdict(self) -> Literal["pass", "MISSED", "–"]:
        """Whether the goal was met; a dash where there is none."""
        if self.goal is None:
            return "–"
        met = self.measured >= self.goal if self.direction == "at least" else self.measured <= self.goal
        return "pass" if met else "MISSED"

    def cells(self) -> list[str]:
        """The row as it is printed."""
        sign = "≥" if self.direction == "at least" else "≤"
        goal = "–" if self.goal is None else f"{sign} {_number(self.goal)}{self._unit}"
        return [self.name, f"{_number(self.measured)}{self._unit}", goal, self.verdict, self.detail]

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


def markdown(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    rows = [["what", "measured", "goal", "verdict", "figures"], ["---"] * 5, *(result.cells() for result in results)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def report(results: Sequence[Result]) -> int:
    """Print the table, leave the results to `run_all.py`; returns the exit code: 1 if a goal was missed."""
    print(markdown(results), end="", flush=True)
    if os.environ.get(RESULTS):
        Path(os.environ[RESULTS]).write_text(json.dumps([asdict(result) for result in results]), encoding="utf-8")
    return int(any(result.verdict == "MISSED" for result in results))


def finish(results: Sequence[Result]) -> NoReturn:
    """Report and end the process with the exit code.

    Without tearing the interpreter down, as in `cli.main`: DuckDB would print a page about leaked references.
    """
    code = report(results)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def read_results(path: Path) -> list[Result]:
    """What `report` left behind."""
    return [Result(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Seconds:
    """What a call took."""

    wall: float
    cpu: float


def clocked(call: Callable[[], Any]) -> Seconds:
    """Seconds by the wall, and of CPU with child processes that ended meanwhile."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    call()
    return Seconds(time.perf_counter() - wall, _cpu_seconds() - cpu)


def median_ratio(rounds: Mapping[str, Sequence[float]], name: str, baseline: str) -> float:
    """Median of the ratios within a round, of what was measured in turns."""
    return statistics.median(mine / other for mine, other in zip(rounds[name], rounds[baseline], strict=True))


def _cpu_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
