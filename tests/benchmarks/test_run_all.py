"""The runner of the benchmarks: what it takes from them, and what it writes into docs/performance.md."""

from pathlib import Path

import pytest

from benchmarks.harness import Result
from benchmarks.run_all import Ran, run, with_table, write_page

ROOT = Path(__file__).resolve().parent.parent.parent
REPORTS = """
import sys
from benchmarks.harness import Result, report
print("some words")
sys.exit(report([Result("decode", {measured}, 0.8, detail="4 s")]))
"""
PRINTS = """
print("some words")
print("| what | ratio |\\n| --- | --- |\\n| dedup | 2.0 |")
"""


def bench(folder: Path, code: str) -> Ran:
    script = folder / "bench_it.py"
    script.write_text(code)
    return run(script, 30)


@pytest.mark.parametrize(
    ("measured", "goal", "direction", "verdict"),
    [
        (0.8, 0.8, "at least", "pass"),
        (0.79, 0.8, "at least", "MISSED"),
        (9.0, 10.0, "at most", "pass"),
        (10.1, 10.0, "at most", "MISSED"),
        (1.0, None, "at least", "–"),
    ],
)
def test_a_goal_is_met_on_its_side(measured: float, goal: float | None, direction: str, verdict: str) -> None:
    assert Result("x", measured, goal, direction).verdict == verdict  # pyright: ignore


def test_results_become_a_table_and_a_missed_goal_an_exit_code(tmp_path: Path) -> None:
    good, bad = (bench(tmp_path, REPORTS.format(measured=measured)) for measured in (0.9, 0.7))
    assert good.table.splitlines()[-1] == "| decode | 0.9 | ≥ 0.8 | pass | 4 s |"
    assert (good.code, good.verdict) == (0, "ok")
    assert "MISSED" in bad.table
    assert (bad.code, bad.verdict) == (1, "MISSED a goal")


def test_of_a_benchmark_that_only_prints_the_table_is_taken(tmp_path: Path) -> None:
    assert bench(tmp_path, PRINTS).table == "| what | ratio |\n| --- | --- |\n| dedup | 2.0 |\n"


def test_a_benchmark_that_breaks_or_hangs_leaves_the_page_as_it_was(tmp_path: Path) -> None:
    broken = bench(tmp_path, "raise SystemExit('no')")
    assert (broken.table, broken.verdict) == ("", "BROKE")
    slow = tmp_path / "bench_slow.py"
    slow.write_text("import time\ntime.sleep(60)")
    late = run(slow, 1)
    assert (late.table, late.verdict) == ("", "OUT OF TIME")
    page = tmp_path / "page.md"
    page.write_text("# Performance\n")
    write_page(page, [broken, late], "a machine")
    assert page.read_text() == "# Performance\n"


def test_only_what_is_between_the_marks_changes() -> None:
    page = "# P\n\nbefore\n\n<!-- bench_a: made by make bench -->\nold\n<!-- end -->\n\nbetween\n"
    once = with_table(with_table(page, "bench_a", "| new \\1 |\n"), "bench_b", "| b |\n")
    assert once.startswith(
        "# P\n\nbefore\n\n<!-- bench_a: made by make bench -->\n| new \\1 |\n<!-- end -->\n\nbetween\n"
    )
    assert once.endswith("<!-- bench_b: made by make bench -->\n| b |\n<!-- end -->\n")
    assert with_table(with_table(once, "bench_a", "| new \\1 |\n"), "bench_b", "| b |\n") == once
