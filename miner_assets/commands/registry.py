"""`video-miner registry …` and `video-miner keywords …`: looking at the registry and changing it by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from miner_assets.commands.registry_remove import remove, restore
from miner_assets.commands.reporting import check_format, print_rows, print_table
from miner_assets.commands.shared import SOME_FAILED, OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import InvalidData
from miner_resources.vocabulary import Status

if TYPE_CHECKING:
    from miner_assets.workspace import Workspace
    from miner_resources.records import Video

registry = typer.Typer(no_args_is_help=True, help="Look at the registry of videos, and change it by hand.")
keywords = typer.Typer(no_args_is_help=True, help="The keyword searches that the sensor watches.")

COLUMNS = ("video_id", "status", "title", "channel", "duration_s", "source_keyword", "added_at", "url", "notes")

StatusOption = Annotated[str | None, typer.Option(metavar="S", help=f"Only this status: {', '.join(Status)}.")]


@registry.command("status")
@reports_errors
def status(output: OutputDir = None) -> None:
    """Numbers: videos per status, stages done and failed, videos per keyword.

    Example: video-miner registry status --output demo_output
    """
    from miner_resources.queue_report import queue_report

    workspace = _workspace(output)
    numbers = workspace.catalog.statistics()
    out.print(f"{numbers.videos} videos, {numbers.duration_s / 3600:.1f} hours, {numbers.removed} removed")
    print_table(out, ["status", "videos"], [[name.value, count] for name, count in numbers.by_status.items()])
    stages = [
        [stage.value, counts.done, counts.failed, counts.waiting, counts.skipped]
        for stage, counts in numbers.by_stage.items()
    ]
    print_table(out, ["stage", "done", "failed", "waiting", "skipped"], stages)
    for line in queue_report(workspace.catalog):
        out.print(line, markup=False, soft_wrap=True)
    if numbers.by_keyword:
        print_table(out, ["keyword", "videos"], [[name, count] for name, count in numbers.by_keyword.items()])
    failures = workspace.catalog.failures()
    if failures:
        rows = [[record.video_id, record.stage.value, record.error, record.remedy] for record in failures]
        print_table(out, ["video", "failed in", "reason", "what to do"], rows)


@registry.command("list")
@reports_errors
def list_videos(
    output: OutputDir = None,
    status: StatusOption = None,
    keyword: Annotated[str | None, typer.Option(metavar="K", help="Only videos found by this keyword.")] = None,
    format: Annotated[str, typer.Option(metavar="F", help="table, json or csv.")] = "table",
) -> None:
    """List videos.

    Example: video-miner registry list --status failed --format csv > failed.csv
    """
    check_format(format)
    videos = _workspace(output).catalog.videos(status=_status(status), keyword=keyword)
    rows = [[_cell(video, column) for column in COLUMNS] for video in videos]
    if format == "table":
        print_table(out, COLUMNS[:6], [row[:6] for row in rows])
    else:
        print_rows(out, COLUMNS, rows, format)


@registry.command("export")
@reports_errors
def export(
    to: Annotated[Path, typer.Option("--output", metavar="FILE", help="Text file to write, one URL a line.")],
    project: Annotated[Path | None, typer.Option("-O", "--project", metavar="DIR", help="Output folder.")] = None,
    status: StatusOption = None,
) -> None:
    """Write the URLs of videos to a file.

    Example: video-miner registry export --status failed --output again.txt
    """
    from miner_resources.registry.files import write_export

    videos = _workspace(project).catalog.videos(status=_status(status))
    to.write_text(write_export(videos), encoding="utf-8")
    out.print(f"{len(videos)} URLs written to {to}", markup=False)


@registry.command("import")
@reports_errors
def import_file(
    file: Annotated[Path, typer.Argument(help="URLs one a line, or a YAML registry.")], output: OutputDir = None
) -> None:
    """Add the videos of a list of URLs, or of a YAML registry.

    Example: video-miner registry import urls.txt --output output
    """
    from miner_assets.search import TAKEN_DOWN, register_sources
    from miner_resources import events
    from miner_resources.registry.files import read_import

    workspace = _workspace(output)
    found = read_import(file)
    new = workspace.catalog.add_videos(found.videos)
    for record in (record for record in found.records if record.video_id in set(new)):
        events.publish(workspace.storage, record)
    workspace.catalog.fold()
    listed = register_sources(workspace, found.urls)
    tombstones = workspace.catalog.removed_videos().keys() & {video.video_id for video in found.videos}
    if tombstones:
        listed.left_out[TAKEN_DOWN] += len(tombstones)
    added = len(new) + len(listed.new)
    all_found = len(found.videos) - len(tombstones) + len(listed.video_ids)
    out.print(f"{added} videos added, {all_found - added} known already")
    for reason, count in listed.left_out.items():
        why = "" if reason == TAKEN_DOWN else "of lists left out by the search filters: "
        out.print(f"{count} entries {why}{reason}", markup=False, soft_wrap=True)
    for entry in listed.lost:
        err.print(f"[red]not imported[/red] {escape(entry.source)}: {escape(str(entry.error))}", highlight=False)
    if listed.lost:
        raise typer.Exit(SOME_FAILED)


@registry.command("reopen")
@reports_errors
def reopen(
    site: Annotated[str, typer.Argument(help="youtube, or a host, as `registry status` names it.")] = "youtube",
    output: OutputDir = None,
) -> None:
    """End the cool-down of a site, after you changed the proxy, the network or the account.

    Asking again from the same address only makes the block longer.

    Example: video-miner registry reopen youtube
    """
    catalog = _workspace(output).catalog
    if site not in catalog.pools():
        raise InvalidData(f"no site is called {site!r}", remedy="see `video-miner registry status`")
    catalog.change_pool(site, lambda pool: (pool.reopen(), None))
    out.print(f"{site} is open again", markup=False)


@registry.command("rebuild")
@reports_errors
def rebuild(output: OutputDir = None) -> None:
    """Make registry.duckdb again from the artifacts, for example after it was damaged or deleted.

    Example: video-miner registry rebuild --output output
    """
    report = _workspace(output).catalog.rebuild()
    out.print(
        f"{report.videos} videos, {report.stage_records} stage records, {report.keywords} keywords, "
        f"{report.removed} removed; the old registry was {'read' if report.salvaged else 'missing or unreadable'}"
    )
    for problem in report.problems:
        err.print(f"[yellow]left out[/yellow] {escape(problem)}", highlight=False)


registry.command("remove")(remove)
registry.command("restore")(restore)


@keywords.command("add")
@reports_errors
def add_keywords(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to search for.")],
    max_results: Annotated[int | None, typer.Option(metavar="N", help="Videos per search.")] = None,
    output: OutputDir = None,
) -> None:
    """Watch keyword searches.

    Example: video-miner keywords add "forklift warehouse" "forklift loading dock" --max-results 50
    """
    catalog = _workspace(output).catalog
    new = catalog.add_keywords(texts, max_results=max_results)
    out.print(f"{len(new)} keywords added, {len(texts) - len(new)} known already")


@keywords.command("list")
@reports_errors
def list_keywords(output: OutputDir = None) -> None:
    """List the watched searches.

    Example: video-miner keywords list
    """
    rows: list[list[Any]] = [
        [row.keyword, row.max_results, str(row.added_at.date()), str(row.last_searched_at or "never")]
        for row in _workspace(output).catalog.keywords()
    ]
    print_table(out, ["keyword", "results", "added", "last search"], rows)


@keywords.command("remove")
@reports_errors
def remove_keyword(text: Annotated[str, typer.Argument(help="The keyword.")], output: OutputDir = None) -> None:
    """Stop watching a search; its videos stay.

    Example: video-miner keywords remove "forklift warehouse"
    """
    if not _workspace(output).catalog.remove_keyword(text):
        raise InvalidData(f"{text!r} is not watched", remedy="see `video-miner keywords list`")
    out.print(f"{text!r} is not watched any more", markup=False)


def _workspace(output: Path | None) -> "Workspace":
    from miner_assets.workspace import Workspace

    return Workspace.open(project_config(output))


def _status(name: str | None) -> Status | None:
    if name is None:
        return None
    try:
        return Status(name)
    except ValueError:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(Status)}", param_hint="--status") from None


def _cell(video: "Video", column: str) -> str | float | None:
    value = getattr(video, column)
    return value if value is None or isinstance(value, int | float) else str(value)
