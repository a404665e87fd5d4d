"""`video-miner registry remove` and `restore`: taking videos down, and letting them come back."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from miner_assets.commands.reporting import print_list
from miner_assets.commands.shared import SOME_FAILED, OutputDir, err, out, project_config, reports_errors
from miner_resources.errors import InvalidData

if TYPE_CHECKING:
    from miner_assets.workspace import Workspace
    from miner_resources.records import Video

SHOWN = 20


@reports_errors
def remove(
    video_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO_ID...", help="Ids as in `registry list`; none: finish what was interrupted."),
    ] = None,
    output: OutputDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted and changed.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Goes into removals.jsonl, as it is.")] = None,
    verify: Annotated[bool, typer.Option(help="Search every file for traces at the end.")] = True,
) -> None:
    """Takedown: delete videos and everything made from them, and never mine them again.

    Files, tables, registry rows, Dagster's history, all versions of the dataset and the exports in it lose the videos;
    the dataset is made again without them, and frames that had been dropped as their repeats get another look. What
    stays is a tombstone and a line in removals.jsonl. A takedown that was interrupted goes on with the same command.

    \b
    Examples:
      video-miner registry remove dQw4w9WgXcQ --dry-run
      video-miner registry remove dQw4w9WgXcQ --yes --reason "request of the owner, 2026-11-23"
    """  # noqa: D301 (typer's mark for lines that stay as they are)
    from miner_assets.takedown_plan import unfinished
    from miner_assets.workspace import Workspace

    config = project_config(output)
    workspace = Workspace.open(config)
    pending = unfinished(workspace.storage)
    known = workspace.catalog.videos(ids=video_ids or [])
    if not known and pending is None:
        raise InvalidData(
            f"no video is called {', '.join(video_ids or [])}" if video_ids else "no takedown was interrupted",
            remedy="give ids as in `video-miner registry list`",
        )
    missing = sorted(
        set(video_ids or []) - {video.video_id for video in known} - set(pending.video_ids if pending else [])
    )
    if missing:
        err.print(f"[yellow]not known:[/yellow] {escape(', '.join(missing))}", highlight=False, soft_wrap=True)
    _print_plan(workspace, known, reason)
    if dry_run:
        out.print("Nothing was changed (--dry-run).")
        return
    if not yes and known:
        typer.confirm(f"Delete these {len(known)} videos and everything made from them?", abort=True)
    _remove(workspace, [video.video_id for video in known], reason, verify=verify)


@reports_errors
def restore(
    video_ids: Annotated[list[str], typer.Argument(metavar="VIDEO_ID...", help="Ids as in removals.jsonl.")],
    output: OutputDir = None,
) -> None:
    """Take back a takedown: the videos may be found, imported and mined again. What was deleted stays deleted.

    Example: video-miner registry restore dQw4w9WgXcQ
    """
    from miner_assets.workspace import Workspace

    back = Workspace.open(project_config(output)).catalog.restore_videos(video_ids)
    if not back:
        raise InvalidData(
            f"{', '.join(video_ids)} was not taken down", remedy="see removals.jsonl in the output folder"
        )
    out.print(f"{', '.join(back)} may be mined again: import the URL, or search again", markup=False, soft_wrap=True)


def _print_plan(workspace: "Workspace", videos: "list[Video]", reason: str | None) -> None:
    from miner_assets.takedown_plan import plan_removal, unfinished
    from miner_resources.video_source import utc_now

    pending = unfinished(workspace.storage)
    if pending is not None:
        out.print(
            f"unfinished: the takedown of {', '.join(pending.video_ids)} was interrupted; it is finished first",
            markup=False,
            soft_wrap=True,
        )
    if not videos:
        return
    for video in videos:
        out.print(f"{video.video_id}  {video.title or ''}  {video.url}", highlight=False, markup=False, soft_wrap=True)
    removal = plan_removal(workspace.storage, videos, reason, utc_now())
    rows = [["delete", path] for path in removal.artifacts]
    rows += [["make again without them", f"dataset/versions/{version}"] for version in removal.versions]
    if removal.rebuild:
        what = f"dataset: {removal.images} pictures and {removal.annotations} boxes less"
        rows.append(["make again without them", what])
        rows.append(["look at again", f"{removal.reconsidered} frames that repeat theirs"])
    rows += [["cannot reach", place] for place in removal.exports]
    rows.append(["clean", "registry, events, Dagster's history, config.yaml, pipeline_result.json"])
    print_list(out, f"{len(removal.artifacts)} artifacts, {removal.bytes / 1e6:.1f} MB", ["what", "which"], rows)


def _remove(workspace: "Workspace", ids: list[str], reason: str | None, *, verify: bool) -> None:
    from miner_assets.commands.mine import quiet_libraries
    from miner_assets.takedown import remove_videos
    from miner_assets.takedown_rebuild import rebuild_dataset

    with quiet_libraries():
        report = remove_videos(workspace, ids, reason=reason, rebuild=rebuild_dataset, verify=verify)
    removal = report.removal
    out.print(
        f"{len(removal.video_ids)} videos removed, with {len(removal.artifacts)} artifacts and {removal.images} "
        f"dataset images; {removal.reconsidered} frames that repeated theirs were looked at again",
        soft_wrap=True,
    )
    for old, new in report.versions.items():
        out.print(f"version {old}: {f'now {new}' if new else 'deleted, nothing was left of it'}", highlight=False)
    for place in removal.exports:
        err.print(
            f"[yellow]exported earlier, out of reach:[/yellow] {escape(place)}: export there again",
            highlight=False,
            soft_wrap=True,
        )
    if report.history_elsewhere:
        err.print(
            "[yellow]Dagster keeps its history in another database:[/yellow] runs and events there still name them"
        )
    if report.problem is not None:
        err.print(f"[red]the dataset was deleted and not made again:[/red] {escape(report.problem.message)}")
        err.print(f"[yellow]what to do:[/yellow] {escape(report.problem.remedy)}", highlight=False)
    for path in report.left[:SHOWN]:
        err.print(f"[yellow]still names them:[/yellow] {escape(path)}: not a file of Video Miner, delete it by hand")
    if report.problem is not None or report.left:
        raise typer.Exit(SOME_FAILED)
