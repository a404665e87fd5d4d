"""What a person sees of a run: progress bars while it goes on, tables when it is over."""

import csv
import io
import json
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from miner_resources.errors import presentable
from miner_resources.vocabulary import Json, Stage

if TYPE_CHECKING:
    from miner_resources.records import StageRecord

TITLES = {
    Stage.SEARCH: "find videos",
    Stage.DOWNLOAD: "fetch videos",
    Stage.EXTRACT: "extract frames",
    Stage.FILTER: "filter frames",
    Stage.EMBED: "embed, drop repeats",
    Stage.DETECT: "detect objects",
    Stage.DEDUP: "compare videos",
    Stage.DATASET: "write dataset",
}


class ProgressBars:
    """One bar per stage, counting videos, with the number of frames computed."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console = console
        self._verbose = verbose
        self._tasks: dict[Stage, TaskID] = {}
        self._reason = ""
        self._progress = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[frames]}"),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> "ProgressBars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, stage: Stage, videos: int) -> None:
        """Show a bar, or make room for more videos on the one that is there."""
        if stage in self._tasks:
            task = self._progress.tasks[self._tasks[stage]]
            self._progress.update(task.id, total=(task.total or 0) + videos)
        else:
            self._tasks[stage] = self._progress.add_task(TITLES[stage], total=videos, frames="", count=0)

    def waits(self, stage: Stage, reason: str) -> None:
        """Say beside the bar why nothing happens."""
        if stage in self._tasks:
            text = f"[yellow]{escape(reason.partition(' (')[0])}[/yellow]" if reason else ""
            self._progress.update(self._tasks[stage], frames=text)
        if reason and reason != self._reason:
            self._console.print(f"[yellow]waiting:[/yellow] {escape(reason)}", highlight=False, soft_wrap=True)
        self._reason = reason

    def advanced(self, stage: Stage) -> None:
        """Count a step."""
        if stage in self._tasks:
            self._progress.advance(self._tasks[stage])

    def frames_done(self, stage: Stage, count: int) -> None:
        """Count frames."""
        if stage in self._tasks:
            task = self._progress.tasks[self._tasks[stage]]
            total = task.fields["count"] + count
            self._progress.update(task.id, count=total, frames=f"{total:,} frames")

    def finished_video(self, record: "StageRecord", *, reused: bool) -> None:
        """Count a video; say why one failed."""
        if record.stage in self._tasks:
            self._progress.advance(self._tasks[record.stage])
        if not self._verbose:
            return
        if record.status != "done":
            self._console.print(
                f"[red]{record.status}[/red] {record.video_id}: {escape(str(record.error))}",
                highlight=False,
                soft_wrap=True,
            )
        else:
            state = "up to date" if reused else "done"
            self._console.print(
                f"[dim]{record.stage} {record.video_id}: {state} {escape(str(record.metrics))}[/dim]", highlight=False
            )

    def finished(self, stage: Stage) -> None:
        """Fill a bar that counts no videos."""
        if stage in self._tasks:
            task = self._progress.tasks[self._tasks[stage]]
            self._progress.update(task.id, completed=task.total)


def print_summary(console: Console, result: dict[str, Any], output: str) -> None:
    """Stages, funnel, and what went wrong."""
    stages = Table(title="What this run did", title_justify="left")
    for column in ("stage", "items", "computed", "up to date", "failed", "seconds"):
        stages.add_column(column, justify="left" if column == "stage" else "right")
    for name, counts in result["stages"].items():
        cells = [counts["items"], counts["computed"], counts["reused"], counts["failed"], f"{counts['seconds']:.1f}"]
        stages.add_row(name, *(str(cell) for cell in cells))
    console.print(stages)
    frames, videos = result["frames"], result["videos"]
    console.print(
        f"videos: {videos['succeeded']} of {videos['total']} succeeded   "
        f"frames: {frames['extracted']:,} extracted → {frames['filtered']:,} show a class → "
        f"{frames['unique_in_video']:,} unique in their video → {frames['unique']:,} unique   "
        f"boxes: {result['annotations']:,}",
        highlight=False,
    )
    if frames["extracted"] and not frames["filtered"]:
        console.print("No frame shows a class: lower filter.threshold, or look at contact_sheets/filter in the output.")
    if result["left_out_by_filters"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result["left_out_by_filters"].items())
        console.print(f"left out: {escape(reasons)}", highlight=False, soft_wrap=True)
    for title, key in (("Left out by your rules", "skipped"), ("Waiting, tried again later", "waiting")):
        if result[key]:
            console.print(_grouped(result[key], title))
    if result["errors"]:
        console.print(_errors(result["errors"], "What failed, and what to do"))
    console.print(f"output: {escape(output)}", highlight=False, soft_wrap=True)


def _grouped(entries: Sequence[dict[str, Any]], title: str) -> Table:
    """One row for each reason: a block stops hundreds of videos for the same one."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        name = (entry["source"] or "").rsplit("/", maxsplit=1)[-1] or entry["video_id"]
        groups.setdefault((entry["message"], entry["remedy"]), []).append(name)
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("videos", "reason", "what to do"):
        table.add_column(column, overflow="fold")
    for (message, remedy), names in groups.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        table.add_row(escape(", ".join(names[:3]) + more), escape(message), escape(remedy))
    return table


def _errors(errors: Sequence[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("video", "stage", "reason", "what to do"):
        table.add_column(column, overflow="fold")
    for error in errors:
        name = (error["source"] or "").rsplit("/", maxsplit=1)[-1] or error["video_id"]
        table.add_row(*(escape(cell) for cell in (name, error["stage"], error["message"], error["remedy"])))
    return table


def print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Json]]) -> None:
    """A plain table; numbers to the right."""
    table = Table()
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else escape(presentable(str(cell))) for cell in row))
    console.print(table)


def check_format(name: str) -> None:
    """Refuse another format than table, json and csv, before work is done.

    Raises:
        typer.BadParameter: it is another one.
    """
    if name not in ("table", "json", "csv"):
        raise typer.BadParameter(f"{name!r} is not one of table, json, csv", param_hint="--format")


def print_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Json]], name: str) -> None:
    """Rows for other programs: as `json`, a list of objects, or as `csv` with a header."""
    buffer = io.StringIO()
    if name == "json":
        buffer.write(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1) + "\n")
    else:
        safe = [[_unlike_a_formula(name, cell) for name, cell in zip(columns, row, strict=True)] for row in rows]
        csv.writer(buffer).writerows([columns, *safe])
    console.file.write(buffer.getvalue())


def print_list(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One line each, whatever the terminal's width, so that it can be searched and piped."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    console.print(f"[bold]{escape(title)}[/bold]")
    for row in (columns, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        style = "dim" if row is columns else ""
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
    console.print()


def _unlike_a_formula(column: str, cell: object) -> object:
    """Spreadsheets run what begins like a formula; ids and addresses are ours, the rest are words of strangers."""
    risky = column in ("title", "channel", "source_keyword", "notes") and str(cell or "")[:1] in tuple("=+-@\t\r")
    return f"'{cell}" if risky and cell else cell
